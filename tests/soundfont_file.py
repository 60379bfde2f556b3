"""A SoundFont that is small enough to write in a test: a sine on every key."""

from __future__ import annotations

import math
import struct
from pathlib import Path

RATE = 44_000  # 440 Hz goes exactly a hundred times into it
ROOT_KEY = 69
_PERIOD = 100
_FRAMES = 200 * _PERIOD
_MODULATOR_END = bytes(10)


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _list(name: bytes, *chunks: bytes) -> bytes:
    return _chunk(b"LIST", name + b"".join(chunks))


def _preset(name: bytes, program: int, bank: int, bag: int) -> bytes:
    return struct.pack("<20sHHHIII", name, program, bank, bag, 0, 0, 0)


def tiny_soundfont(path: Path) -> Path:
    """Write a SoundFont with a melodic preset, which sounds on, and a kit, whose hits choke.

    Both are one looped sine of 440 Hz at key 69 and half of full scale, program 0 of their bank.
    """
    sine = [round(16384 * math.sin(2 * math.pi * n / _PERIOD)) for n in range(_FRAMES)]
    samples = struct.pack(f"<{_FRAMES}h", *sine) + bytes(92)
    info = _list(
        b"INFO",
        _chunk(b"ifil", struct.pack("<HH", 2, 4)),
        _chunk(b"INAM", b"Tiny\0\0"),
        _chunk(b"ICOP", b"nobody's\0\0"),
    )
    presets = _preset(b"Sine", 0, 0, 0) + _preset(b"Kit", 0, 128, 1) + _preset(b"EOP", 0, 0, 2)
    loop = [(54, 1), (38, -3986)]  # sampleModes, releaseVolEnv of 0.1 s
    generators = [*loop, (53, 0), (57, 1), *loop, (53, 0), (0, 0)]
    header = struct.pack(
        "<20sIIIIIBbHH", b"sine", 0, _FRAMES, _PERIOD, _FRAMES - _PERIOD, RATE, ROOT_KEY, 0, 0, 1
    )
    tables = _list(
        b"pdta",
        _chunk(b"phdr", presets),
        _chunk(b"pbag", struct.pack("<6H", 0, 0, 1, 0, 2, 0)),
        _chunk(b"pmod", _MODULATOR_END),
        _chunk(b"pgen", struct.pack("<6H", 41, 0, 41, 1, 0, 0)),
        _chunk(b"inst", b"".join(struct.pack("<20sH", b"inst", bag) for bag in (0, 1, 2))),
        _chunk(b"ibag", struct.pack("<6H", 0, 0, 3, 0, 7, 0)),
        _chunk(b"imod", _MODULATOR_END),
        _chunk(b"igen", b"".join(struct.pack("<Hh", *each) for each in generators)),
        _chunk(b"shdr", header + bytes(46)),
    )
    path.write_bytes(
        _chunk(b"RIFF", b"sfbk" + info + _list(b"sdta", _chunk(b"smpl", samples)) + tables)
    )
    return path
