"""Opening media containers with FFmpeg's libraries."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path
from typing import IO, Any

import av

from partita.audio.slices import FileSlice
from partita.audio.tag_limits import excess_patches

# From PyAV 19 on this is the default for tags that are not UTF-8.
_OPTIONS: dict[str, Any] = (
    {"metadata_errors": "surrogateescape"}
    if hasattr(av.container.Container, "metadata_errors")
    else {}
)
#: Larger pictures are not decoded: FFmpeg decodes covers, 4 bytes a pixel, while it opens a file.
MAX_PIXELS = 50_000_000


@contextlib.contextmanager
def open_container(source: Path | IO[bytes] | RawIOBase) -> Iterator[Any]:
    """Open a file for reading; PyAV needs names in UTF-8, others are passed as open files.

    Pictures of more than `MAX_PIXELS` are not decoded, and thousands of tags not read.
    """
    with contextlib.ExitStack() as stack:
        media: Any = source
        if isinstance(source, Path):
            patches = excess_patches(source)
            try:
                media = os.fsencode(source).decode("utf-8")
            except UnicodeDecodeError:
                media = stack.enter_context(source.open("rb"))
            if patches:
                media = stack.enter_context(FileSlice(source, patches=patches))
        limits = {"max_pixels": str(MAX_PIXELS)}
        yield stack.enter_context(av.open(media, options=limits, **_OPTIONS))


def metadata_of(part: Any) -> dict[str, str]:
    """Return the tags of a container or a stream; what is not UTF-8 is decoded as cp1252.

    Windows programs write cp1252 into wav files. Damaged UTF-8 becomes U+FFFD.
    """
    return {_decoded(name): _decoded(value) for name, value in part.metadata.items()}


def _decoded(text: str) -> str:
    content = text.encode("utf-8", "surrogateescape")
    decoded = content.decode("utf-8", "replace")
    is_other = "\ufffd" in decoded and decoded.replace("\ufffd", "").isascii()
    return content.decode("cp1252", "replace") if is_other else decoded
