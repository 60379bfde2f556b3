"""The file formats that stems can be written in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from partita.errors import AudioWriteError, UnknownNameError, UsageError

Bits = Literal["16", "24", "float"]

#: Default bit rates of the lossy formats, bits a second (both channels together).
_DEFAULT_BITRATES = {
    "mp3": 320_000,
    "ogg": 256_000,
    "opus": 192_000,
    "m4a": 256_000,
    "stem.mp4": 256_000,
}
_LOSSLESS_BITS: dict[str, tuple[Bits, ...]] = {"wav": ("16", "24", "float"), "flac": ("16", "24")}
_MOST_OGG_RATE = 200_000
_MOST_OPUS_BITRATE = 256_000
FORMATS = (*_LOSSLESS_BITS, *_DEFAULT_BITRATES)


@dataclass(frozen=True)
class StemFormat:
    """How stems are stored.

    Attributes
    ----------
    name : str
        One of `FORMATS`; also the file extension.
    bits : {"16", "24", "float"}
        Sample format of wav and flac.
    bitrate : int
        Bits a second of the lossy formats; 0 for wav and flac.
    """

    name: str = "wav"
    bits: Bits = "16"
    bitrate: int = 0

    @property
    def holds_all_stems(self) -> bool:
        """Whether one file takes the mixture and all stems."""
        return self.name == "stem.mp4"

    @property
    def clips(self) -> bool:
        """Whether samples beyond full scale would be cut off."""
        return self.bits != "float"


def stem_format(name: str = "wav", bits: str = "16", bitrate: str | None = None) -> StemFormat:
    """Check a choice of output format.

    Parameters
    ----------
    name : str
        One of `FORMATS`.
    bits : str
        ``"16"``, ``"24"`` or ``"float"``; for wav (all three) and flac (16 and 24).
    bitrate : str, optional
        ``"192k"`` or ``"192000"``, 8k to 512k; for the lossy formats only.

    Raises
    ------
    UsageError
        The combination does not exist.
    """
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    if name in _LOSSLESS_BITS:
        if bitrate is not None:
            raise UsageError(f"--bitrate does not apply to {name}, which is lossless")
        for allowed in _LOSSLESS_BITS[name]:
            if bits == allowed:
                return StemFormat(name, allowed)
        known = ", ".join(_LOSSLESS_BITS[name])
        raise UsageError(f"--bits {bits} does not exist for {name}; known: {known}")
    if bits != "16":
        raise UsageError(f"--bits applies to wav and flac, not to {name}; use --bitrate")
    return StemFormat(name, bitrate=_parse_bitrate(bitrate) or _DEFAULT_BITRATES[name])


def check_format(form: StemFormat, sample_rate: int, channels: int) -> None:
    """Raise `AudioWriteError` where a format cannot hold such a signal."""
    if form.name == "mp3" and channels > 2:
        raise AudioWriteError("mp3 holds two channels at most: choose another --format")
    if form.name == "ogg" and sample_rate > _MOST_OGG_RATE:
        raise AudioWriteError(
            f"ogg holds {_MOST_OGG_RATE} Hz at most, not {sample_rate}: choose another --format"
        )
    if form.name == "opus" and form.bitrate > _MOST_OPUS_BITRATE * channels:
        raise AudioWriteError(
            f"opus takes at most {_MOST_OPUS_BITRATE // 1000}k for each channel: lower --bitrate"
        )


def _parse_bitrate(text: str | None) -> int | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)(k?)", text.strip().lower())
    value = int(match[1]) * (1000 if match[2] else 1) if match else 0
    if not 8_000 <= value <= 512_000:
        raise UsageError(f"--bitrate {text!r} is not a bit rate between 8k and 512k")
    return value
