"""Singing from recordings, fitted to a song."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from partita.datasets.dataset import open_dataset
from partita.datasets.synthesis.score import Score, Section
from partita.datasets.synthesis.singing.analysis import find_key, find_phrases, find_tempo
from partita.datasets.tracks import VOCALS, StemFile, Track
from partita.errors import UsageError, one_line

Samples = npt.NDArray[np.float32]

_DRUMS = "drums"
_MAX_SEMITONES = 4
_MAX_TEMPO = 1.2
_BEATS_IN_BAR = 4
_MARGIN_S = 0.08  # before and after a phrase; change_pitch_and_tempo is vague at its ends
_FADE_S = 0.03
_OVERHANG_S = 1.0  # of a phrase, beyond the section it is sung in
_PAUSES = 0.25  # probability that a singer waits for another bar
_MAX_CHANNELS = 2


@dataclass(frozen=True)
class Phrase:
    """What is sung without a pause.

    Attributes
    ----------
    start_s, duration_s : float
        In seconds of the recording.
    """

    start_s: float
    duration_s: float


@dataclass(frozen=True)
class VocalRecording:
    """The vocals of a song.

    Attributes
    ----------
    name : str
        Of the track.
    file : StemFile
    licence : str
        First line of the file LICENSE or LICENCE of the track, or else of the data set; empty
        where there is none.
    key : int
        Pitch class of the tonic, 0 (C) to 11.
    mode : str
        ``"major"`` or ``"minor"``.
    tempo_bpm : float
    first_beat_s : float
    phrases : tuple of Phrase
        At least one.
    """

    name: str
    file: StemFile
    licence: str
    key: int
    mode: str
    tempo_bpm: float
    first_beat_s: float
    phrases: tuple[Phrase, ...]


def find_recordings(root: Path) -> list[VocalRecording]:
    """Listen to all tracks of a data set that have vocals; some seconds a song.

    Parameters
    ----------
    root : Path
        Whatever `partita.datasets.open_dataset` opens. Tracks in which nobody sings for 1.5 s
        are left out.

    Raises
    ------
    UsageError
        No data set, or none with vocals in it.
    AudioReadError
        A file cannot be read.
    """
    tracks = [track for track in open_dataset(root) if VOCALS in track.stems]
    found = [_listen(track, root) for track in tracks]
    recordings = [recording for recording in found if recording is not None]
    if not recordings:
        raise UsageError(
            f"{one_line(root)}: nobody sings in this data set; name one with stems called {VOCALS}"
        )
    return recordings


def _listen(track: Track, root: Path) -> VocalRecording | None:
    voice, sample_rate = _mono(track, VOCALS)
    phrases = tuple(Phrase(*span) for span in find_phrases(voice, sample_rate))
    if not phrases:
        return None
    others = [name for name in track.stems if name != VOCALS]
    band = _heard(track, others, voice)
    tempo_bpm, first_beat_s = find_tempo(band, sample_rate)
    if _DRUMS in others:  # they are in no key
        band = _heard(track, [name for name in others if name != _DRUMS], voice)
    key, mode = find_key(band, sample_rate)
    licence = _licence(track.path, root)
    file = track.stems[VOCALS]
    return VocalRecording(track.name, file, licence, key, mode, tempo_bpm, first_beat_s, phrases)


def _heard(track: Track, names: Sequence[str], voice: Samples) -> Samples:
    """Return the sum of stems, or the vocals where they are sung a cappella."""
    band = _mono(track, "+".join(names))[0] if names else voice
    return band if band.any() else voice


def _mono(track: Track, target: str) -> tuple[Samples, int]:
    audio = track.load(target)
    return np.asarray(audio.samples.numpy().mean(axis=0), np.float32), audio.sample_rate


def _licence(track: Path, root: Path) -> str:
    for folder in (track, root):
        for name in ("LICENSE", "LICENCE", "LICENSE.txt", "LICENCE.txt", "LICENSE.md"):
            path = folder / name
            if path.is_file():
                lines = path.read_text("utf-8", "replace").split("\n")
                return next((line.strip("# \t\r") for line in lines if line.strip("# \t\r")), "")
    return ""


def fit_vocals(
    recording: VocalRecording, score: Score, sample_rate: int, chance: np.random.Generator
) -> Samples:
    """Let the singer of a recording sing in another song.

    Phrases are sung where the score's singers sing (if it has none: in all sections but the
    quietest), each from the start of a bar on, a pickup before it. Sections of one name begin
    with the same phrase. Pitch changes by 4 semitones at most and tempo by 20 %: keys that are
    further apart than that become neighbours on the circle of fifths, and a tempo that cannot be
    met, nor its half or double, is met as nearly as possible.

    Parameters
    ----------
    recording : VocalRecording
    score : Score
        In bars of four beats.
    sample_rate : int
        Of what is returned, in hertz.
    chance : numpy.random.Generator

    Returns
    -------
    float32 ``[1 or 2, round(score.duration_s * sample_rate)]``
        As loud as recorded.

    Raises
    ------
    AudioReadError
        The recording cannot be read.
    """
    semitones = transposition(recording, score)
    tempo = tempo_ratio(recording, score)
    channels = recording.file.header.channels
    out = np.zeros(
        (channels if channels <= _MAX_CHANNELS else 1, round(score.duration_s * sample_rate)),
        np.float32,
    )
    for bar_s, phrase, length_s in _plan(recording, score, tempo, chance):
        sung = _read(recording.file, phrase, sample_rate, semitones, tempo)
        pickup_s = _beat_near(recording, phrase.start_s) - phrase.start_s
        _add(out, sung, bar_s - pickup_s / tempo - _MARGIN_S / tempo, length_s, sample_rate)
    return out


def transposition(recording: VocalRecording, score: Score) -> int:
    """Return by how many semitones a recording is moved: at most 4 up or down.

    Relative keys, such as C major and A minor, count as one.
    """
    tonics = (
        key + (3 if mode == "minor" else 0)
        for key, mode in ((recording.key, recording.mode), (score.key, score.mode))
    )
    source, target = tonics
    exact, *near = ((target + fifth - source + 6) % 12 - 6 for fifth in (0, 7, 5))
    return exact if abs(exact) <= _MAX_SEMITONES else min(near, key=abs)


def tempo_ratio(recording: VocalRecording, score: Score) -> float:
    """Return how much faster a recording is played: within 20 %, octaves of tempo aside."""
    ratio = score.tempo_bpm / recording.tempo_bpm
    nearest = min((ratio * octave for octave in (0.5, 1, 2)), key=lambda r: abs(math.log(r)))
    return min(max(nearest, 2 - _MAX_TEMPO), _MAX_TEMPO)


def _beat_near(recording: VocalRecording, time_s: float) -> float:
    beat_s = 60 / recording.tempo_bpm
    return recording.first_beat_s + beat_s * round((time_s - recording.first_beat_s) / beat_s)


def _plan(
    recording: VocalRecording, score: Score, tempo: float, chance: np.random.Generator
) -> Iterator[tuple[float, Phrase, float]]:
    """Yield the bar in which a phrase is sung, the phrase, and how long it may last."""
    phrases = recording.phrases
    firsts: dict[str, int] = {}
    free_s = 0.0
    for section in _sung_sections(score):
        index = firsts.setdefault(section.name, int(chance.integers(len(phrases))))
        end_s = section.start_s + section.duration_s
        for bar_s in _bars(score, section):
            phrase = phrases[index % len(phrases)]
            pickup_s = (_beat_near(recording, phrase.start_s) - phrase.start_s) / tempo
            start_s = bar_s - pickup_s
            if start_s < free_s or chance.random() < _PAUSES:
                continue
            length_s = min(phrase.duration_s / tempo, end_s + _OVERHANG_S - start_s)
            yield bar_s, phrase, length_s
            free_s = start_s + length_s
            index += 1


def _sung_sections(score: Score) -> Sequence[Section]:
    if not score.sections:
        return [Section("", 0.0, score.duration_s, 1.0)]
    notes = np.array(
        [
            note.start_s
            for part in score.parts
            if part.player.role in ("vocals", "backing_vocals")
            for note in part.notes
        ]
    )
    sung = [
        section
        for section in score.sections
        if ((notes >= section.start_s) & (notes < section.start_s + section.duration_s)).any()
    ]
    quietest = min(section.energy for section in score.sections)
    louder = [section for section in score.sections if section.energy > quietest]
    return sung or louder or score.sections


def _bars(score: Score, section: Section) -> Sequence[float]:
    end_s = section.start_s + section.duration_s
    beats = [beat for beat in score.beats_s if section.start_s - 0.01 <= beat < end_s]
    return beats[::_BEATS_IN_BAR] or [section.start_s]


def _read(
    file: StemFile, phrase: Phrase, sample_rate: int, semitones: int, tempo: float
) -> Samples:
    """Return a phrase ``[channels, samples]`` in its new key and tempo, with margins."""
    import soxr

    from partita.audio.pitch_tempo import change_pitch_and_tempo
    from partita.audio.signal import Audio

    lead_s = min(_MARGIN_S, phrase.start_s)
    audio = Audio.load(
        file.path,
        start_s=phrase.start_s - lead_s,
        duration_s=lead_s + phrase.duration_s + _MARGIN_S,
        stream=file.stream,
    )
    samples: Any = audio.samples
    if audio.channels > _MAX_CHANNELS:
        samples = samples.mean(dim=0, keepdim=True)
    changed = change_pitch_and_tempo(samples, audio.sample_rate, semitones, tempo).numpy()
    missing = round((_MARGIN_S - lead_s) / tempo * audio.sample_rate)
    changed = np.pad(changed, ((0, 0), (missing, 0)))
    if audio.sample_rate == sample_rate:
        return changed
    converted = soxr.resample(changed.T, audio.sample_rate, sample_rate, quality="HQ")
    return np.ascontiguousarray(converted.T, np.float32)


def _add(out: Samples, sung: Samples, start_s: float, length_s: float, sample_rate: int) -> None:
    """Add a phrase, faded at its ends, as far as it lies within the song."""
    sung = sung[:, : round((length_s + 2 * _MARGIN_S) * sample_rate)].copy()
    fade = min(round(_FADE_S * sample_rate), sung.shape[1] // 2)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    sung[:, :fade] *= ramp
    sung[:, sung.shape[1] - fade :] *= ramp[::-1]
    start = round(start_s * sample_rate)
    begin, end = max(start, 0), min(start + sung.shape[1], out.shape[1])
    if begin < end:
        out[:, begin:end] += sung[:, begin - start : end - start]
