"""Drum kits of recorded hits: Hydrogen's, and kits made of Sonic Pi's samples.

Nothing is downloaded: Debian's packages ``hydrogen-drumkits`` and ``sonic-pi-samples`` have them.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import soundfile
from numpy.typing import NDArray

from partita.errors import AudioReadError, UsageError, one_line
from partita.weights.cache_folder import home_folder
from partita_synthesis._drum_names import (
    CLOSED_HAT,
    HATS,
    KICK,
    OPEN_HAT,
    SNARE,
    key_of,
    stand_in,
)
from partita_synthesis._sample_cache import SampleCache
from partita_synthesis.instruments import Instrument
from partita_synthesis.score import Note, Part

CHARACTERS = ("acoustic", "electronic", "percussion")

# From the copyright file of Debian's package hydrogen-drumkits: the kits say less, or nothing.
_LICENCES = {
    "Audiophob": "CC0-1.0",
    "BJA_Pacific": "CC-BY-SA-3.0-US",
    "ColomboAcousticDrumkit": "GPL-2+ with exception for compositions",
    "ElectricEmpireKit": "GPL-2+",
    "Forzee Stereo Drumkit": "GPL-2",
    "Gimme A Hand 1.0": "GPL-2",
    "HardElectro1": "GPL-2+",
    "Millo-Drums_v.1": "GPL-2",
    "Millo_MultiLayered2": "GPL-2",
    "Millo_MultiLayered3": "GPL-2",
    "The Black Pearl 1.0": "GPL-2",
    "VariBreaks": "GPL-2+",
    "circAfrique v4": "CC-BY-SA-3.0",
    "rumpf_kit_z01_gm": "CC-BY-3.0",
}
_ELECTRONIC = re.compile(r"electr|synth|break|house|techno|808|909|dub|rumpf", re.IGNORECASE)
_ELECTRONIC_PROGRAMS = (24, 25)
_BRUSHES = 40

# Where pieces stand as the drummer sees them, −1 (left) to 1; the others are in the middle.
_PLACES = {
    **dict.fromkeys((42, 44, 46), -0.6),
    **dict.fromkeys((49, 55), -0.5),
    **dict.fromkeys((51, 53, 59), 0.6),
    **dict.fromkeys((52, 57), 0.7),
    **{37: -0.1, 38: -0.1, 40: -0.1, 50: -0.4, 48: -0.2, 47: 0.1, 45: 0.3, 43: 0.5, 41: 0.6},
    **{54: 0.3, 56: 0.2, 60: -0.3, 61: 0.3, 62: -0.3, 63: -0.2, 64: 0.3, 69: 0.4, 70: 0.4},
}
_SINGLE_CURVE, _LAYERED_CURVE = 1.6, 0.9  # exponents of velocity; layers are softer by themselves
_TOUCH = 0.06  # by how much the hit that is picked may differ from the one that was asked for
_WANDER_DB = 0.6
_CHOKE_S, _FADE_S = 0.015, 0.005
_SILENCE = 10 ** (-80 / 20)
_PITCH_STEP = 0.25  # semitones; what is resampled can then serve many songs
_BYTES_MAX = 1 << 24  # of a description
_HELD_BYTES_MAX = 192 << 20
_held = SampleCache(_HELD_BYTES_MAX)


@dataclass(frozen=True)
class Layer:
    """A recorded hit.

    Attributes
    ----------
    path : Path
    softest, loudest : float
        Velocities that it is for, 0 to 1.
    gain : float
    semitones : float
        By which it is played higher than recorded.
    """

    path: Path
    softest: float = 0.0
    loudest: float = 1.0
    gain: float = 1.0
    semitones: float = 0.0


@dataclass(frozen=True)
class DrumKit:
    """A kit of recorded hits; nothing is decoded before it is played.

    Attributes
    ----------
    name : str
    licence : str
        As its files say it; ``"unknown"`` where they say nothing.
    character : str
        One of `CHARACTERS`; ``"percussion"``: it cannot play a beat.
    pieces : mapping of int to tuple of tuple of Layer
        General MIDI key → the pieces that can be had under it, one of which is taken for a song →
        layers.
    """

    name: str
    licence: str
    character: str
    pieces: Mapping[int, tuple[tuple[Layer, ...], ...]]

    def can_play(self, instrument: Instrument) -> bool:
        """Whether it sounds like an instrument: no kit is played with brushes."""
        if not instrument.is_drums or instrument.program == _BRUSHES:
            return False
        electronic = instrument.program in _ELECTRONIC_PROGRAMS
        return self.character == ("electronic" if electronic else "acoustic")


def find_kits() -> tuple[DrumKit, ...]:
    """Return the kits in this system's usual folders, by name; broken ones are left out."""
    kits: dict[str, DrumKit] = {}
    for folder in _hydrogen_folders():
        for sub in sorted(folder.iterdir()) if folder.is_dir() else ():
            if (sub / "drumkit.xml").is_file():
                try:
                    kit = open_hydrogen_kit(sub)
                except UsageError:
                    continue
                kits.setdefault(kit.name, kit)
    for folder in _sonic_pi_folders():
        for kit in sonic_pi_kits(folder):
            kits.setdefault(kit.name, kit)
    return tuple(kits[name] for name in sorted(kits))


def open_hydrogen_kit(folder: str | os.PathLike[str]) -> DrumKit:
    """Read a kit of the drum machine Hydrogen.

    Parameters
    ----------
    folder : path
        With a ``drumkit.xml``, of any version.

    Raises
    ------
    UsageError
        It is not there, broken, or none of its pieces is known by its name.
    """
    folder = Path(folder)
    root = _parse(folder / "drumkit.xml")
    name = _text(root, "name") or folder.name
    pieces: dict[int, list[tuple[Layer, ...]]] = {}
    for element in root.iter("instrument"):
        key = key_of(_text(element, "name"))
        layers = tuple(_layers(element, folder))
        if key is not None and layers:
            pieces.setdefault(key, []).append(layers)
    if not pieces:
        raise _broken(folder / "drumkit.xml", "none of its pieces is known")
    licence = _LICENCES.get(name) or _text(root, "license") or "unknown"
    about = " ".join((name, _text(root, "author"), _text(root, "info")))
    character = "electronic" if _ELECTRONIC.search(about) else "acoustic"
    return _kit(name, " ".join(licence.split()), character, pieces)


def sonic_pi_kits(folder: Path) -> list[DrumKit]:
    """Return the kits that Sonic Pi's samples (CC0) in a folder make."""
    kits = []
    for (name, character), table in _SONIC_PI.items():
        pieces: dict[int, list[tuple[Layer, ...]]] = {}
        for key, variants in table.items():
            for stems in variants.split():
                # Of several layers, softest first, each has an equal part of the velocities.
                names = stems.split("+")
                paths = [folder / f"{stem}.flac" for stem in names]
                if all(path.is_file() for path in paths):
                    edges = np.linspace(0, 1, len(paths) + 1).tolist()
                    layers = zip(paths, edges, edges[1:], strict=False)
                    pieces.setdefault(key, []).append(tuple(Layer(*layer) for layer in layers))
        if pieces:
            kits.append(_kit(name, "CC0-1.0", character, pieces))
    return kits


def play_kit(
    part: Part,
    kit: DrumKit,
    duration_s: float,
    sample_rate: int,
    rng: np.random.Generator,
    *,
    tuning_semitones: float = 0.0,
) -> NDArray[np.float32]:
    """Play a part; hits that the kit has nothing for are left out.

    Parameters
    ----------
    part : Part
        Its notes are General MIDI's percussion keys; they ring as long as they were recorded, open
        hats until the next touch of the hat.
    kit : DrumKit
    duration_s : float
        What sounds on at the end is faded out.
    sample_rate : int
        In hertz.
    rng : numpy.random.Generator
        Picks pieces, hits, and the side from which the kit is seen.
    tuning_semitones : float
        Of all pieces, to a quarter of a semitone.

    Returns
    -------
    float32 [2, samples]

    Raises
    ------
    AudioReadError
        A sample of the kit cannot be read.
    """
    frames = round(duration_s * sample_rate)
    output = np.zeros((2, frames), np.float32)
    side = rng.uniform(0.3, 0.8) * (1 if rng.random() < 0.5 else -1)
    chosen = {key: kit.pieces[key][rng.integers(len(kit.pieces[key]))] for key in kit.pieces}
    notes = sorted(part.notes, key=lambda note: note.start_s)
    chokes = _chokes(notes)
    last: dict[int, Layer] = {}
    for note, choke_s in zip(notes, chokes, strict=True):
        touch, wander = rng.uniform(-1, 1, 2)  # drawn for every note, whatever becomes of it
        pick = rng.random()
        start = round(note.start_s * sample_rate)
        found = stand_in(note.pitch, frozenset(chosen))
        if found is None or not 0 <= start < frames:
            continue
        key, shift = found
        layer = _pick(chosen[key], note.velocity / 127 + _TOUCH * touch, pick, last.get(key))
        last[key] = layer
        shift += layer.semitones + tuning_semitones
        hit = _hit(layer.path, sample_rate, round(shift / _PITCH_STEP) * _PITCH_STEP)
        end = min(frames, start + hit.shape[1])
        if choke_s is not None:
            end = min(end, start + round((choke_s - note.start_s + _CHOKE_S) * sample_rate))
        curve = _SINGLE_CURVE if len(chosen[key]) == 1 else _LAYERED_CURVE
        gain = layer.gain * (note.velocity / 127) ** curve * 10 ** (_WANDER_DB * wander / 20)
        _add(output[:, start:end], hit, gain, side * _PLACES.get(note.pitch, 0.0), sample_rate)
    fade = min(frames, round(_FADE_S * sample_rate))
    output[:, frames - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return output


def _chokes(notes: Sequence[Note]) -> list[float | None]:
    """Return when each hit is choked: open hats by the next hat."""
    chokes: list[float | None] = [None] * len(notes)
    next_hat_s: float | None = None
    for index in range(len(notes) - 1, -1, -1):
        if notes[index].pitch in HATS:
            if notes[index].pitch == OPEN_HAT:
                chokes[index] = next_hat_s
            next_hat_s = notes[index].start_s
    return chokes


def _pick(layers: Sequence[Layer], strength: float, pick: float, last: Layer | None) -> Layer:
    """Return a layer for a hit, another than the last one where there are several."""
    fitting = [layer for layer in layers if layer.softest <= strength <= layer.loudest]
    if not fitting:
        return min(
            layers, key=lambda layer: max(layer.softest - strength, strength - layer.loudest)
        )
    if len(fitting) > 1 and last in fitting:
        fitting.remove(last)
    return fitting[int(pick * len(fitting))]


def _add(
    output: NDArray[np.float32],
    hit: NDArray[np.float32],
    gain: float,
    place: float,
    sample_rate: int,
) -> None:
    """Add a hit to the part, until it is choked."""
    length = output.shape[1]
    # Balance, not panorama: stereo recordings keep their sides.
    sides = (math.sqrt(1 - max(place, 0)), math.sqrt(1 - max(-place, 0)))
    cut = min(length, round(_CHOKE_S * sample_rate)) if length < hit.shape[1] else 0
    for channel, sound, side in zip(output, (hit[0], hit[-1]), sides, strict=True):
        scaled = sound[:length] * np.float32(gain * side)
        if cut:
            scaled[-cut:] *= np.linspace(1, 0, cut, dtype=np.float32)
        np.add(channel, scaled, out=channel)


def _hit(path: Path, sample_rate: int, semitones: float) -> NDArray[np.float32]:
    """Return a recorded hit at a rate and pitch: ``[channels, samples]``."""
    key = (path, sample_rate, semitones)
    return _held.get(key, lambda: _load(path, sample_rate, semitones))


def _load(path: Path, sample_rate: int, semitones: float) -> NDArray[np.float32]:
    import soxr

    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioReadError(f"cannot read {one_line(path)}: {one_line(error)}") from None
    audio = np.nan_to_num(audio[:, :2])
    loud = np.flatnonzero(np.abs(audio).max(axis=1) > _SILENCE)
    audio = audio[: int(loud[-1]) + 1] if len(loud) else audio[:1]
    played_rate = rate * 2 ** (semitones / 12)
    if played_rate != sample_rate:
        audio = soxr.resample(audio, played_rate, sample_rate, quality="MQ")
    return np.ascontiguousarray(audio.T, np.float32)


def _kit(
    name: str, licence: str, character: str, pieces: Mapping[int, Sequence[tuple[Layer, ...]]]
) -> DrumKit:
    if not {KICK, SNARE, CLOSED_HAT} <= set(pieces):
        character = "percussion"
    whole = {key: tuple(pieces[key]) for key in sorted(pieces)}
    return DrumKit(name, licence, character, whole)


def _parse(path: Path) -> ElementTree.Element:
    try:
        if path.stat().st_size > _BYTES_MAX:
            raise _broken(path, "it is larger than any drum kit's")
        content = path.read_bytes()
    except OSError as error:
        raise _broken(path, error.strerror or "unknown reason") from None
    # Entities can make a small file huge. Zeros: in UTF-16 they could hide.
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content or b"\0" in content:
        raise _broken(path, "it declares entities, which no drum kit needs")
    try:
        root = ElementTree.fromstring(content)  # noqa: S314 — no entities, see above
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise _broken(path, one_line(error)) from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # newer versions have a name space
    return root


def _layers(instrument: ElementTree.Element, folder: Path) -> Iterator[Layer]:
    loudness = _number(instrument, "volume", 1.0) * _number(instrument, "gain", 1.0)
    elements = list(instrument.iter("layer")) or [instrument]
    for element in elements:
        # Only the last part of the name: nothing outside of the kit is read.
        path = folder / Path(_text(element, "filename") or ".").name
        exists = os.path.isfile(path)  # noqa: PTH113 (Path.is_file raises for too long names)
        if exists and not path.stem.lower().startswith("empty"):
            if element is instrument:
                yield Layer(path, gain=loudness)
                continue
            softest, loudest = _number(element, "min", 0.0), _number(element, "max", 1.0)
            gain = loudness * _number(element, "gain", 1.0)
            semitones = min(max(_number(element, "pitch", 0.0), -24.0), 24.0)
            yield Layer(path, softest, loudest, gain, semitones)


def _text(element: ElementTree.Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


def _number(element: ElementTree.Element, tag: str, default: float) -> float:
    try:
        number = float(_text(element, tag))
    except ValueError:
        return default
    return number if math.isfinite(number) else default


def _broken(path: Path, why: str) -> UsageError:
    return UsageError(f"cannot read {one_line(path)} as a drum kit: {why}")


def _data_folders() -> Iterator[Path]:
    yield Path(os.environ.get("XDG_DATA_HOME") or home_folder() / ".local/share")
    yield from (Path("/usr/local/share"), Path("/usr/share"))


def _hydrogen_folders() -> Iterator[Path]:
    yield home_folder() / ".hydrogen/data/drumkits"
    for base in _data_folders():
        yield base / "hydrogen/data/drumkits"


def _sonic_pi_folders() -> Iterator[Path]:
    for base in _data_folders():
        yield base / "sonic-pi/samples"
    yield Path("/Applications/Sonic Pi.app/Contents/Resources/etc/samples")


# Key → pieces to choose from; "+" joins the layers of a piece.
_SONIC_PI = {
    ("Sonic Pi acoustic", "acoustic"): {
        36: "drum_bass_soft+drum_bass_hard drum_heavy_kick",
        38: "drum_snare_soft+drum_snare_hard",
        41: "drum_tom_lo_soft+drum_tom_lo_hard",
        42: "drum_cymbal_closed",
        44: "drum_cymbal_pedal",
        46: "drum_cymbal_open",
        47: "drum_tom_mid_soft+drum_tom_mid_hard",
        49: "drum_cymbal_soft+drum_cymbal_hard",
        50: "drum_tom_hi_soft+drum_tom_hi_hard",
        55: "drum_splash_soft+drum_splash_hard",
        56: "drum_cowbell",
    },
    ("Sonic Pi electronic", "electronic"): {
        36: "elec_hollow_kick elec_soft_kick",
        38: "elec_snare elec_lo_snare elec_mid_snare elec_hi_snare elec_filt_snare",
        42: "elec_tick drum_cymbal_closed",
        45: "elec_fuzz_tom",
        46: "drum_cymbal_open",
        49: "elec_cymbal",
        56: "elec_bell",
        76: "elec_wood",
        81: "elec_triangle",
    },
    ("Sonic Pi club", "electronic"): {
        36: "bd_808 bd_ada bd_boom bd_fat bd_gas bd_haus bd_klub bd_pure bd_sone bd_tek bd_zome"
        " bd_zum",
        38: "sn_dolf sn_dub sn_generic sn_zome",
        39: "perc_snap perc_snap2",
        42: "drum_cymbal_closed",
        44: "drum_cymbal_pedal",
        46: "drum_cymbal_open",
        49: "drum_cymbal_soft+drum_cymbal_hard",
    },
}
