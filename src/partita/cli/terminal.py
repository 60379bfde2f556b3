"""Text that fits the terminal; numbers and names are never broken."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Collection, Sequence

_NARROWEST = 20


def terminal_columns() -> int | None:
    """Return the width of the terminal; None if standard output is not a terminal."""
    return max(_NARROWEST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None


def wrapped(text: str, hanging: int = 2, columns: int | None = None) -> str:
    """Wrap lines between words, with a hanging indent of `hanging` spaces.

    Parameters
    ----------
    text : str
    hanging : int
    columns : int or None
        None: lines are not wrapped.
    """
    if columns is None:
        return text
    return "\n".join(_filled(line, hanging, columns) for line in text.splitlines())


def _filled(line: str, hanging: int, columns: int) -> str:
    """Wrap one line; East Asian characters take two columns, which textwrap does not know."""
    from rich.cells import cell_len

    lines = [""]
    for word in re.findall(r"\s*\S+", line):
        if lines[-1].strip() and cell_len(lines[-1] + word) > columns:
            lines.append(" " * hanging + word.lstrip())
        else:
            lines[-1] += word
    return "\n".join(lines)


def fitting(widths: Sequence[int], dispensable: Sequence[int], columns: int | None) -> list[int]:
    """Choose the columns of a table that fit, two spaces apart.

    Parameters
    ----------
    widths : sequence of int
    dispensable : sequence of int
        Indices of columns that may be left out, in this order.
    columns : int or None
        None: all fit.

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


def table_lines(
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[int],
    dispensable: Sequence[int],
    columns: int | None,
) -> list[str]:
    """Return the lines of a table, with the columns that fit.

    Parameters
    ----------
    rows : sequence of sequence of str
        The headings are the first row.
    right : collection of int
        Columns whose cells end at one place.
    dispensable : sequence of int
    columns : int or None
        As for `fitting`.
    """
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    shown = fitting(widths, dispensable, columns)
    lines = []
    for row in rows:
        room = [" " * (width - cell_len(cell)) for width, cell in zip(widths, row, strict=True)]
        cells = [room[i] + row[i] if i in right else row[i] + room[i] for i in shown]
        lines.append("  ".join(cells).rstrip())
    return lines
