"""Read tracker modules: their instruments, and renderings with some instruments only.

libopenmpt (Debian's package libopenmpt0) renders MOD, XM, S3M, and IT modules that have no
instruments besides their samples. An instrument is removed by silencing its samples in the module's
bytes, so that all effects of patterns on a channel remain, and renderings of disjoint sets of
instruments add up to that of all.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import re
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STEREO_SEPARATION, _FILTER_LENGTH = 2, 3  # render parameters
_NOTE, _INSTRUMENT = 0, 1  # columns of a pattern
_HIGHEST_NOTE = 120  # above are the ends of notes
_READ_S = 4


class ModuleError(Exception):
    """A file that is not a module, or whose instruments cannot be separated."""


@dataclass(frozen=True)
class Unit:
    """An instrument of a pattern: an instrument in XM, a sample in other formats.

    Attributes
    ----------
    name : str
        With the names of its samples.
    places : tuple of (int, bytes)
        Position of its samples in the file, and the bytes that silence them.
    """

    name: str
    places: tuple[tuple[int, bytes], ...]


def find_units(data: bytes) -> list[Unit]:
    """Return the instruments of a module, in their order.

    Raises
    ------
    ModuleError
        Another format, a damaged file, or an IT module with instruments.
    """
    try:
        if data.startswith(b"Extended Module: "):
            return list(_units_of_xm(data))
        if data[44:48] == b"SCRM":
            return list(_units_of_s3m(data))
        if data.startswith(b"IMPM"):
            return list(_units_of_it(data))
        return list(_units_of_mod(data))
    except (struct.error, IndexError):
        raise ModuleError("the module is damaged") from None


def _text(raw: bytes) -> str:
    return re.sub(r"[^\x20-\x7e]", " ", raw.split(b"\0")[0].decode("latin-1")).strip()


def _units_of_mod(data: bytes) -> Iterator[Unit]:
    magic = re.fullmatch(rb"M[.!]K[.!]|FLT4|(\d)CHN|(\d\d)CH", data[1080:1084])
    if magic is None:
        raise ModuleError("this is no MOD, XM, S3M or IT module")
    channels = int(magic[1] or magic[2] or 4)
    at = 1084 + (max(data[952:1080]) + 1) * 64 * 4 * channels
    for head in range(20, 20 + 31 * 30, 30):
        (words,) = struct.unpack_from(">H", data, head + 22)
        length = min(2 * words, max(0, len(data) - at))
        yield Unit(_text(data[head : head + 22]), ((at, bytes(length)),))
        at += length


def _units_of_xm(data: bytes) -> Iterator[Unit]:
    at = 60 + struct.unpack_from("<I", data, 60)[0]
    patterns, instruments = struct.unpack_from("<HH", data, 70)
    for _ in range(patterns):
        head, packed = struct.unpack_from("<I", data, at)[0], struct.unpack_from("<H", data, at + 7)
        at += head + packed[0]
    for _ in range(instruments):
        size, name, _, samples = struct.unpack_from("<I22sBH", data, at)
        at += size
        heads = range(at, at + 40 * samples, 40)
        length = sum(struct.unpack_from("<I", data, head)[0] for head in heads)
        names = [_text(name), *(_text(data[head + 18 : head + 40]) for head in heads)]
        at += 40 * samples
        silence = bytes(length)  # samples are coded as differences
        yield Unit(" ".join(filter(None, dict.fromkeys(names))), ((at, silence),))
        at += length


def _units_of_s3m(data: bytes) -> Iterator[Unit]:
    orders, instruments = struct.unpack_from("<HH", data, 0x20)
    unsigned = struct.unpack_from("<H", data, 0x2A)[0] == 2
    for pointer in struct.unpack_from(f"<{instruments}H", data, 0x60 + orders):
        head = 16 * pointer
        kind, high, low, length = struct.unpack_from("<B12xBHI", data, head)
        wide, stereo = data[head + 0x1F] & 4, data[head + 0x1F] & 2
        zero = (b"\0\x80" if wide else b"\x80") if unsigned else bytes(2 if wide else 1)
        count = length * (2 if stereo else 1) if kind == 1 else 0
        place = (16 * (high << 16 | low), zero * count)
        yield Unit(_text(data[head + 0x30 : head + 0x4C]), (place,))


def _units_of_it(data: bytes) -> Iterator[Unit]:
    orders, instruments, samples = struct.unpack_from("<HHH", data, 0x20)
    if struct.unpack_from("<H", data, 0x2C)[0] & 4:
        raise ModuleError("IT modules with instruments are not read")
    for head in struct.unpack_from(f"<{samples}I", data, 0xC0 + orders + 4 * instruments):
        flags, length = data[head + 0x12], struct.unpack_from("<I", data, head + 0x30)[0]
        width = (2 if flags & 2 else 1) * (2 if flags & 4 else 1)
        places = (
            (head + 0x12, bytes([flags & ~8])),  # not compressed
            (head + 0x2E, b"\1"),  # signed
            (head + 0x48, struct.pack("<I", len(data))),  # instead of its own samples, these:
            (len(data), bytes(width * length)),
        )
        yield Unit(_text(data[head + 0x14 : head + 0x2E]), places)


def only(data: bytes, heard: Collection[int]) -> bytes:
    """Return a module in which only these instruments, counted from 0, are audible."""
    changed = bytearray(data)
    for number, unit in enumerate(find_units(data)):
        if number not in heard:
            for place, silence in unit.places:
                changed[place : place + len(silence)] = silence  # behind the end, it appends
    return bytes(changed)


@functools.cache
def library() -> Any:
    """Load libopenmpt.

    Raises
    ------
    ModuleError
        It is not installed.
    """
    path = ctypes.util.find_library("openmpt")
    if path is None:
        raise ModuleError("libopenmpt is not installed (Debian's package libopenmpt0)")
    loaded = ctypes.CDLL(path)
    pointer, number = ctypes.c_void_p, ctypes.c_int32
    for name, result, arguments in (
        ("create_from_memory2", pointer, [ctypes.c_char_p, ctypes.c_size_t, *[pointer] * 7]),
        ("destroy", None, [pointer]),
        ("set_render_param", ctypes.c_int, [pointer, ctypes.c_int, number]),
        ("read_float_stereo", ctypes.c_size_t, [pointer, number, ctypes.c_size_t, *[pointer] * 2]),
        ("get_num_channels", number, [pointer]),
        ("get_num_orders", number, [pointer]),
        ("get_order_pattern", number, [pointer, number]),
        ("get_pattern_num_rows", number, [pointer, number]),
        ("get_pattern_row_channel_command", ctypes.c_uint8, [pointer, *[number] * 4]),
    ):
        function = getattr(loaded, f"openmpt_module_{name}")
        function.restype, function.argtypes = result, arguments
    return loaded


class _Opened:
    """A module opened by libopenmpt, as a context manager."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __enter__(self) -> Any:
        nothing = [None] * 7
        self._module = library().openmpt_module_create_from_memory2(
            self._data, len(self._data), *nothing
        )
        if not self._module:
            raise ModuleError("libopenmpt cannot read it")
        return self._module

    def __exit__(self, *error: object) -> None:
        library().openmpt_module_destroy(self._module)


def render(
    data: bytes, sample_rate: int, separation_percent: int = 100, filter_length: int = 8
) -> NDArray[np.float32]:
    """Play a module once.

    Parameters
    ----------
    data : bytes
    sample_rate : int
        In hertz.
    separation_percent : int
        Stereo separation of its channels; 100: libopenmpt's default.
    filter_length : int
        Taps of the interpolation: 1, 2, 4 or 8. Fewer are faster.

    Returns
    -------
    ndarray
        float32 ``[2, samples]``.

    Raises
    ------
    ModuleError
        libopenmpt is not installed, or cannot read the module.
    """
    parts = []
    with _Opened(data) as module:
        for parameter, value in (
            (_STEREO_SEPARATION, separation_percent),
            (_FILTER_LENGTH, filter_length),
        ):
            library().openmpt_module_set_render_param(module, parameter, value)
        count = frames = _READ_S * sample_rate
        while count:
            part = np.zeros((2, frames), np.float32)
            count = library().openmpt_module_read_float_stereo(
                module, sample_rate, frames, part[0].ctypes.data, part[1].ctypes.data
            )
            parts.append(part[:, :count])
    return np.concatenate(parts, axis=1)


def notes_of(data: bytes) -> dict[int, list[int]]:
    """Return the notes of each instrument, counted from 0, in the order of the patterns."""
    notes: dict[int, list[int]] = {}
    with _Opened(data) as module:
        lib, channels = library(), range(library().openmpt_module_get_num_channels(module))
        current = dict.fromkeys(channels, 0)
        for order in range(lib.openmpt_module_get_num_orders(module)):
            pattern = lib.openmpt_module_get_order_pattern(module, order)
            rows = lib.openmpt_module_get_pattern_num_rows(module, pattern) if pattern >= 0 else 0
            for row in range(rows):
                for channel in channels:
                    cell = lib.openmpt_module_get_pattern_row_channel_command
                    note, number = (
                        cell(module, pattern, row, channel, column)
                        for column in (_NOTE, _INSTRUMENT)
                    )
                    current[channel] = number or current[channel]
                    if 0 < note <= _HIGHEST_NOTE and current[channel]:
                        notes.setdefault(current[channel] - 1, []).append(note)
    return notes
