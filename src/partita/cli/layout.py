"""Text that fits the terminal: nothing is broken within a number or a name."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

_NARROWEST = 20


def terminal_columns() -> int | None:
    """Return how wide the terminal is; None: standard output goes elsewhere, lines stay whole."""
    return max(_NARROWEST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None


def wrapped(text: str, hanging: int = 2, columns: int | None = None) -> str:
    """Break lines between words, further lines of each indented by `hanging` spaces.

    Parameters
    ----------
    text : str
    hanging : int
    columns : int or None
        None: nothing is broken.
    """
    if columns is None:
        return text
    lines = [
        textwrap.fill(
            line,
            columns,
            subsequent_indent=" " * hanging,
            replace_whitespace=False,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.splitlines()
    ]
    return "\n".join(lines)


def fitting(widths: Sequence[int], dispensable: Sequence[int], columns: int | None) -> list[int]:
    """Choose the columns of a table that there is room for, two spaces apart.

    Parameters
    ----------
    widths : sequence of int
    dispensable : sequence of int
        Indices of columns that may be left out, the first ones first.
    columns : int or None
        None: there is room for all.

    Returns
    -------
    list of int
        Indices.
    """
    shown = list(range(len(widths)))
    for index in dispensable:
        if columns is None or sum(widths[i] + 2 for i in shown) - 2 <= columns:
            break
        shown.remove(index)
    return shown
