"""What quantised weights cost: SDR on songs, before and after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from partita.audio.reader import open_audio
from partita.audio.signal import Audio, load_audio
from partita.datasets import Dataset, Track, open_dataset
from partita.errors import UsageError, one_line
from partita.evaluation.sdr import sdr_db
from partita.separation.batch import Song, find_songs
from partita.separation.separator import Separator
from partita.weights.cards import CARDS
from partita.weights.places import example_path
from partita.weights.plan import ModelPlan
from partita.weights.store import fetch

_EXAMPLE = "spleeter-2stems"  # which comes with a song
_MOST_SONGS = 10
_EXCERPT_S = 30.0


@dataclass(frozen=True)
class StemLoss:
    """One stem of one song.

    Attributes
    ----------
    song, stem : str
    agreement_db : float
        SDR of the stem against that of the float32 weights.
    before_db, after_db : float or None
        SDR against the true stem, with float32 weights and with the quantised ones; None: the true
        stem is not known.
    """

    song: str
    stem: str
    agreement_db: float
    before_db: float | None = None
    after_db: float | None = None

    @property
    def lost_db(self) -> float | None:
        """How much SDR is lost; None: the true stem is not known."""
        if self.before_db is None or self.after_db is None:
            return None
        return self.before_db - self.after_db


@dataclass(frozen=True)
class _Excerpt:
    name: str
    mixture: Audio
    track: Track | None = None
    start_s: float = 0.0


def quantisation_losses(
    plan: ModelPlan, exported: ModelPlan, songs: Path | None
) -> Iterator[StemLoss]:
    """Separate 30 s of songs with a model's own weights and with its exported ones.

    Parameters
    ----------
    plan, exported : ModelPlan
    songs : Path or None
        A data set, whose true stems are used, or a file or folder of songs; ten at most. None: the
        song that comes with Spleeter's weights.

    Raises
    ------
    UsageError
        There are no songs.
    AudioReadError, WeightsError
        Songs or weights cannot be read.
    """
    before, after = Separator(plan, device="cpu"), Separator(exported, device="cpu")
    for excerpt in _excerpts(songs):
        first, second = before(excerpt.mixture), after(excerpt.mixture)
        for stem in before.stems:
            ours, theirs = first[stem].samples, second[stem].samples
            true = _true_stem(excerpt, stem, before.sample_rate, before.channels)
            yield StemLoss(
                excerpt.name,
                stem,
                sdr_db(ours, theirs),
                None if true is None else sdr_db(true.samples[:, : ours.shape[1]], ours),
                None if true is None else sdr_db(true.samples[:, : ours.shape[1]], theirs),
            )


def _true_stem(excerpt: _Excerpt, stem: str, rate: int, channels: int) -> Audio | None:
    track = excerpt.track
    if track is None or stem not in track.targets:
        return None
    true = track.load(stem, start_s=excerpt.start_s, duration_s=_EXCERPT_S)
    return true if (true.sample_rate, true.channels) == (rate, channels) else None


def _excerpts(songs: Path | None) -> Iterator[_Excerpt]:
    if songs is not None and (dataset := _dataset(songs)) is not None:
        for track in list(dataset)[:_MOST_SONGS]:
            start_s = _start_s(track.duration_s)
            mixture = track.load("mixture", start_s=start_s, duration_s=_EXCERPT_S)
            yield _Excerpt(track.name, mixture, track, start_s)
        return
    if songs is None:
        card = CARDS[_EXAMPLE]
        fetch(card)
        songs = example_path(card)
    found = [song for song in find_songs([str(songs)], outputs=[]) if isinstance(song, Song)]
    if not found:
        raise UsageError(f"`check`: no songs in {one_line(songs)}")
    for song in found[:_MOST_SONGS]:
        with open_audio(song.source) as reader:
            start_s = _start_s((reader.frames or 0) / reader.sample_rate)
        yield _Excerpt(song.track, load_audio(song.source, start_s=start_s, duration_s=_EXCERPT_S))


def _dataset(root: Path) -> Dataset | None:
    try:
        return open_dataset(root)
    except UsageError:  # a folder of songs
        return None


def _start_s(duration_s: float) -> float:
    """Return where the excerpt begins: songs begin quietly."""
    return max(0.0, (duration_s - _EXCERPT_S) / 2)
