"""Tags and cover art: read from a song, carried over to its stems."""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av

from partita.audio.container import metadata_of, open_container
from partita.audio.more_tags import read_more_tags
from partita.audio.tag_names import SEPARATOR, with_our_names

#: Facts about one particular file (its encoder, container, loudness), not about the song.
_FILE_BOUND = re.compile(
    r"replaygain_.*|r128_.*|itunnorm|itunsmpb|encoder|encoded_by|encoding.*|tool|tsse|tlen|length"
    r"|major_brand|minor_version|compatible_brands|creation_time|handler_name|vendor_id|language"
    r"|gapless_playback|media_type|hd_video|id3v2_priv\..*"
    r"|name|duration|bps|number_of_.*|_statistics.*|metadata_block_picture|coverart.*",
    re.IGNORECASE,
)

_FRONT = "Cover (front)"  # FFmpeg's name of the picture type
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
    """What a song says of itself.

    Attributes
    ----------
    text : mapping of str to str
        By the names of `partita.audio.tag_names` (``title``, ``artist``, ``bpm``, ``key``, …),
        others in lower case; several values of one tag have a NUL between them.
    cover : Cover or None
        The first cover picture.
    left_out : tuple of str
        What was there and not taken, with the reason.
    """

    text: Mapping[str, str] = field(default_factory=dict)
    cover: Cover | None = None
    left_out: tuple[str, ...] = ()

    def for_stem(self, stem: str, track: str) -> Tags:
        """Return the tags of one stem: the song's own, the stem's name added to the title.

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
    try:
        with open_container(path) as container:
            audio = container.streams.audio
            found = metadata_of(audio[0]) if audio else {}
            found |= metadata_of(container)
            cover = _first_cover(container)
        more = read_more_tags(path)
    except (av.FFmpegError, OSError, ValueError):
        return Tags()
    text = with_our_names({name: value for name, value in found.items() if value}) | more
    about_song = {n: value for n, value in text.items() if not _FILE_BOUND.fullmatch(n)}
    return Tags(about_song, cover)


def _first_cover(container: Any) -> Cover | None:
    """Return the first cover that really is a picture, of a kind that all formats take.

    Front covers come before pictures of artists, booklets and media.
    """
    streams = container.streams.video
    for stream in sorted(streams, key=lambda each: metadata_of(each).get("comment") != _FRONT):
        context = stream.codec_context
        is_picture = av.stream.Disposition.attached_pic in stream.disposition
        if not is_picture or context.name not in _PICTURE_MIME:
            continue
        for packet in container.demux(stream):
            data = bytes(packet)
            with contextlib.suppress(av.FFmpegError):
                if packet.size and packet.decode() and context.width > 0:
                    return Cover(data, context.name, context.width, context.height)
    return None
