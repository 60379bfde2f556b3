"""Opening media containers with FFmpeg's libraries."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[Any]:
    """Open a file for reading; PyAV wants names in UTF-8, so others go in as open files."""
    with contextlib.ExitStack() as stack:
        try:
            source: Any = os.fsencode(path).decode("utf-8")
        except UnicodeDecodeError:
            source = stack.enter_context(path.open("rb"))
        yield stack.enter_context(av.open(source, metadata_errors="replace"))
