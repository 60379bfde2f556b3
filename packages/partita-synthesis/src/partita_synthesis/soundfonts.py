"""SoundFonts: where they are, what they can play, and how a part sounds with one.

Nothing is downloaded: Debian's packages ``fluid-soundfont-gm`` and
``musescore-general-soundfont`` are the usual ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from partita.errors import UsageError, one_line
from partita.weights.cache_folder import home_folder
from partita_synthesis import _soundfont_player
from partita_synthesis._soundfont_file import (
    DRUM_BANK,
    SoundFontFile,
    open_soundfont_file,
)
from partita_synthesis.instruments import Instrument
from partita_synthesis.score import Part

SUFFIXES = (".sf2", ".sf3")

#: Begins of the names that files give themselves → their licence, and a word that must be in them.
_LICENCES = {
    "Fluid R3 GM": ("MIT", "MIT"),
    "FluidR3Mono": ("MIT", "MIT"),
    "MuseScore_General": ("MIT", "MIT"),
    "Red Zeppelin 4 LV2": ("CC-BY-SA (Debian's package: GPL-2+)", "CC-BY-SA"),
    "Black Pearl 4pc": ("CC-BY-SA (Debian's package: GPL-2+)", "CC-BY-SA"),
    "OPL-3 FM 128M": ("CC-BY-SA-4.0 (as Debian's package says)", "Yamaha"),
    "SONiVOX EAS": ("Apache-2.0 (as alphaTab's package says)", "SONiVOX"),
}
# Fonts whose only preset is a kit, though it stands among the melodic ones.
_DRUM_PRODUCTS = ("AVL Drumkits",)
_FADE_S = 0.005


@dataclass(frozen=True)
class SoundFont:
    """A SoundFont that can be read.

    Attributes
    ----------
    path : Path
    name : str
        What the file calls itself.
    licence : str
        As the file says it; ``"unknown"`` where it says nothing.
    programs : frozenset of int
        General MIDI programs that it has.
    kits : frozenset of int
        Programs of the drum channel that it has.
    drums_only : bool
        Its kit stands where others have the piano.
    """

    path: Path
    name: str
    licence: str
    programs: frozenset[int]
    kits: frozenset[int]
    drums_only: bool = False

    def can_play(self, instrument: Instrument) -> bool:
        """Whether it has the program, or kit, of an instrument."""
        return instrument.program in (self.kits if instrument.is_drums else self.programs)


def find_soundfonts() -> tuple[SoundFont, ...]:
    """Return the SoundFonts in this system's usual folders, by name; broken ones are left out."""
    found: dict[Path, SoundFont] = {}
    for folder in _folders():
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            real = path.resolve()
            if path.suffix.lower() in SUFFIXES and real.is_file() and real not in found:
                try:
                    found[real] = open_soundfont(real)
                except UsageError:
                    continue
    return tuple(sorted(found.values(), key=lambda font: (font.name, font.path)))


def open_soundfont(path: str | os.PathLike[str]) -> SoundFont:
    """Read what a SoundFont has to offer.

    Raises
    ------
    UsageError
        It is not there, no SoundFont, or a broken one.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(
            f"{one_line(path)}: no such SoundFont; Debian's package fluid-soundfont-gm has one"
        )
    file = open_soundfont_file(path.resolve())
    melodic = frozenset(program for bank, program in file.presets if bank == 0)
    kits = frozenset(program for bank, program in file.presets if bank == DRUM_BANK)
    if not melodic and not kits:
        raise UsageError(f"cannot read {one_line(path)} as a SoundFont: it has no instruments")
    drums_only = file.info.get("IPRD", "").startswith(_DRUM_PRODUCTS)
    return SoundFont(
        path=path.resolve(),
        name=file.info.get("INAM") or path.stem,
        licence=_licence(file),
        programs=frozenset() if drums_only else melodic,
        kits=melodic | kits if drums_only else kits,
        drums_only=drums_only,
    )


def play_part(
    part: Part,
    instrument: Instrument,
    soundfont: SoundFont,
    duration_s: float,
    sample_rate: int,
    *,
    tuning_cents: float = 0.0,
) -> NDArray[np.float32]:
    """Play a part.

    Parameters
    ----------
    part : Part
    instrument : Instrument
    soundfont : SoundFont
        One that can play the instrument.
    duration_s : float
        What sounds on at the end is faded out.
    sample_rate : int
        In hertz.
    tuning_cents : float
        Above 440 Hz, of all notes.

    Returns
    -------
    float32 [channels, samples]
        One channel where both would be equal.

    Raises
    ------
    UsageError
        The SoundFont has not that instrument, or is broken.
    """
    if not soundfont.can_play(instrument):
        raise UsageError(f"{one_line(soundfont.path)} has no {instrument.name}")
    bank = DRUM_BANK if instrument.is_drums and not soundfont.drums_only else 0
    preset = (bank, instrument.program)
    frames = round(duration_s * sample_rate)
    output = _soundfont_player.play_notes(
        open_soundfont_file(soundfont.path), preset, part.notes, frames, sample_rate, tuning_cents
    )
    fade = min(frames, round(_FADE_S * sample_rate))
    output[:, frames - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return output


def _licence(file: SoundFontFile) -> str:
    said = [file.info[name] for name in ("ICOP", "ICMT") if file.info.get(name)]
    for name, (licence, word) in _LICENCES.items():
        if file.info.get("INAM", "").startswith(name) and any(word in text for text in said):
            return licence
    return " / ".join(text.splitlines()[0] for text in said) or "unknown"


def _folders() -> Iterator[Path]:
    home = home_folder()
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    for base in (data, Path("/usr/local/share"), Path("/usr/share")):
        yield from (base / "sounds/sf2", base / "sounds/sf3", base / "soundfonts")
    yield from (home / "Library/Audio/Sounds/Banks", Path("/Library/Audio/Sounds/Banks"))
