"""Channel strips: the effects of a single part, before parts are added up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pedalboard

from partita_synthesis.mixing import gains, profiles
from partita_synthesis.mixing.equaliser import Band, equalise
from partita_synthesis.mixing.gains import Clock, Compressor, Curve
from partita_synthesis.mixing.panning import Place, placed, set_level

Samples = npt.NDArray[np.float32]

_MODULATED = 0.25
_MODULATIONS = {"chorus": 0.5, "tremolo": 0.3, "phaser": 0.2}
_TILT_HZ = (800.0, 3000.0)
_GATE_DEPTH_DB = 18.0


@dataclass(frozen=True)
class Strip:
    """Settings of one part.

    Attributes
    ----------
    bands : tuple of Band
    gate_db : float or None
        Threshold, relative to the level while it plays.
    compressor : Compressor or None
    drive : float
        Into saturation; 0: none.
    modulation : str
        ``chorus``, ``tremolo``, ``phaser`` or none.
    modulation_hz, modulation_depth : float
        Depth is 0 to 1.
    double_ms : float
        Delay of an artificial second take on the other side; 0: none.
    reverb_db, delay_db : float or None
        What goes to the two; None: nothing.
    duck_db : float
        How far every bass drum pushes it down.
    """

    bands: tuple[Band, ...]
    gate_db: float | None
    compressor: Compressor | None
    drive: float
    modulation: str
    modulation_hz: float
    modulation_depth: float
    double_ms: float
    reverb_db: float | None
    delay_db: float | None
    duck_db: float

    def facts(self) -> dict[str, Any]:
        """Return the settings for `Mix.notes`."""
        facts: dict[str, Any] = {
            "equaliser": [
                f"{band.kind} {band.frequency_hz:.0f} Hz"
                + (f" {band.gain_db:+.1f} dB" if band.gain_db else "")
                for band in self.bands
            ],
        }
        if self.reverb_db is not None:
            facts["reverb_db"] = round(self.reverb_db, 1)
        if self.gate_db is not None:
            facts["gate_db"] = round(self.gate_db, 1)
        if self.compressor:
            facts["compressor_ratio"] = round(self.compressor.ratio, 1)
        if self.modulation:
            facts["modulation"] = self.modulation
        if self.delay_db is not None:
            facts["delay_db"] = round(self.delay_db, 1)
        numbers = {"drive": self.drive, "double_ms": self.double_ms, "duck_db": self.duck_db}
        return facts | {name: round(value, 1) for name, value in numbers.items() if value}


@dataclass(frozen=True)
class SongWide:
    """What all strips of a song have in common.

    Attributes
    ----------
    tilt : Band
        The engineer's taste, dark or bright.
    wet_db : float
        Added to all that goes to the reverb.
    pumping_db : float
        How far the bass drum pushes bass and pads down; 0: not at all.
    """

    tilt: Band
    wet_db: float
    pumping_db: float


def draw_song_wide(style: str, rng: np.random.Generator) -> SongWide:
    """Draw what all strips of a song have in common."""
    profile = profiles.profile_of(style)
    frequency_hz, tilt_db = rng.uniform(*_TILT_HZ), rng.normal(0, 1.5)
    wet_db, depth_db = profile.wet_db + rng.normal(0, 2), rng.uniform(3, 12)
    is_pumping = rng.random() < profile.pumping
    tilt = Band("high_shelf", float(frequency_hz), float(np.clip(tilt_db, -4, 4)), 0.5)
    return SongWide(tilt, float(wet_db), float(depth_db) if is_pumping else 0.0)


def draw_strip(
    role: str, instrument: str, place: Place, song: SongWide, rng: np.random.Generator
) -> Strip:
    """Draw the settings of a part."""
    family = profiles.family_of(role, instrument)
    modulation = _draw_modulation(role, instrument, rng)
    is_gated = rng.random() < profiles.GATED.get(role, 0.0)
    is_driven = rng.random() < profiles.SATURATED.get(role, profiles.OTHER_SATURATED)
    is_echoed = rng.random() < profiles.DELAY_PROBABILITY.get(role, 0.0)
    is_doubled = rng.random() < _doubling(role, instrument, place)
    wet_db = song.wet_db + float(
        rng.uniform(*profiles.REVERB_DB.get(role, profiles.OTHER_REVERB_DB))
    )
    slow, fast = {"pad": (0.05, 0.5), "bass": (0.5, 1.0)}.get(role, (0.0, 0.0))
    return Strip(
        bands=(*_draw_bands(family, rng), song.tilt),
        gate_db=float(rng.uniform(-32, -20)) if is_gated else None,
        compressor=_draw_compressor(role, rng),
        drive=float(np.exp(rng.uniform(0, np.log(6)))) if is_driven else 0.0,
        modulation=modulation,
        modulation_hz=float(np.exp(rng.uniform(np.log(0.2), np.log(5)))),
        modulation_depth=float(rng.uniform(0.1, 0.6)),
        double_ms=float(rng.uniform(9, 24)) if is_doubled else 0.0,
        reverb_db=wet_db if wet_db > profiles.LEAST_REVERB_DB else None,
        delay_db=float(rng.uniform(*profiles.DELAY_DB)) if is_echoed else None,
        duck_db=song.pumping_db * float(rng.uniform(slow, fast)),
    )


def _draw_bands(family: str, rng: np.random.Generator) -> list[Band]:
    bands = []
    for choice in profiles.EQUALISERS[family]:
        lowest, highest = np.log(choice.frequency_hz)
        frequency = float(np.exp(rng.uniform(lowest, highest)))
        gain, q = rng.uniform(*choice.gain_db), rng.uniform(*choice.q)
        if rng.random() < choice.probability:
            bands.append(Band(choice.kind, frequency, float(gain), float(q)))
    return bands


def _draw_compressor(role: str, rng: np.random.Generator) -> Compressor | None:
    wanted, ratio = rng.random(), rng.uniform(1.8, 6.0)
    threshold_db, attack_s = (
        rng.uniform(-7, 4),
        np.exp(rng.uniform(np.log(0.002), np.log(0.03))),
    )
    release_s = np.exp(rng.uniform(np.log(0.04), np.log(0.3)))
    if wanted >= profiles.COMPRESSED.get(role, profiles.OTHER_COMPRESSED):
        return None
    return Compressor(float(threshold_db), float(ratio), float(attack_s), float(release_s))


def _draw_modulation(role: str, instrument: str, rng: np.random.Generator) -> str:
    wanted = rng.random() < _MODULATED
    kind = str(rng.choice(list(_MODULATIONS), p=list(_MODULATIONS.values())))
    return kind if wanted and profiles.is_electric(instrument) and role != "bass" else ""


def _doubling(role: str, instrument: str, place: Place) -> float:
    """Return the probability of an artificial double take."""
    if place.takes > 1:
        return 0.0
    if role in ("chords", "riff"):
        return 0.3 if profiles.is_guitar(instrument) else 0.0
    return {"pad": 0.6, "backing_vocals": 0.5, "vocals": 0.1}.get(role, 0.0)


def process(
    samples: Samples, place: Place, strip: Strip, dips_db: Curve | None, clock: Clock
) -> Samples:
    """Send a part through its strip.

    Parameters
    ----------
    samples : ndarray ``[1 or 2, samples]``
        In whole blocks; its peak is near 1. It is overwritten.
    place : Place
    strip : Strip
    dips_db : ndarray ``[blocks]`` or None
        How the bass drum ducks it.
    clock : Clock

    Returns
    -------
    ndarray ``[2, samples]``
    """
    samples = equalise(samples, strip.bands, clock.sample_rate)
    gain_db = _dynamics(samples, strip, clock)
    if gain_db is not None:
        gains.apply_gain(samples, gains.edges_of(gain_db), clock)
    if strip.drive:
        set_level(samples, 0.0, clock)
        samples *= np.float32(strip.drive)
        np.tanh(samples, out=samples)
    samples = _modulated(samples, strip, clock.sample_rate)
    if strip.double_ms and len(samples) == 1:
        samples = _doubled(samples, strip, place, clock.sample_rate)
    stereo = placed(samples, place, clock)
    if dips_db is not None:
        gains.apply_gain(stereo, gains.edges_of(dips_db), clock)
    return stereo


def _dynamics(samples: Samples, strip: Strip, clock: Clock) -> Curve | None:
    """Return the gain in dB ``[blocks]`` of gate, compressor and tremolo together."""
    is_trembling = strip.modulation == "tremolo"
    if strip.gate_db is None and strip.compressor is None and not is_trembling:
        return None
    powers = gains.block_powers(samples, clock)
    gain_db = np.zeros(len(powers))
    if strip.gate_db is not None:
        gain_db += gains.gate(powers, strip.gate_db, _GATE_DEPTH_DB, clock)
    if strip.compressor:
        gain_db += gains.compress(powers, strip.compressor, clock)
    if is_trembling:
        rate_hz = 2 + strip.modulation_hz
        gain_db += gains.tremolo(len(powers), rate_hz, 15 * strip.modulation_depth, clock)
    return gain_db


def _modulated(samples: Samples, strip: Strip, sample_rate: int) -> Samples:
    """Send samples through a chorus or a phaser; phasers are slow, so stereo gets a chorus."""
    if strip.modulation not in ("chorus", "phaser"):
        return samples
    settings: Mapping[str, float] = {
        "rate_hz": strip.modulation_hz / 2,
        "depth": strip.modulation_depth / 2,
        "mix": 0.4,
    }
    if strip.modulation == "phaser" and len(samples) == 1:
        return pedalboard.Phaser(**settings)(samples, sample_rate)
    return pedalboard.Chorus(**settings)(samples, sample_rate)


def _doubled(samples: Samples, strip: Strip, place: Place, sample_rate: int) -> Samples:
    """Make two takes of one ``[2, samples]``: the late one drifts a little in pitch."""
    late = pedalboard.Chorus(
        rate_hz=0.2 + strip.modulation_depth,
        depth=0.12,
        centre_delay_ms=strip.double_ms,
        feedback=0.0,
        mix=1.0,
    )(samples, sample_rate)
    return np.concatenate([samples, late] if place.pan <= 0 else [late, samples])
