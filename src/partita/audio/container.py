"""Opening media containers with FFmpeg's libraries."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

# From PyAV 19 on, tags that are not UTF-8 always come with surrogates; before, open() is told so.
_OPTIONS: dict[str, Any] = (
    {"metadata_errors": "surrogateescape"}
    if hasattr(av.container.Container, "metadata_errors")
    else {}
)


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[Any]:
    """Open a file for reading; PyAV wants names in UTF-8, so others go in as open files."""
    with contextlib.ExitStack() as stack:
        try:
            source: Any = os.fsencode(path).decode("utf-8")
        except UnicodeDecodeError:
            source = stack.enter_context(path.open("rb"))
        yield stack.enter_context(av.open(source, **_OPTIONS))


def metadata_of(part: Any) -> dict[str, str]:
    """Return the tags of a container or a stream; bytes that are not UTF-8 become U+FFFD."""
    return {_replaced(name): _replaced(value) for name, value in part.metadata.items()}


def _replaced(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
