"""Damage to files: blind, and to what formats are made of (lengths, chunks, values)."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import re
import struct
import zipfile
from random import Random
from typing import Any

_NUMBERS = (0, 1, 2, 3, 7, 8, 255, 256, 32767, 65535, 1 << 24, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_BYTES_MAX = 1 << 25  # repeated repetitions would fill the disk, or memory
_CHUNK_NAME = re.compile(rb"[A-Za-z\xa9][A-Za-z0-9 _]{3}")
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.5, 1e-300, 1e300, 1e9, 10**30, 2**31, 2**63),
    *(float("nan"), float("inf"), -float("inf"), "", "a", "é\u0000", "x" * 1000, "1", [], [1], {}),
    *([[[[]]]], {"a": {"b": []}}, ["a"] * 20_000, [0] * 100_000),
)
_TEXTS = (
    *("", "0", "-1", "1e999", "nan", "inf", "99999999999999999999", "0.0000001", "true", "[]"),
    *("{}", '"', "'", "\\", "\x00", "\ufeff", "\u202e", "é", "=", ",", "\n", "[[", "]]", "#"),
    *('"a"', "[1, 2]", "x" * 5000, "../../x", "/dev/null", "1979-05-27", "0x10", "1_000", "-0"),
)


def mutate(rng: Random, data: bytes, others: list[bytes], kind: str) -> bytes:
    """Return `data` with one to four kinds of damage.

    Parameters
    ----------
    rng : random.Random
    data : bytes
    others : list of bytes
        Inputs of the same target, to splice with.
    kind : {"binary", "text", "json", "safetensors", "archive"}
    """
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        if kind == "safetensors" and rng.random() < 0.8:
            data = _safetensors(rng, data)
        elif kind == "archive" and rng.random() < 0.9:
            data = _archive(rng, data)
        elif kind == "json" and rng.random() < 0.7:
            data = _json(rng, data)
        elif kind in ("text", "json") and rng.random() < 0.8:
            data = rng.choice(_ON_TEXT)(rng, data)
        elif rng.random() < 0.15:
            data = _splice(rng, data, rng.choice(others))
        else:
            data = rng.choice(_ON_BYTES)(rng, data)
        data = data[:_BYTES_MAX]
    return data


def _at(rng: Random, data: bytes) -> int:
    """Return a position, every other time near the begin, where headers are."""
    return rng.randrange(max(1, min(len(data), rng.choice((128, 1024, len(data) or 1)))))


def _bits(rng: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
        if changed:
            changed[_at(rng, data)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _noise(rng: Random, data: bytes) -> bytes:
    start, length = _at(rng, data), rng.choice((1, 4, 16, 200, 4000))
    fill = rng.choice((rng.randbytes(length), bytes(length), b"\xff" * length))
    return data[:start] + fill + data[start + length :]


def _number(rng: Random, data: bytes) -> bytes:
    start = _at(rng, data)
    form = rng.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
    value = rng.choice((*_NUMBERS, len(data), rng.getrandbits(32)))
    raw = struct.pack(form, value % (1 << 8 * struct.calcsize(form)))
    return data[:start] + raw + data[start + len(raw) :]


def _chunk_size(rng: Random, data: bytes) -> bytes:
    """Change the number before or behind a chunk's name, as in RIFF and in MP4."""
    names = [match.start() for match in _CHUNK_NAME.finditer(data[:20_000])]
    if not names:
        return _number(rng, data)
    start = rng.choice(names) + rng.choice((4, 4, -4, 8, 12))
    raw = struct.pack(rng.choice("<>") + "I", rng.choice((*_NUMBERS, len(data))) % (1 << 32))
    return data[: max(0, start)] + raw + data[max(0, start) + 4 :]


def _cut(rng: Random, data: bytes) -> bytes:
    return data[: _at(rng, data)]


def _drop(rng: Random, data: bytes) -> bytes:
    start = _at(rng, data)
    return data[:start] + data[start + rng.choice((1, 2, 7, 100, 5000)) :]


def _repeat(rng: Random, data: bytes) -> bytes:
    start, length = _at(rng, data), rng.choice((1, 8, 64, 1024))
    return data[:start] + data[start : start + length] * rng.choice((2, 3, 50)) + data[start:]


def _swap(rng: Random, data: bytes) -> bytes:
    a, b, length = _at(rng, data), _at(rng, data), rng.choice((1, 4, 64, 1000))
    changed = bytearray(data)
    changed[a : a + length], changed[b : b + length] = data[b : b + length], data[a : a + length]
    return bytes(changed)


def _insert(rng: Random, data: bytes) -> bytes:
    start = _at(rng, data)
    return data[:start] + rng.randbytes(rng.choice((1, 3, 100))) + data[start:]


def _splice(rng: Random, data: bytes, other: bytes) -> bytes:
    return data[: _at(rng, data)] + other[_at(rng, other) :]


_ON_BYTES = (_bits, _noise, _number, _chunk_size, _cut, _drop, _repeat, _swap, _insert)


def _value_of_text(rng: Random, data: bytes) -> bytes:
    """Replace a number, a word or a quoted text."""
    found = list(re.finditer(rb'-?\d[\d.e_]*|"[^"\n]*"|\w+', data))
    if not found:
        return data
    match = rng.choice(found)
    return data[: match.start()] + rng.choice(_TEXTS).encode() + data[match.end() :]


def _lines(rng: Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    at = rng.randrange(len(lines))
    form = rng.randrange(4)
    if form == 0:
        del lines[at]
    elif form == 1:
        most = _BYTES_MAX // max(1, len(lines[at]))
        lines.insert(rng.randrange(len(lines)), lines[at] * min(rng.choice((1, 1, 1000)), most))
    elif form == 2:
        rng.shuffle(lines)
    else:
        lines.insert(at, b"[" * 20_000 if rng.random() < 0.2 else b"a = " + b"[" * 3000 + b"\n")
    return b"".join(lines)


_ON_TEXT = (_value_of_text, _value_of_text, _lines, _bits, _cut, _insert)


def _json(rng: Random, data: bytes) -> bytes:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return _value_of_text(rng, data)
    return json.dumps(_changed(rng, content)).encode()


def _changed(rng: Random, content: Any) -> Any:
    """Return a JSON value with one of its parts changed, left out or doubled."""
    form = rng.random()
    if isinstance(content, dict) and content and rng.random() < 0.9:
        key = rng.choice(list(content))
        changed = dict(content)
        if form < 0.15:
            del changed[key]
        elif form < 0.25:
            changed[rng.choice(("a", "", key + "x"))] = rng.choice(_VALUES)
        else:
            changed[key] = _changed(rng, content[key])
        return changed
    if isinstance(content, list) and content and rng.random() < 0.8:
        at = rng.randrange(len(content))
        middle = [_changed(rng, content[at])]
        if form < 0.25:
            middle = [] if form < 0.15 else [content[at]] * rng.choice((2, 100))
        return [*content[:at], *middle, *content[at + 1 :]]
    if isinstance(content, str) and content[:1] in "{[" and rng.random() < 0.9:
        return _json(rng, content.encode()).decode(errors="replace")  # JSON within JSON
    if isinstance(content, (int, float)) and not isinstance(content, bool) and rng.random() < 0.5:
        return content * rng.choice((-1, 2, 0.5, 10, 1000, 10**6, 10**9))
    return rng.choice(_VALUES)


def _safetensors(rng: Random, data: bytes) -> bytes:
    """Change the JSON that stands before the tensors, its length agreeing."""
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length]
    try:
        content = json.loads(header)
    except (ValueError, RecursionError):
        return _bits(rng, data)
    if isinstance(content, dict) and isinstance(content.get("__metadata__"), dict):
        if rng.random() < 0.7:
            texts = {k: v for k, v in content["__metadata__"].items() if k != "tensors_sha256"}
            content["__metadata__"] = _changed(rng, texts)
        else:
            content = _changed(rng, content)
    header = json.dumps(content).encode()
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def _archive(rng: Random, data: bytes) -> bytes:
    """Change one file within a checkpoint of PyTorch's, its checksum agreeing."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError):
        return rng.choice(_ON_BYTES)(rng, data)  # the older format, or too damaged already
    pickles = [name for name in members if name.endswith("data.pkl")]
    if pickles and rng.random() < 0.8:
        change = rng.choice((_pickle, _pickle, _pickle, *_ON_BYTES))
        members[pickles[0]] = change(rng, members[pickles[0]])
    elif members:
        name = rng.choice(list(members))
        members[name] = rng.choice(_ON_BYTES)(rng, members[name])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


_GLOBALS = (
    *("torch FloatStorage", "torch HalfStorage", "torch LongStorage", "torch float32"),
    *("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "fractions Fraction"),
    *("collections OrderedDict", "collections Counter", "torch Size", "os system"),
    *("demucs.hdemucs HDemucs", "diffq.diffq DiffQuantizer", "numpy.core.multiarray scalar"),
    *("torch._utils _rebuild_sparse_tensor", "torch.nn.parameter Parameter", "numpy dtype"),
)


def _pickle(rng: Random, data: bytes) -> bytes:
    """Change, leave out or double one operation of a pickle."""
    try:
        found = list(pickletools.genops(data))
    except Exception:  # pickletools breaks in many ways as well
        return rng.choice(_ON_BYTES)(rng, data)
    at = rng.randrange(len(found))
    operation, argument, start = found[at]
    end = found[at + 1][2] if at + 1 < len(found) else len(data)
    form = rng.random()
    changed = data[start:end]
    if form < 0.1:
        changed = b""
    elif form < 0.2:
        changed *= rng.choice((2, 3, 1000))
    elif form < 0.3:
        other = rng.randrange(len(found) - 1) if len(found) > 1 else 0
        changed = data[found[other][2] : found[min(other + 1, len(found) - 1)][2]]
    elif operation.name == "GLOBAL":
        changed = b"c" + rng.choice(_GLOBALS).replace(" ", "\n").encode() + b"\n"
    elif isinstance(argument, (int, float)) and "PUT" not in operation.name:
        values = (*_VALUES[:17], argument * 1000, -argument, argument + 1)
        changed = _pickled(rng.choice(values))
    else:
        changed = _pickled(rng.choice((*_VALUES[:24], *_TEXTS[:9], argument)))
    return data[:start] + changed + data[end:]


def _pickled(value: Any) -> bytes:
    """Return the operations that put a value on the stack."""
    return pickle.dumps(value, protocol=2)[2:-1]
