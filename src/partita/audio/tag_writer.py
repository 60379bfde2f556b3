"""Writing tags and cover to a finished stem file, by the names of its format."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from partita.audio.formats import StemFormat
from partita.audio.mp4_boxes import box, set_user_data
from partita.audio.tag_names import SEPARATOR, TagName, tag_name
from partita.audio.tags import Tags
from partita.audio.vorbis_comments import replace_head, write_flac_tags, write_ogg_tags

_UTF_8 = b"\x03"
_LANGUAGE = b"eng"  # of comments and lyrics is unknown; players expect this one
_FRONT_COVER = 3
_BYTES, _TEXT, _JPEG, _PNG, _INTEGER = 0, 1, 13, 14, 21  # types of mp4 data
_INTEGER_ATOMS = ("trkn", "disk", "tmpo", "cpil")


def write_tags(path: Path, form: StemFormat, tags: Tags) -> None:
    """Write tags and cover to a file.

    Parameters
    ----------
    path : Path
        Changed; meanwhile there may be a second file beside it.
    form : StemFormat
    tags : Tags

    Raises
    ------
    OSError
        The disk is full, or another error of the operating system.
    """
    if not tags.text and tags.cover is None:
        return
    picture = tags.cover.as_flac_picture() if tags.cover is not None else None
    if form.name == "wav":
        _write_wav_tags(path, tags)
    elif form.name == "flac":
        write_flac_tags(path, tags.text, picture)
    elif form.name in ("ogg", "opus"):
        write_ogg_tags(path, tags.text, picture)
    elif form.name == "mp3":
        replace_head(path, 0, _id3(tags))
    else:
        set_user_data(path, {b"meta": _item_list(tags)})


def _write_wav_tags(path: Path, tags: Tags) -> None:
    """Append an INFO list, which has few names, and an ID3 chunk with all tags."""
    info = b"INFO"
    for name, text in tags.text.items():
        if chunk := tag_name(name).riff:
            value = text.replace(SEPARATOR, "; ").encode()
            info += _chunk(chunk.encode(), value + b"\0")
    with path.open("r+b") as file:
        is_64_bit = file.read(4) == b"RF64"
        end = file.seek(0, 2)
        file.write(bytes(end % 2))
        if len(info) > len(b"INFO"):
            file.write(_chunk(b"LIST", info))
        file.write(_chunk(b"id3 ", _id3(tags)))
        size = file.tell() - 8
        file.seek(20 if is_64_bit else 4)
        file.write(struct.pack("<Q" if is_64_bit else "<I", size))


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def _id3(tags: Tags) -> bytes:
    """Return an ID3v2.4 tag."""
    frames = b"".join(_frame(tag_name(name), text) for name, text in tags.text.items())
    if tags.cover is not None:
        kind = _UTF_8 + tags.cover.mime.encode() + b"\0" + bytes([_FRONT_COVER]) + b"\0"
        frames += _framed(b"APIC", kind + tags.cover.data)
    return b"ID3\x04\0\0" + _seven_bits(len(frames)) + frames


def _frame(name: TagName, text: str) -> bytes:
    if name.id3 in ("COMM", "USLT"):
        return _framed(name.id3.encode(), _UTF_8 + _LANGUAGE + b"\0" + text.encode())
    if not name.id3:
        return _framed(b"TXXX", _UTF_8 + name.vorbis.encode() + b"\0" + text.encode())
    return _framed(name.id3.encode(), _UTF_8 + text.encode())


def _framed(name: bytes, content: bytes) -> bytes:
    return name + _seven_bits(len(content)) + b"\0\0" + content


def _seven_bits(number: int) -> bytes:
    return bytes(number >> shift & 127 for shift in (21, 14, 7, 0))


def _item_list(tags: Tags) -> bytes:
    """Return the content of a ``meta`` box in the form of iTunes."""
    items = b"".join(_item(tag_name(name), text) for name, text in tags.text.items())
    if tags.cover is not None:
        kind = _JPEG if tags.cover.mime == "image/jpeg" else _PNG
        items += box(b"covr", _data(kind, tags.cover.data))
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    return bytes(4) + handler + box(b"ilst", items)


def _item(name: TagName, text: str) -> bytes:
    if name.mp4 in _INTEGER_ATOMS and (data := _integers(name.mp4, text)):
        return box(name.mp4.encode(), data)
    values = b"".join(_data(_TEXT, value.encode()) for value in text.split(SEPARATOR))
    if len(name.mp4) == 4 and name.mp4 not in _INTEGER_ATOMS:
        return box(name.mp4.encode("latin-1"), values)
    own = name.mp4 if len(name.mp4) > 4 else name.vorbis
    free = box(b"mean", bytes(4) + b"com.apple.iTunes") + box(b"name", bytes(4) + own.encode())
    return box(b"----", free + values)


def _integers(atom: str, text: str) -> bytes:
    """Return the data of a numeric atom; empty if the text is no number."""
    match = re.fullmatch(r"\s*(\d{1,4}(?:\.\d+)?)\s*(?:/\s*(\d{1,4}))?\s*", text)
    if match is None:
        return b""
    number, total = round(float(match[1])), int(match[2] or 0)
    if atom == "cpil":
        return _data(_INTEGER, bytes([number > 0]))
    if atom == "tmpo":
        return _data(_INTEGER, struct.pack(">H", number))
    return _data(_BYTES, struct.pack(">HHH", 0, number, total) + bytes(2 if atom == "trkn" else 0))


def _data(kind: int, content: bytes) -> bytes:
    return box(b"data", struct.pack(">II", kind, 0) + content)
