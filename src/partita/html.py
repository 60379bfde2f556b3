"""HTML of small tables, for objects that show themselves in notebooks."""

from __future__ import annotations

import html
import math
from collections.abc import Collection, Sequence

#: Of text of our own and others' names alike: nothing in it is markup.
escape = html.escape

_CELL = "padding:.2em .6em;white-space:nowrap"


def html_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str = "",
    notes: Sequence[str] = (),
    left: Collection[int] = (0,),
    bold: Collection[tuple[int, int]] = (),
) -> str:
    """Return a table that scrolls sideways where there is no room for it.

    Parameters
    ----------
    headings : sequence of str
    rows : sequence of sequence of str
    caption : str
        Above the table.
    notes : sequence of str
        Below it.
    left : collection of int
        Columns of texts; all others are aligned at the right.
    bold : collection of pair of int
        Row and column of cells in bold.
    """
    head = "".join(_cell("th", text, column in left) for column, text in enumerate(headings))
    body = "".join(
        f"<tr>{_cells(row, left, [column for line, column in bold if line == number])}</tr>"
        for number, row in enumerate(rows)
    )
    above = f"<div>{escape(caption)}</div>" if caption else ""
    below = "".join(f"<div><small>{escape(note)}</small></div>" for note in notes)
    return (
        f'<div>{above}<div style="overflow-x:auto"><table style="border-collapse:collapse">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{below}</div>"
    )


def figure(value: float) -> str:
    """Return a figure in dB as tables show it: two decimals, a dash where there is none."""
    return "–" if math.isnan(value) else f"{value:z.2f}".replace("-", "−")


def _cells(row: Sequence[str], left: Collection[int], bold: Collection[int]) -> str:
    return "".join(
        _cell("td", text, column in left, "b" if column in bold else "")
        for column, text in enumerate(row)
    )


def _cell(tag: str, text: str, is_left: bool, within: str = "") -> str:
    inside = f"<{within}>{escape(text)}</{within}>" if within else escape(text)
    side = "left" if is_left else "right"
    return f'<{tag} style="text-align:{side};{_CELL}">{inside}</{tag}>'
