"""What notebooks show: `partita.show`, and tables of reports."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from partita.audio.signal import Audio, as_audio, load_audio, signals_html
from partita.errors import UsageError, one_line, write_error
from partita.files import whole_file
from partita.html import escape, html_table
from partita.reports.content import Table
from partita.reports.table_files import cell_text, heading, is_numeric

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root {{ color-scheme: light dark }} body {{ font: 14px system-ui, sans-serif }}</style>
</head><body>{body}</body></html>
"""


def show(
    shown: Any,
    *,
    sample_rate: int | None = None,
    start_s: float = 0.0,
    duration_s: float | None = None,
    path: str | Path | None = None,
) -> None:
    """Show audio, estimates, scores or a comparison in a notebook, or write a page.

    A cell of a notebook shows its last expression anyway; this shows anything anywhere in it, other
    excerpts, and several signals in one player: ``show({"true": reference, "found": estimate})``.

    Parameters
    ----------
    shown : Estimates, Audio, mapping, path of a file, array, or what has ``_repr_html_``
        Signals of a mapping are played together, each can be muted or heard alone; other values of
        a mapping are shown one below the other.
    sample_rate : int, optional
        In hertz; required for arrays and tensors ``[channels, samples]``.
    start_s, duration_s : float
        Of audio: the excerpt to hear. By default the beginning, 2 minutes for all signals together.
    path : str or Path, optional
        Write this HTML file instead; it needs nothing else.

    Raises
    ------
    UsageError
        Nothing that can be shown; no notebook, and no path.
    AudioReadError
        A file cannot be read.
    AudioWriteError
        The page cannot be written.

    Examples
    --------
    >>> show(separator("song.mp3"), start_s=60, duration_s=20)  # doctest: +SKIP
    """
    signals = _signals(shown, sample_rate)
    html = _html(shown) if signals is None else _audible(shown, signals, start_s, duration_s)
    if path is not None:
        _write_page(Path(path), html)
    elif _in_notebook():
        ipython = import_module("IPython.display")
        ipython.display(ipython.HTML(html))
    else:
        raise UsageError(
            'this is no notebook: show(…, path="page.html") writes a page to open in a browser'
        )


def table_html(table: Table) -> str:
    """Return a table of a report for notebooks."""
    rows = [
        [cell_text(cell, column) for cell, column in zip(row, table.columns, strict=True)]
        for row in table.rows
    ]
    return html_table(
        [heading(column) for column in table.columns],
        rows,
        caption=table.caption,
        notes=table.notes,
        left=[index for index in range(len(table.columns)) if not is_numeric(table, index)],
        bold=[(row, column) for column, best in table.best.items() for row in best],
    )


def _signals(shown: Any, sample_rate: int | None) -> Mapping[str, Audio] | None:
    """Return what is to be played by name; None if it is nothing to be played."""
    if isinstance(shown, str | Path):
        return {Path(shown).stem: load_audio(shown)}
    if isinstance(shown, Mapping):
        audible = {name: _signals(value, sample_rate) for name, value in shown.items()}
        if not audible or any(found is None for found in audible.values()):
            return None
        return {
            str(name): audio for name, found in audible.items() for audio in (found or {}).values()
        }
    if isinstance(shown, Audio) or hasattr(shown, "__array__"):
        return {"audio": as_audio(shown, sample_rate)}
    return None


def _audible(
    shown: Any, signals: Mapping[str, Audio], start_s: float, duration_s: float | None
) -> str:
    if duration_s is None and start_s == 0 and hasattr(shown, "_repr_html_"):
        found = shown._repr_html_()  # with what else it has to say
    else:
        first = next(iter(signals.values()))
        found = signals_html(signals, heading=first.form, start_s=start_s, duration_s=duration_s)
    if found is None:
        raise UsageError(f"there are no samples from {start_s:g} s on")
    return str(found)


def _html(shown: Any) -> str:
    if hasattr(shown, "_repr_html_"):
        return str(shown._repr_html_())
    if isinstance(shown, Mapping) and shown:
        return "".join(
            f"<h4>{escape(str(name))}</h4>{_html(value)}" for name, value in shown.items()
        )
    raise UsageError(
        f"nothing to show: {one_line(type(shown).__name__)} is neither audio nor estimates, "
        "scores or a comparison"
    )


def _in_notebook() -> bool:
    """Tell whether a notebook's kernel runs this, without importing IPython."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def _write_page(path: Path, html: str) -> None:
    try:
        with whole_file(path) as partial:
            text = _PAGE.format(title=escape(path.stem), body=html)
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise write_error(path, error) from error
