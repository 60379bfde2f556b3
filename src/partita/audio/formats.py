"""Formats of audio files: those that stems are written in, and what their suffixes say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from partita.errors import AudioWriteError, UnknownNameError, UsageError

Bits = Literal["16", "24", "float"]

#: The format, and with a dot the suffix, of files that hold a mixture and its stems.
STEM_MP4 = "stem.mp4"

#: Default bit rates of the lossy formats in bit/s, of all channels together.
_DEFAULT_BITRATES = {
    "mp3": 320_000,
    "ogg": 256_000,
    "opus": 192_000,
    "m4a": 256_000,
    STEM_MP4: 256_000,
}
_LOSSLESS_BITS: dict[str, tuple[Bits, ...]] = {
    "wav": ("16", "24", "float"),
    "flac": ("16", "24"),
    STEM_MP4: ("16", "24"),  # ALAC
}
_MAX_OGG_RATE = 200_000
_MAX_OPUS_BITRATE = 256_000
#: Formats with one file for each stem.
FORMATS_PER_STEM = ("wav", "flac", "mp3", "ogg", "opus", "m4a")
FORMATS = (*FORMATS_PER_STEM, STEM_MP4)
#: Suffixes of files that no lossy codec made.
LOSSLESS_SUFFIXES = frozenset(
    (".wav", ".wave", ".flac", ".aif", ".aiff", ".aifc", ".caf", ".au", ".w64", ".rf64")
)

#: First bytes of files in chunks, with 32-bit and with 64-bit sizes.
CHUNKS_32, CHUNKS_64 = (b"RIFF", b"RIFX", b"FORM"), (b"RF64", b"BW64")
CHUNKS = (*CHUNKS_32, *CHUNKS_64)
#: Those of them with big-endian sizes.
CHUNKS_BIG_ENDIAN = (b"RIFX", b"FORM")


def is_lossy(path: Path) -> bool:
    """Return whether a lossy codec may have made a file, judged by its suffix."""
    return path.suffix.lower() not in LOSSLESS_SUFFIXES


def is_stem_mp4(path: Path) -> bool:
    """Return whether a file is named as one that holds a mixture and its stems."""
    return path.name.lower().endswith(f".{STEM_MP4}")


@dataclass(frozen=True)
class StemFormat:
    """How stems are stored.

    Attributes
    ----------
    name : str
        One of `FORMATS`; also the file extension.
    bits : {"16", "24", "float"}
        Sample format of wav, of flac, and of ALAC in stem.mp4.
    bitrate : int
        In bit/s; 0 for the lossless formats: wav, flac, ALAC.
    """

    name: str = "wav"
    bits: Bits = "16"
    bitrate: int = 0

    @property
    def holds_all_stems(self) -> bool:
        """Whether one file takes the mixture and all stems."""
        return self.name == STEM_MP4

    @property
    def is_lossless(self) -> bool:
        """Whether only rounding to `bits` changes samples."""
        return self.bitrate == 0

    @property
    def clips(self) -> bool:
        """Whether samples beyond full scale are clipped."""
        return self.bits != "float"


def stem_format(
    name: str = "wav", bits: str | int | None = None, bitrate: str | int | None = None
) -> StemFormat:
    """Check a choice of output format.

    Parameters
    ----------
    name : str
        One of `FORMATS`, in any case, with or without a dot before it.
    bits : str or int, optional
        ``"16"``, ``"24"`` or ``"float"``, also as ``"int24"``, ``"24bit"`` or ``"float32"``; for
        wav (all three, 16 by default), flac (16 by default, 24) and stem.mp4 (16 and 24 make
        ALAC, none makes AAC).
    bitrate : str or int, optional
        ``"192k"``, ``"192kbps"``, ``"192"`` or ``"192000"``, 8k to 512k; for the lossy formats
        only.

    Raises
    ------
    UsageError
        The combination does not exist.
    """
    name = name.strip().lower().removeprefix(".")
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    known = _LOSSLESS_BITS.get(name, ())
    depth = _parse_bits(name, bits, known) if bits is not None else None
    if depth is None and name in _DEFAULT_BITRATES:
        return StemFormat(name, bitrate=_parse_bitrate(bitrate) or _DEFAULT_BITRATES[name])
    if bitrate is not None:
        codec = " with `bits`" if name in _DEFAULT_BITRATES else ""
        raise UsageError(f"`bitrate` does not apply to {name}{codec}, which is lossless")
    return StemFormat(name, depth or "16")


def check_format(form: StemFormat, sample_rate: int, channels: int) -> None:
    """Raise `AudioWriteError` if a format cannot hold such a signal."""
    if form.name in ("mp3", STEM_MP4) and channels > 2:
        raise AudioWriteError(
            f"{form.name} holds two channels at most, not {channels}: choose another `format`"
        )
    if form.name == "ogg" and sample_rate > _MAX_OGG_RATE:
        raise AudioWriteError(
            f"ogg holds {_MAX_OGG_RATE} Hz at most, not {sample_rate}: choose another `format`"
        )
    if form.name == "opus" and form.bitrate > _MAX_OPUS_BITRATE * channels:
        raise AudioWriteError(
            f"opus takes at most {_MAX_OPUS_BITRATE // 1000}k for each channel: lower `bitrate`"
        )


def _parse_bits(name: str, text: str | int, known: tuple[Bits, ...]) -> Bits | None:
    """Return the sample format that `text` means; None: 16 bits of a format that has none."""
    plain = re.sub(r"[\s_-]", "", str(text).lower())
    match = re.fullmatch(r"(?:int|s|pcm)?(16|24)(?:bits?)?", plain)
    is_float = re.fullmatch(r"(?:float|f|fp)(?:32)?(?:bits?)?|32(?:bits?)?(?:float|f)", plain)
    bits = match[1] if match else "float" if is_float else plain
    for allowed in known:
        if bits == allowed:
            return allowed
    if known:
        raise UsageError(f"`bits` {text} does not exist for {name}; known: {', '.join(known)}")
    if bits != "16":
        raise UsageError(
            f"`bits` applies to wav and flac, and to stem.mp4 for ALAC, not to {name}; "
            "use `bitrate`"
        )
    return None


def _parse_bitrate(text: str | int | None) -> int | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})\s*(k?)(?:bit/s|bps|b/s|bits?|b)?", str(text).strip().lower())
    value = int(match[1]) if match else 0
    if match and (match[2] or value < 1000):  # "320" is what people call a bit rate of 320k
        value *= 1000
    if not 8_000 <= value <= 512_000:
        raise UsageError(f"`bitrate` {text!r} is not a bit rate between 8k and 512k")
    return value
