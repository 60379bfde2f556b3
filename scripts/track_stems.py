"""Classify rendered tracks as drums, bass or other, by names and measurements."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray

from lmms_project import RATE, Track
from partita.dsp.hpss import hpss

_LOW_HZ = 250.0
_FFT, _HOP = 2048, 1024
_FRAMES = 700  # 16 s of the loudest part: HPSS is slow
_QUIET = 1e-4  # of a track's loudest frame
#: Patterns of the names of tracks and samples; the first match counts: a synth bass is a bass.
_WORDS = (
    ("other", r"\bfx\b|zap|sweep"),
    (
        "drums",
        r"kick|kik\b|\bkix\b|bass ?drum|\bbd\b|snare|\bsnr\b|\bsn\b|hi ?hat|hih?hat|\bhats?\b|hat\b"
        r"|\bhh\b|clap|crash|cymbal|\bride|\btom\b|\brim|sidestick|shaker|tamb|conga|bongo"
        r"|cowbell|\bperc|drum|\bbeat\b|clave|maraca|timbal|guiro|taiko|\bwood\b",
    ),
    ("bass", r"bass(?!oon|et)|\bsub\b|303"),
    (
        "other",
        r"\barp|lead|chord|string|choir|chorus|\bpad|synth|piano|organ|guitar|trumpet|brass"
        r"|flute|violin|\bbells?\b|pluck|melod|rhodes|\bharp|oboe|pipe|reed|voice",
    ),
)
#: LMMS' names of unnamed tracks.
_UNNAMED = re.compile(r"(default|standard)([ -](kicker )?preset)?|sample track", re.IGNORECASE)
#: Folders of LMMS' samples; all below drumsynth are drums except these.
_FOLDERS = {"drums": "drums", "beats": "drums", "basses": "bass", "bassloops": "bass"}
_NO_DRUMS = {"instrument", "effects", "magnetboy", "misc_bass", "misc_fx", "misc_synth"}
_NAMED_BASS_LOW = 0.25  # at least
_NAMED_OTHER_LOW, _NAMED_OTHER_PERCUSSIVE = 0.85, 0.9  # at most
_BASS_LOW, _SURE_BASS_LOW, _BASS_KEY, _ONE_BASS_KEY = 0.5, 0.9, 60, 48
_BOTH_HANDS = 36  # semitones: such a track may play bass and chords
_DRUM_PERCUSSIVE = 0.5
_BASS_PLUGIN, _DRUM_PLUGIN = "lb302", "kicker"


@dataclass(frozen=True)
class Measures:
    """Measurements of a track.

    Attributes
    ----------
    energy : float
        Sum of the squared samples of both channels.
    low_share : float
        Share of the energy below 250 Hz.
    centroid_hz : float
        Mean frequency, weighted by energy.
    percussive_share : float
        Percussive share of the energy by HPSS.
    attack_share : float
        Sum of all increases of energy between frames, relative to the energy: many onsets.
    """

    energy: float
    low_share: float = 0.0
    centroid_hz: float = 0.0
    percussive_share: float = 0.0
    attack_share: float = 0.0


def measure(blocks: Iterable[NDArray[np.float32]]) -> Measures:
    """Measure a track, in blocks ``[samples, 2]`` at 44.1 kHz."""
    mono, energy = [], 0.0
    for block in blocks:
        energy += float(np.square(block, dtype=np.float64).sum())
        mono.append(block.mean(axis=1))
    samples = torch.from_numpy(np.concatenate(mono)) if mono else torch.zeros(0)
    if len(samples) < _FFT or not samples.any():
        return Measures(energy)
    window = torch.hann_window(_FFT)
    powers = torch.stft(samples, _FFT, _HOP, window=window, return_complex=True).abs().square()
    frames, bands = powers.sum(dim=0), powers.sum(dim=1)
    hertz = torch.arange(len(bands)) * (RATE / _FFT)
    part = powers[:, _most(frames > _QUIET * frames.max())]
    percussive = hpss(part.sqrt(), harmonic_frames=15)[1]
    return Measures(
        energy,
        low_share=float(bands[hertz < _LOW_HZ].sum() / bands.sum()),
        centroid_hz=float((hertz * bands).sum() / bands.sum()),
        percussive_share=float((percussive * part).sum() / part.sum()),
        attack_share=float(frames.diff().clamp_min(0).sum() / frames.sum()),
    )


def _most(loud: torch.Tensor) -> slice:
    """Return the range of frames with the most loud ones."""
    counts = torch.cumsum(torch.nn.functional.pad(loud.float(), (1, 0)), 0)
    if len(loud) <= _FRAMES:
        return slice(None)
    start = int((counts[_FRAMES:] - counts[:-_FRAMES]).argmax())
    return slice(start, start + _FRAMES)


def stem_of(track: Track, measures: Measures) -> tuple[str, str]:
    """Return the stem of an audible track, and the reason.

    Its name counts first, then the folder of its sample, then its notes and measurements. If these
    contradict each other, as for a bass without lows, the stem is empty: a missing track does no
    harm, but a track in a wrong stem does.
    """
    low = measures.low_share
    percussive = measures.percussive_share
    heard = f"{low:.0%} below 250 Hz, {percussive:.0%} percussive"
    stem, reason = _told(track)
    if stem:
        reach = track.keys[-1] - track.keys[0] if track.keys else 0
        too_low = low > _NAMED_OTHER_LOW or (low >= _BASS_LOW and reach >= _BOTH_HANDS)
        doubtful = {
            "drums": False,
            "bass": low < _NAMED_BASS_LOW,
            "other": too_low or percussive > _NAMED_OTHER_PERCUSSIVE,
        }[stem]
        return ("", f"left out: {reason}, but {heard}") if doubtful else (stem, reason)
    one_key = len(set(track.keys)) == 1
    drum = one_key and percussive >= _DRUM_PERCUSSIVE
    if drum and (low < _BASS_LOW or track.plugin == _DRUM_PLUGIN):
        return "drums", f"no name, one key, {heard}"
    if low < _BASS_LOW:
        return "other", f"no name, {heard}"
    # A low sound of one key is a bass or a drum; of several keys it is a bass if they are low.
    key = statistics.median(track.keys) if track.keys else np.inf
    one_bass = one_key and key < _ONE_BASS_KEY and not drum
    if one_bass or (not one_key and (key < _BASS_KEY or low >= _SURE_BASS_LOW)):
        return "bass", f"no name, {heard}"
    return "", f"left out: no name, {heard}"


def _told(track: Track) -> tuple[str, str]:
    """Return the stem that names and folders imply."""
    sample = PurePosixPath(track.sample)
    names = {"name": track.name, "sample": sample.stem}
    for kind, name in names.items():
        if name and not _UNNAMED.fullmatch(name):
            plain = re.sub(r"[^a-z0-9]+", " ", name.lower())
            for stem, pattern in _WORDS:
                if re.search(pattern, plain):
                    return stem, f"{kind} {name}"
    if track.plugin == _BASS_PLUGIN:
        return "bass", f"plugin {track.plugin}"
    folders = sample.parts[:-1]
    if folders[:1] == ("drumsynth",) and folders[1:2] and folders[1] not in _NO_DRUMS:
        return "drums", f"sample in {sample.parent}"
    if folders and folders[0] in _FOLDERS:
        return _FOLDERS[folders[0]], f"sample in {sample.parent}"
    return "", ""
