"""Separate tracker modules into drums, bass and other by their instruments, with libopenmpt.

    python scripts/tracker_songs.py PACKAGES OUT [--table]

PACKAGES holds a folder for each Debian package, unpacked by ``dpkg -x``, whose names
``tracker_songs.toml`` lists with their licences; other packages are ignored. Each module becomes a
folder of OUT with ``drums.flac``, ``bass.flac`` and ``other.flac`` (44.1 kHz, 16 bits, all with one
gain) and ``manifest.json``, which lists the stem of every instrument and the reason. An interrupted
call resumes.

Instruments are classified by their names if these are conclusive, else by measurements and by their
use in patterns; ``tracker_songs.toml`` has corrections, and lists excluded modules and instruments.
The Amiga's channels, two left and two right, get another stereo width in each module. ``--table``
prints the measurements.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy import ndimage, signal

from partita.files import whole_file
from tracker_modules import ModuleError, find_units, notes_of, only, render

RATE = 44100
STEMS = ("drums", "bass", "other")
_SUFFIXES = {".mod", ".xm", ".s3m", ".it"}
_AMIGA_SEPARATION = (20, 120)  # percent of libopenmpt's own, which is half of the Amiga's
_PEAK = 0.9  # of the mixture
_LOWEST_HZ = 20  # below there is only the offset of short loops

_MEASURED_RATE, _FFT, _BLOCK = 22050, 1024, 1024
_WINDOWS, _WINDOW_S = 4, 3  # that are measured
_SOUNDING = 0.03  # of the loudest block
_BASS_HZ, _BASS_NOTE_HZ = 250, 80  # below: its energy, and a median pitch that is clearly a bass's
_PERIODIC, _NEARLY = 0.8, 0.93
_PITCHED_FRAMES = 80  # in which a pitch is looked for, at most
#: Words in the names of instruments, some of them Finnish.
_NAMES = {
    "drums": r"\b(drums?|kick|bass ?drum\w*|bd|snare\w*|sd\d*\w*|hi-?hats?\w*|hats?|chihat|claps?"
    r"|cymbals?|crash|ride|toms?|kettle|shaker|rimshot|percuse|tick|click|909|linndrum"
    r"|basari|virveli\w*|\w*pelti\w*|tomit)\b",
    "bass": r"\b(bass\w*|\w+bass\w*)\b",
    "other": r"\b(strings?|pianos?|guitars?|leads?|chords?|accord|organ|flutes?|oboe|marimba|vox"
    r"|vocals?|horn|pads?|sweep|sfx|nature|bell|twinkle|\w*kitara\w*|huilu|urut|kuoro|syntikka"
    r"|vibra|scratch)\b",
}
_DOUBTFUL = ("none", "low, neither certainly drum nor certainly bass")
_SURE = 0.5  # share of a module's energy that must be in a stem


@dataclass(frozen=True)
class Measures:
    """Measurements of an instrument of a module.

    Attributes
    ----------
    energy : float
        Energy of its louder channel.
    notes, keys : int
        Number of notes, and of different notes.
    low : float
        Share of energy below 250 Hz.
    percussive : float
        Percussive share of the energy by median filters.
    flatness : float
        1: white noise, 0: a tone.
    periodic : float
        Share of the time with a pitch.
    hertz : float
        Its median; 0 where there is none.
    seconds : float
        Length of a note.
    """

    energy: float
    notes: int
    keys: int
    low: float
    percussive: float
    flatness: float
    periodic: float
    hertz: float
    seconds: float


def main() -> None:
    """Write the stems of all modules."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("packages", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    known = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    seconds = dict.fromkeys(STEMS, 0.0)
    for path, package in modules_of(arguments.packages, known):
        folder = arguments.out / f"{package.removesuffix('-data')}-{path.stem}"
        try:
            done = take_apart(path, folder, known, package)
        except ModuleError as error:
            sys.exit(f"{path}: {error}")
        if done is None:
            print(f"skipped: {path.name}, most of which cannot be classified")
            continue
        if arguments.table:
            print(*table_of(done), sep="\n")
        for stem in STEMS:
            seconds[stem] += done["seconds"][stem]
    print(*(f"{stem}: {seconds[stem] / 60:.1f} min" for stem in STEMS), sep=", ")


def modules_of(packages: Path, known: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """Return the modules that may be used, with their packages."""
    return [
        (path, package)
        for package in sorted(known["licences"])
        for path in sorted((packages / package).rglob("*"))
        if path.suffix.lower() in _SUFFIXES and f"{package}/{path.name}" not in known["left_out"]
    ]


def take_apart(
    path: Path, folder: Path, known: Mapping[str, Any], package: str
) -> dict[str, Any] | None:
    """Write the stems of a module, unless they exist; return its manifest.

    None if less than `_SURE` of the module is in any stem.
    """
    said = folder / "manifest.json"
    if said.is_file():
        return dict(json.loads(said.read_text("utf-8")))
    data = path.read_bytes()
    instruments = sort(data, known["corrected"].get(f"{package}/{path.name}", {}))
    if sum(each["energy"] for each in instruments if each["stem"] != "none") < _SURE:
        return None
    rng = random.Random(path.name)
    is_amiga = path.suffix.lower() == ".mod" and not data.startswith(b"Extended Module")
    separation = rng.randint(*_AMIGA_SEPARATION) if is_amiga else 100
    stems = {
        stem: without_offset(render(only(data, members(instruments, stem)), RATE, separation), RATE)
        for stem in STEMS
    }
    gain = _PEAK / max(float(np.abs(sum(stems.values())).max()), 1e-9)
    gain = min(gain, *(1 / max(float(np.abs(each).max()), 1e-9) for each in stems.values()))
    folder.mkdir(parents=True, exist_ok=True)
    for stem, samples in stems.items():
        with whole_file(folder / f"{stem}.flac") as partial:
            soundfile.write(partial, gain * samples.T, RATE, format="FLAC", subtype="PCM_16")
    manifest = {
        "module": path.name,
        "package": package,
        "licence": known["licences"][package],
        "stereo_separation_percent": separation,
        "seconds": {stem: sounding_s(samples) for stem, samples in stems.items()},
        "instruments": instruments,
    }
    with whole_file(said) as partial:
        partial.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    return manifest


def members(instruments: Sequence[Mapping[str, Any]], stem: str) -> list[int]:
    """Return the instruments of a stem, from 0."""
    return [each["number"] - 1 for each in instruments if each["stem"] == stem]


def without_offset(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """Return samples without inaudible low frequencies, such as the offset of short loops."""
    low_cut = signal.butter(2, _LOWEST_HZ, "highpass", fs=sample_rate, output="sos")
    return np.asarray(signal.sosfilt(low_cut, samples))


def sounding_s(samples: NDArray[np.float64]) -> float:
    """Return the number of seconds that are not silent."""
    whole = samples[:, : samples.shape[1] // RATE * RATE].reshape(2, -1, RATE)
    return float(np.sum(np.sqrt((whole**2).mean(axis=(0, 2))) > 1e-3))


def sort(data: bytes, corrected: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the stem of each audible instrument, the reason, and its measurements.

    Parameters
    ----------
    data : bytes
        A module.
    corrected : mapping of str to str
        Number of an instrument, from 1 → its stem, or ``"none"``.
    """
    units, found = find_units(data), {}
    for index, notes in sorted(notes_of(data).items()):
        if index < len(units):
            samples = render(only(data, [index]), _MEASURED_RATE, filter_length=2)
            measures = measure(samples, notes)
            if measures is not None:
                found[index] = measures
    energy = sum(measures.energy for measures in found.values())
    sorted_ = []
    for index, measures in found.items():
        stem, reason = guess(units[index].name, measures)
        if str(index + 1) in corrected:
            stem, reason = corrected[str(index + 1)], "corrected by hand"
        facts = {"number": index + 1, "name": units[index].name, "stem": stem, "reason": reason}
        sorted_.append({**facts, **asdict(measures), "energy": measures.energy / energy})
    return sorted_


def guess(name: str, measures: Measures) -> tuple[str, str]:
    """Return the stem of an instrument, and the reason."""
    spaced = re.sub(r"[._-]+", " ", name.lower())
    for stem, words in _NAMES.items():
        named = re.search(words, spaced)
        if named is not None:
            return stem, f"named {named[0]}"
    return _guess_low(measures) if measures.low > 0.7 else _guess_high(measures)


def _guess_high(measures: Measures) -> tuple[str, str]:
    if measures.periodic < 0.1 and (measures.percussive > 0.5 or measures.flatness > 0.2):
        return "drums", "without a pitch, percussive or noise"
    if measures.periodic >= 0.3 and measures.low > 0.55 and measures.hertz < _BASS_NOTE_HZ:
        sure = measures.keys >= 6 and measures.seconds < 1
        return ("bass", "low pitches, many notes") if sure else _DOUBTFUL
    if measures.periodic >= 0.3 or measures.keys > 4:
        return "other", "higher, with a pitch or many notes"
    if measures.percussive > 0.3 or measures.flatness > 0.05:
        return "drums", "without a pitch, percussive or noisy"
    return "other", "without a pitch, but sustained"


def _guess_low(measures: Measures) -> tuple[str, str]:
    has_pitch = measures.periodic >= (0.5 if measures.keys == 3 else 0.25)  # short notes have less
    if measures.keys >= 3 and has_pitch:
        return "bass", "low, with a pitch that changes"
    if measures.keys <= 2 and measures.periodic < 0.7 and measures.seconds < 0.5:
        return "drums", "low, short and without a pitch"
    if measures.keys <= 2 and measures.periodic < 0.3 and measures.percussive > 0.25:
        return "drums", "low, percussive and without a pitch"
    return _DOUBTFUL


def measure(samples: NDArray[np.float32], notes: Sequence[int]) -> Measures | None:
    """Measure a single instrument, ``[2, samples]``; None if it is silent."""
    louder = int(np.argmax((samples**2).sum(axis=1)))
    mono = without_offset(samples[louder], _MEASURED_RATE)
    blocks = mono[: len(mono) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    levels = np.sqrt((blocks**2).mean(axis=1))
    sounding = np.flatnonzero(levels > max(_SOUNDING * levels.max(initial=0), 1e-4))
    if not len(sounding):
        return None
    starts = _BLOCK * sounding[:: -(-len(sounding) // _WINDOWS)]
    heard = np.concatenate([mono[start:][: _WINDOW_S * _MEASURED_RATE] for start in starts])
    bins_hz, _, spectra = signal.stft(
        heard, _MEASURED_RATE, nperseg=_FFT, noverlap=_FFT // 2, boundary=None, padded=False
    )
    magnitudes = np.abs(spectra)
    loud = magnitudes.sum(axis=0)
    magnitudes = magnitudes[:, loud > _SOUNDING * loud.max()]
    powers = magnitudes**2
    steady = ndimage.median_filter(magnitudes, (1, 11))
    sudden = ndimage.median_filter(magnitudes, (11, 1))
    flatness = np.exp(np.log(powers + 1e-12).mean(axis=0)) / powers.mean(axis=0)
    pitched = _BLOCK * sounding[:: -(-len(sounding) // _PITCHED_FRAMES)]
    pitches = [pitch_hz(mono[start:][: 2 * _BLOCK]) for start in pitched]
    found = [hertz for hertz in pitches if hertz is not None]
    return Measures(
        energy=float((mono**2).sum()),
        notes=len(notes),
        keys=len(set(notes)),
        low=float(powers[bins_hz < _BASS_HZ].sum() / powers.sum()),
        percussive=float(powers[sudden > steady].sum() / powers.sum()),
        flatness=float(np.average(flatness, weights=powers.sum(axis=0))),
        periodic=len(found) / len(pitches),
        hertz=float(np.median(found)) if found else 0.0,
        seconds=len(sounding) * _BLOCK / _MEASURED_RATE / len(notes),
    )


def pitch_hz(frame: NDArray[np.float64]) -> float | None:
    """Return the pitch of a frame by its normalised square difference; None: no pitch."""
    if len(frame) < 4:
        return None
    lags = np.arange(len(frame) // 2)
    power = np.abs(np.fft.rfft(frame, 2 * len(frame))) ** 2
    energies = np.concatenate(([0.0], np.cumsum(frame**2)))
    both = energies[len(frame) - lags] + energies[-1] - energies[lags]
    likeness = 2 * np.fft.irfft(power)[: len(lags)] / np.maximum(both, 1e-12)
    peaks, _ = signal.find_peaks(likeness, height=_PERIODIC)
    peaks = peaks[peaks > max(8, int(np.argmax(likeness < 0)))]
    if not len(peaks):
        return None
    return float(_MEASURED_RATE / peaks[likeness[peaks] > _NEARLY * likeness[peaks].max()][0])


def table_of(manifest: Mapping[str, Any]) -> list[str]:
    """Return the classification of a module as lines of text."""
    head = f"\n{manifest['module']} ({manifest['package']}, {manifest['licence']})"
    rows = (
        f"{each['number']:3} {each['name'][:24]:24} {each['stem']:5} {each['energy']:6.1%} "
        f"notes {each['notes']:4} keys {each['keys']:2} low {each['low']:.2f} "
        f"percussive {each['percussive']:.2f} flat {each['flatness']:.2f} "
        f"periodic {each['periodic']:.2f} {each['hertz']:4.0f} Hz "
        f"{each['seconds']:5.2f} s  {each['reason']}"
        for each in manifest["instruments"]
    )
    return [head, *rows]


if __name__ == "__main__":
    main()
