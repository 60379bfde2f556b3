"""Data sets of synthesised songs, made by a plug-in for song sources."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from partita.audio.signal import Audio
from partita.audio.work_folder import work_folder
from partita.errors import write_error
from partita.models._protocol import SeparationModel
from partita.training.cache.decoded_songs import DecodedSongs
from partita.training.recipes import Recipe
from partita.training.song_sources import open_song_source

_TRAIN, _TEST = "train", "test"
_SCORED = 4  # for so many songs to learn from, one is scored


@dataclass(frozen=True)
class SyntheticSongs:
    """Songs that are synthesised.

    Attributes
    ----------
    stems : tuple of str
        Instruments, as the plug-in calls them.
    songs : int
        To learn from; a quarter as many, at least one, are scored.
    duration_s : float
        Of each.
    seed : int
    """

    stems: tuple[str, ...]
    songs: int
    duration_s: float
    seed: int = 0

    @property
    def scored(self) -> int:
        """How many songs are scored."""
        return max(1, self.songs // _SCORED)

    def to_toml(self) -> str:
        """Return the file for the plug-in; all songs are those that it holds out."""
        return (
            f"stems = {json.dumps(list(self.stems))}\n"
            f"duration_s = {self.duration_s:g}\nseed = {self.seed}\n"
            f"pool_songs = 1\nvalid_songs = {self.songs + self.scored}\n"
        )


def make_songs(wanted: SyntheticSongs, recipe: Recipe, model: SeparationModel, out: Path) -> Path:
    """Write synthesised songs as a data set with the subsets ``train`` and ``test``.

    Parameters
    ----------
    wanted : SyntheticSongs
    recipe : Recipe
        Of the model that will learn from them.
    model : SeparationModel
        Whose sample rate and channels they have.
    out : Path
        The folder of the data set; kept if it is complete and of the same songs.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    UsageError
        The plug-in is not installed, or cannot play an instrument.
    AudioWriteError
    """
    settings = f"{wanted.to_toml()}# {model.sample_rate} Hz, {model.channels} channels\n"
    note = out / "songs.toml"
    try:
        if note.exists() and note.read_text(encoding="utf-8") == settings:
            return out
        with work_folder(out.parent) as work:
            made = work / out.name
            made.mkdir()
            (made / note.name).write_text(settings, encoding="utf-8")
            source = open_song_source(made / note.name, None, recipe, model)
            with source.open(None) as songs:
                assert songs.valid is not None
                _write(songs.valid, wanted, made)
            if out.exists():
                out.replace(work / "old")
            made.replace(out)
    except OSError as error:
        raise write_error(out, error) from error
    return out


def _write(songs: DecodedSongs, wanted: SyntheticSongs, folder: Path) -> None:
    for number, track in enumerate(songs.tracks):
        subset = _TRAIN if number < wanted.songs else _TEST
        place = folder / subset / f"song {number + 1}"
        place.mkdir(parents=True)
        for row, stem in enumerate(songs.row_names):
            samples = track.read(row, 0, track.samples)
            Audio(samples, songs.sample_rate).save(place / f"{stem}.wav", bits="float")
