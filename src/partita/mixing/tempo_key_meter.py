"""Estimates tempo, beats and key of a song from its stems, with sonara (MIT, compiled Rust)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from partita.audio.conversion import Conversion
from partita.errors import UsageError
from partita.mixing.tempo_key import KEYS, TempoKey

Samples = npt.NDArray[np.float32]

_BEATS_RATE, _KEY_RATE = 44_100, 22_050
#: The library's beats are so late: `benchmarks/tempo_key.py`.
_LATE_S = 0.017
_LONGEST_S = 20 * 60.0
_SHORTEST_S = 5.0
_FEWEST_BEATS = 8
#: Below, the library's confidence means noise rather than beats, and that two keys fit alike.
_SURE_TEMPO, _SURE_KEY = 0.6, 0.15
_REGULAR = 0.2  # deviation of beats' distances from their median that counts as one beat
_SILENT_PEAK = 1e-4
_OTHER_KEYS = 2
#: What beats, and keys, are better found without.
_SUNG = frozenset({"vocals"})
_STRUCK = frozenset({"drums", "percussion", "percussive"})
_FLATS = {"A#": "Bb", "D#": "Eb"}
_MAJOR_FLATS = {"C#": "Db", "G#": "Ab", **_FLATS}
_log = logging.getLogger(__name__)


def require_tempo_library() -> Any:
    """Import the library.

    Raises
    ------
    UsageError
        It is not installed.
    """
    try:
        import sonara
    except ImportError:
        raise UsageError(
            "tempo, key and `click` need the extra mix: pip install 'partita[mix]'"
        ) from None
    return sonara


class TempoKeyMeter:
    """Takes the stems of a song block by block, then estimates.

    Memory grows with the song, by 16 MB a minute, up to 20 minutes.

    Parameters
    ----------
    stems : sequence of str
        Beats are sought in all but the vocals, the key in all but the drums.
    sample_rate : int
        In hertz.

    Raises
    ------
    UsageError
        The library is not installed.
    """

    def __init__(self, stems: Sequence[str], sample_rate: int) -> None:
        self._library = require_tempo_library()
        self._rate, self._samples = sample_rate, 0
        self._parts = [
            _Part([stem not in left_out for stem in stems], sample_rate, rate)
            for left_out, rate in ((_SUNG, _BEATS_RATE), (_STRUCK, _KEY_RATE))
        ]

    def add(self, block: Samples) -> None:
        """Take the next samples of all stems: ``[stems, channels, samples]``."""
        self._samples += block.shape[-1]
        if self._samples <= _LONGEST_S * self._rate:
            for part in self._parts:
                part.add(block)

    def finish(self) -> TempoKey | None:
        """Return the estimate; None: the song has less than 5 s, more than 20 min, or no sound."""
        if not _SHORTEST_S <= self._samples / self._rate <= _LONGEST_S:
            return None
        rhythm, pitches = (part.finish() for part in self._parts)
        if max(np.abs(rhythm).max(), np.abs(pitches).max()) < _SILENT_PEAK:
            return None
        try:
            found = self._library.analyze_signal(rhythm, sr=_BEATS_RATE, features=["bpm", "beats"])
            tonal = self._library.analyze_signal(
                pitches, sr=_KEY_RATE, features=["key", "key_candidates"]
            )
        except ValueError as error:
            _log.debug("no tempo and key: %s", error)
            return None
        return TempoKey(**_rhythm_of(found), **_key_of(tonal, pitches))


class _Part:
    """The sum of some stems, mono, at another sample rate."""

    def __init__(self, chosen: list[bool], from_rate: int, to_rate: int) -> None:
        # A song of nothing else is taken whole.
        self._chosen = np.array(chosen if any(chosen) else [True] * len(chosen))
        self._conversion = Conversion(from_rate, to_rate)
        self._blocks: list[Samples] = []

    def add(self, block: Samples) -> None:
        mono = block[self._chosen].sum(axis=0).mean(axis=0, keepdims=True)
        self._blocks.append(self._conversion.push(mono))

    def finish(self) -> Samples:
        last = self._conversion.push(np.zeros((1, 0), np.float32), last=True)
        whole: Samples = np.concatenate([*self._blocks, last], axis=1)[0]
        self._blocks.clear()
        return np.ascontiguousarray(whole, np.float32)


def _rhythm_of(found: Any) -> dict[str, Any]:
    origin = found["provenance"]
    times = np.asarray(found["beats"]) * origin["hop_length"] / origin["sample_rate"] - _LATE_S
    times = times[times >= 0.0]
    if len(times) < _FEWEST_BEATS:
        return {"tempo_bpm": None, "is_tempo_sure": False, "beats_s": ()}
    steps = np.diff(times)
    usual = float(np.median(steps))
    regular = steps[np.abs(steps / usual - 1.0) < _REGULAR]
    return {
        "tempo_bpm": round(60.0 / float(regular.mean()), 2),
        "is_tempo_sure": bool(found["bpm_confidence"] >= _SURE_TEMPO),
        "beats_s": tuple(np.round(times, 4).tolist()),
    }


def _key_of(found: Any, samples: Samples) -> dict[str, Any]:
    if np.abs(samples).max() < _SILENT_PEAK:
        return {"key": None, "is_key_sure": False}
    others = [_usual_name(each[0]) for each in found["key_candidates"]]
    key = _usual_name(found["key"])
    return {
        "key": key,
        "is_key_sure": bool(found["key_confidence"] >= _SURE_KEY),
        "other_keys": tuple([each for each in others if each != key][:_OTHER_KEYS]),
    }


def _usual_name(key: str) -> str:
    """Return a key as musicians write it: the library has sharps only."""
    tonic, mode = key.split()
    name = f"{(_MAJOR_FLATS if mode == 'major' else _FLATS).get(tonic, tonic)} {mode}"
    assert name in KEYS
    return name
