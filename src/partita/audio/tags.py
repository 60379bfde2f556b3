"""Tags and cover art: read from a song, copied to its stems."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av

from partita.audio.ape_tags import ApeTags, read_ape_tags
from partita.audio.container import MAX_PIXELS, metadata_of, open_container
from partita.audio.more_tags import read_more_tags
from partita.audio.pictures import picture_size
from partita.audio.tag_limits import MAX_PICTURE_BYTES, MAX_TAGS, excess_patches
from partita.audio.tag_names import SEPARATOR, with_our_names
from partita.errors import one_line

#: Tags about the file (encoder, container, loudness), not about the song.
_FILE_BOUND = re.compile(
    r"replaygain_.*|mp3gain_.*|r128_.*|itunnorm|itunsmpb|encoder|encoded_by|encoding.*|tool|tsse|tlen|length"
    r"|major_brand|minor_version|compatible_brands|creation_time|handler_name|vendor_id|language"
    r"|gapless_playback|media_type|hd_video|id3v2_priv\..*"
    r"|name|duration|bps|number_of_.*|_statistics.*|metadata_block_picture|coverart.*",
    re.IGNORECASE,
)

_FRONT = "Cover (front)"  # FFmpeg's name of the picture type
#: Longer tags are left out; lyrics are shorter.
_MAX_TEXT = 1_000_000
_PICTURE_MIME = {"mjpeg": "image/jpeg", "png": "image/png"}


@dataclass(frozen=True)
class Cover:
    """A cover picture, still encoded."""

    data: bytes
    codec: str  # FFmpeg's name: "mjpeg", "png", …
    width: int
    height: int

    @property
    def mime(self) -> str:
        """The picture's media type."""
        return _PICTURE_MIME[self.codec]

    def as_flac_picture(self) -> bytes:
        """Return the content of a FLAC picture block (RFC 9639, section 8.8)."""
        front_cover, mime = 3, self.mime.encode()
        block = struct.pack(f">II{len(mime)}sI", front_cover, len(mime), mime, 0)
        block += struct.pack(">IIIII", self.width, self.height, 24, 0, len(self.data))
        return block + self.data


@dataclass(frozen=True)
class Tags:
    """The tags of a song.

    Attributes
    ----------
    text : mapping of str to str
        By the names of `partita.audio.tag_names` (``title``, ``artist``, ``bpm``, ``key``, …),
        others in lower case; NULs separate several values.
    cover : Cover or None
        The first cover picture.
    left_out : tuple of str
        Descriptions of tags that were left out, with the reason.
    """

    text: Mapping[str, str] = field(default_factory=dict)
    cover: Cover | None = None
    left_out: tuple[str, ...] = ()

    def for_stem(self, stem: str, track: str) -> Tags:
        """Return the tags of one stem: those of the song, with the stem's name in the title.

        Parameters
        ----------
        stem : str
            Empty for a file that holds all stems: its title is the song's.
        track : str
            Title of a song that has none.
        """
        plain = os.fsencode(track).decode("utf-8", errors="replace")
        title = self.text.get("title", plain).split(SEPARATOR)[0]
        title += f" ({stem})" if stem else ""
        return replace(self, text={**self.text, "title": title})


def read_tags(path: Path) -> Tags:
    """Read the tags and the first cover picture of a file.

    ReplayGain and other values that describe the file rather than the song are left out.
    A file whose tags cannot be read has none: tags never stop a separation.
    """
    left_out: list[str] = []
    try:
        with open_container(path) as container:
            audio = container.streams.audio
            found = metadata_of(audio[0]) if audio else {}
            found |= metadata_of(container)
            cover = _first_cover(container, left_out)
        if excess_patches(path):
            left_out.append(f"its tags were left out: more than {MAX_TAGS:,} of a kind")
            more, ape = {}, ApeTags({}, b"")
        else:
            more, ape = read_more_tags(path), read_ape_tags(path)
    except (av.FFmpegError, OSError, ValueError, MemoryError):
        return Tags()
    text = with_our_names(ape.text)
    text |= with_our_names({name: value for name, value in found.items() if value}) | more
    if cover is None:
        cover = _ape_cover(ape.cover, left_out)
    about_song = {n: value for n, value in text.items() if not _FILE_BOUND.fullmatch(n)}
    for name in [n for n, value in about_song.items() if len(value) > _MAX_TEXT]:
        left_out.append(f"its tag {one_line(name)} was left out: {len(about_song[name]):,} letters")
        del about_song[name]
    return Tags(about_song, cover, tuple(left_out))


def _first_cover(container: Any, left_out: list[str]) -> Cover | None:
    """Return the first cover that is a JPEG or PNG picture, which all formats accept.

    Front covers are preferred to pictures of artists, booklets and media. Nothing is decoded, since
    a small file can state a picture of gigabytes. Descriptions of what is too large are added to
    `left_out`.
    """
    streams = container.streams.video
    for stream in sorted(streams, key=lambda each: metadata_of(each).get("comment") != _FRONT):
        if av.stream.Disposition.attached_pic not in stream.disposition:
            continue
        for packet in container.demux(stream):
            size = picture_size(bytes(packet)) if packet.size <= MAX_PICTURE_BYTES else None
            if packet.size > MAX_PICTURE_BYTES:
                left_out.append(f"its cover was left out: {packet.size / 1e6:.0f} MB")
            elif size and size[1] * size[2] > MAX_PIXELS:
                left_out.append(f"its cover was left out: it claims {size[1]} x {size[2]} pixels")
            elif size:
                return Cover(bytes(packet), *size)
            elif packet.size:
                left_out.append("its cover was left out: neither JPEG nor PNG, or cut short")
    return None


def _ape_cover(data: bytes, left_out: list[str]) -> Cover | None:
    size = picture_size(data)
    if size and size[1] * size[2] > MAX_PIXELS:
        left_out.append(f"its cover was left out: it claims {size[1]} x {size[2]} pixels")
        return None
    return Cover(data, *size) if size and len(data) <= MAX_PICTURE_BYTES else None
