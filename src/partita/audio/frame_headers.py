"""Headers of the frames of raw audio files."""

from __future__ import annotations

from collections.abc import Callable

#: ``(bytes, samples, rate, channels)`` of a frame.
Header = tuple[int, int, int, int]

_MP3_RATES = (44100, 48000, 32000)
_MP3_KBPS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_AAC_RATES = (
    *(96000, 88200, 64000, 48000, 44100, 32000),
    *(24000, 22050, 16000, 12000, 11025, 8000, 7350),
)
_AC3_KBPS = (
    *(32, 40, 48, 56, 64, 80, 96, 112, 128, 160),
    *(192, 224, 256, 320, 384, 448, 512, 576, 640),
)
_AC3_CHANNELS = (2, 1, 2, 3, 3, 4, 4, 5)
_DTS_RATES = (
    *(0, 8000, 16000, 32000, 0, 0, 11025, 22050, 44100, 0, 0, 12000, 24000, 48000),
    *(96000, 192000),
)
_MLP_SYNCS = (b"\xf8\x72\x6f\xba", b"\xf8\x72\x6f\xbb")
#: Enough bytes for any header.
HEADER_BYTES = 32


def mp3_header(data: bytes) -> Header | None:
    """Read the header of an MPEG audio frame; None: it is none."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    version, layer = (data[1] >> 3) & 3, 4 - ((data[1] >> 1) & 3)
    kbps_index, rate_index, padding = data[2] >> 4, (data[2] >> 2) & 3, (data[2] >> 1) & 1
    if version == 1 or layer == 4 or rate_index == 3 or kbps_index in (0, 15):
        return None
    rate = _MP3_RATES[rate_index] // {3: 1, 2: 2, 0: 4}[version]
    kbps = _MP3_KBPS[1 if version == 3 else 2, layer][kbps_index - 1]
    channels = 1 if data[3] >> 6 == 3 else 2
    if layer == 1:
        return (12_000 * kbps // rate + padding) * 4, 384, rate, channels
    samples = 576 if layer == 3 and version != 3 else 1152
    return samples // 8 * 1000 * kbps // rate + padding, samples, rate, channels


def aac_header(data: bytes) -> Header | None:
    """Read an ADTS header; channels are 0 if only the frame's content states them."""
    if len(data) < 7 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return None
    rate_index = (data[2] >> 2) & 15
    size = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    if rate_index >= len(_AAC_RATES) or size < 7:
        return None
    channels = (data[2] & 1) << 2 | data[3] >> 6
    samples = 1024 * ((data[6] & 3) + 1)
    return size, samples, _AAC_RATES[rate_index], 8 if channels == 7 else channels


def ac3_header(data: bytes) -> Header | None:
    """Read the header of an AC-3 frame (not E-AC-3)."""
    if len(data) < 8 or data[:2] != b"\x0b\x77" or data[5] >> 3 > 10:
        return None
    rate_index, size_index = data[4] >> 6, data[4] & 63
    if rate_index == 3 or size_index >= 38:
        return None
    kbps = _AC3_KBPS[size_index >> 1]
    rate = (48000, 44100, 32000)[rate_index]
    words = {48000: 2 * kbps, 44100: 320 * kbps // 147 + (size_index & 1), 32000: 3 * kbps}[rate]
    mode = data[6] >> 5
    bits = data[6] << 8 | data[7]
    skipped = 3 + 2 * (mode & 1 and mode != 1) + 2 * bool(mode & 4) + 2 * (mode == 2)
    has_lfe = (bits >> (15 - skipped)) & 1
    return 2 * words, 1536, rate, _AC3_CHANNELS[mode] + has_lfe


def eac3_header(data: bytes) -> Header | None:
    """Read the header of an E-AC-3 frame; dependent substreams count as frames of no samples."""
    if len(data) < 6 or data[:2] != b"\x0b\x77" or not 11 <= data[5] >> 3 <= 16:
        return None
    kind, substream = data[2] >> 6, data[2] >> 3 & 7
    rate_index, blocks_index = data[4] >> 6, data[4] >> 4 & 3
    if kind == 3 or rate_index == blocks_index == 3:
        return None
    rate = (
        (48000, 44100, 32000)[rate_index] if rate_index < 3 else (24000, 22050, 16000)[blocks_index]
    )
    blocks = (1, 2, 3, 6)[blocks_index] if rate_index < 3 else 6
    size = 2 * ((data[2] & 7) << 8 | data[3]) + 2
    is_own = kind != 1 and substream == 0
    return size, 256 * blocks if is_own else 0, rate, 0


def dts_header(data: bytes) -> Header | None:
    """Read the header of a DTS frame, or of an extension, which counts as a frame of no samples."""
    if len(data) < 12:
        return None
    bits = int.from_bytes(data[4:12], "big")
    if data[:4] == b"\x64\x58\x20\x25":
        is_long = bits >> 53 & 1
        size = (bits >> 21 & 0xFFFFF if is_long else bits >> 29 & 0xFFFF) + 1
        return size, 0, 0, 0
    rate, size = _DTS_RATES[bits >> 26 & 15], (bits >> 36 & 0x3FFF) + 1
    samples = 32 * ((bits >> 50 & 127) + 1)
    if data[:4] != b"\x7f\xfe\x80\x01" or not rate or size < 96 or samples < 192:
        return None
    return size, samples, rate, 0


class LatmHeaders:
    """Reads headers of AAC frames in LOAS, not all of which repeat the sample rate."""

    def __init__(self) -> None:
        self._known: tuple[int, int] | None = None  # samples, rate
        self._other = (b"", (0, 0))

    def __call__(self, data: bytes) -> Header | None:
        """Read a frame's header; None: it is none."""
        if len(data) < 16 or data[0] != 0x56 or data[1] & 0xE0 != 0xE0:
            return None
        size = ((data[1] & 31) << 8 | data[2]) + 3
        bits = int.from_bytes(data[3:11], "big")
        is_as_before, is_other_version = bits >> 63, bits >> 62 & 1
        if not is_as_before and not is_other_version:
            rate_index = bits >> 39 & 15
            if rate_index >= len(_AAC_RATES):
                return None
            samples = ((bits >> 55 & 63) + 1) * (960 if bits >> 34 & 1 else 1024)
            if not self._adopt(data, (samples, _AAC_RATES[rate_index])):
                return None
        return (size, *self._known, 0) if self._known else None

    def _adopt(self, data: bytes, form: tuple[int, int]) -> bool:
        """Update the format; a change has to occur twice, otherwise it is damage."""
        seen, other = self._other
        self._other = data, form
        if self._known is None or (form == other and data != seen):
            self._known = form
        return self._known == form


class MlpHeaders:
    """Reads headers of MLP and TrueHD access units, most of which state their size only."""

    def __init__(self) -> None:
        self._samples = self._rate = self._substreams = 0

    def __call__(self, data: bytes) -> Header | None:
        """Read a unit's header; None: it is none."""
        if len(data) < 24:
            return None
        size = 2 * ((data[0] & 15) << 8 | data[1])
        if data[4:8] in _MLP_SYNCS:
            code = data[8] >> 4 if data[7] == 0xBA else data[9] >> 4
            if code & 7 > 2:
                return None
            self._samples = 40 << (code & 7)
            self._rate = (44100 if code & 8 else 48000) << (code & 7)
            self._substreams = data[20] >> 4
        elif not self._rate or not self._is_sound(data):
            return None
        return (size, self._samples, self._rate, 0) if size >= 4 else None

    def _is_sound(self, data: bytes) -> bool:
        """Return whether the parity of a header is valid."""
        at = parity = 0
        for part in range(self._substreams + 1):
            count = 4 if part == 0 or data[at] & 0x80 else 2
            for byte in data[at : at + count]:
                parity ^= byte
            at += count
        return (parity >> 4 ^ parity) & 15 == 15


ReadHeader = Callable[[bytes], Header | None]
#: FFmpeg's demuxer → reader of the headers, their first bytes, and the offset of these.
KINDS: dict[str, tuple[Callable[[], ReadHeader], bytes, int]] = {
    "mp3": (lambda: mp3_header, b"\xff", 0),
    "aac": (lambda: aac_header, b"\xff", 0),
    "ac3": (lambda: ac3_header, b"\x0b\x77", 0),
    "eac3": (lambda: eac3_header, b"\x0b\x77", 0),
    "dts": (lambda: dts_header, b"\x7f\xfe\x80\x01", 0),
    "loas": (LatmHeaders, b"\x56", 0),
    "truehd": (MlpHeaders, b"\xf8\x72\x6f", 4),
    "mlp": (MlpHeaders, b"\xf8\x72\x6f", 4),
}
