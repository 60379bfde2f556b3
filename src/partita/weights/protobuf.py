"""Protocol buffers read as data: the fields of a message. Nothing here imports PyTorch.

https://protobuf.dev/programming-guides/encoding describes the format.
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the fields of a message: numbers and contents.

    Raises
    ------
    ValueError
        It is cut short, or not a protocol buffer.
    """
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        field, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = varint(data, at)
            yield field, value
            continue
        if kind == _BYTES:
            length, at = varint(data, at)
        elif kind in (_FIXED_32, _FIXED_64):
            length = 4 if kind == _FIXED_32 else 8
        else:
            raise ValueError("it is not a protocol buffer")
        if length > len(data) - at:
            raise ValueError("it is cut short")
        yield field, data[at : at + length]
        at += length


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return a number of up to 64 bits and the position after it.

    Raises
    ------
    ValueError
        As `fields`.
    """
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("it is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("it is not a protocol buffer")


def message(value: int | memoryview) -> memoryview:
    """Return the content of a field that is a message, bytes or text.

    Raises
    ------
    ValueError
        It is a number.
    """
    if isinstance(value, int):
        raise ValueError("it has a number in the place of a message")
    return value


def bytes_field(number: int, content: bytes) -> bytes:
    """Return a field of bytes, text or a message, as it is written."""
    return _written((number << 3) | _BYTES) + _written(len(content)) + content


def _written(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
