"""Tables as files: csv for programs, Markdown for issues and web pages, LaTeX for papers."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable
from pathlib import Path

from partita.errors import one_line, write_error
from partita.files import part_of_path, write_text
from partita.reports.content import Cell, Column, Table

_PAGE_CHARS = 85  # of a line of text in 10 pt
MISSING = "–"  # a figure that does not exist
#: Anywhere; and what makes a list, a heading or a quotation at the beginning of a line.
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]<|~$&]|:(?=[\w+-]+:)|^[#>+=-]|(?<=^\d)[.)](?=\s))")
_LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    "`": r"\textasciigrave{}",
    "[": r"{[}",  # behind a line's end it would begin an option
    "−": r"$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "∞": r"$\infty$",
    "…": r"\dots{}",
}


def cell_text(cell: Cell, column: Column) -> str:
    """Return what a reader sees of a cell: numbers with the column's digits, a dash for none."""
    if cell is None:
        return MISSING
    if isinstance(cell, str):
        return one_line(cell)
    if math.isnan(cell):
        return MISSING
    if math.isinf(cell):
        return "∞" if cell > 0 else "−∞"
    text = str(cell) if column.digits is None else f"{cell:z.{column.digits}f}"
    return text.replace("-", "−", 1) if text.startswith("-") else text


def heading(column: Column) -> str:
    """Return a column's name with its unit in brackets."""
    return one_line(f"{column.name} ({column.unit})" if column.unit else column.name)


def is_numeric(table: Table, column: int) -> bool:
    """Tell whether a column holds numbers, which are aligned at the right."""
    cells = [row[column] for row in table.rows if row[column] is not None]
    return bool(cells) and not any(isinstance(cell, str) for cell in cells)


def as_csv(table: Table) -> str:
    """Return a table as csv: a line of headings, numbers with all their digits, empty for none."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(map(heading, table.columns))
    writer.writerows([_csv_cell(cell) for cell in row] for row in table.rows)
    return file.getvalue()


def as_markdown(table: Table) -> str:
    """Return a table in GitHub's Markdown: caption, table with the best cells in bold, notes."""
    columns = range(len(table.columns))
    rule = ["---:" if is_numeric(table, column) else "---" for column in columns]
    lines = [
        [_markdown(heading(column)) for column in table.columns],
        rule,
        *_formatted(table, _markdown, "**{}**".format),
    ]
    grid = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    parts = [_markdown(table.caption), grid, *map(_markdown, table.notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_latex(table: Table) -> str:
    r"""Return a table for LaTeX, in UTF-8: ``\usepackage{booktabs,graphicx}``.

    Tables that are wider than a page are made smaller.
    """
    columns = range(len(table.columns))
    form = "".join("r" if is_numeric(table, column) else "l" for column in columns)
    headings = [_latex(heading(column)) for column in table.columns]
    lines = _formatted(table, _latex, r"\textbf{{{}}}".format)
    is_wide = sum(_widths(table)) > _PAGE_CHARS
    return "\n".join(
        [
            r"% \usepackage{booktabs,graphicx}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(table.caption)}}}",
            rf"\label{{tab:{re.sub('[^A-Za-z0-9]+', '-', table.name)}}}",
            *([r"\resizebox{\textwidth}{!}{%"] if is_wide else []),
            rf"\begin{{tabular}}{{{form}}}",
            r"\toprule",
            rf"{' & '.join(headings)} \\",
            r"\midrule",
            *(rf"{' & '.join(line)} \\" for line in lines),
            r"\bottomrule",
            r"\end{tabular}}" if is_wide else r"\end{tabular}",
            *(rf"\par {_latex(note)}" for note in table.notes),
            r"\end{table}",
            "",
        ]
    )


_WRITERS: dict[str, Callable[[Table], str]] = {
    "csv": as_csv,
    "md": as_markdown,
    "tex": as_latex,
}


def write_table_files(table: Table, folder: Path) -> dict[str, Path]:
    """Write a table as ``NAME.csv``, ``NAME.md`` and ``NAME.tex``.

    Parameters
    ----------
    table : Table
    folder : Path
        Made if missing; files of these names are replaced.

    Returns
    -------
    dict of str to Path
        ``csv``, ``md`` and ``tex`` → file.

    Raises
    ------
    AudioWriteError
        A file cannot be written.
    """
    paths = {
        suffix: folder / f"{part_of_path(one_line(table.name))}.{suffix}" for suffix in _WRITERS
    }
    for suffix, path in paths.items():
        try:
            write_text(path, _WRITERS[suffix](table))
        except OSError as error:
            raise write_error(path, error) from error
    return paths


def _formatted(
    table: Table, escape: Callable[[str], str], embolden: Callable[[str], str]
) -> list[list[str]]:
    """Return the rows' cells, escaped, with the best in bold."""
    best = {(row, column) for column, rows in table.best.items() for row in rows}
    return [
        [
            embolden(text) if (row, column) in best else text
            for column, text in enumerate(
                escape(cell_text(cell, form))
                for cell, form in zip(cells, table.columns, strict=True)
            )
        ]
        for row, cells in enumerate(table.rows)
    ]


def _widths(table: Table) -> list[int]:
    """Return how many characters each column takes, with what separates it from the next."""
    texts = [
        [heading(column), *(cell_text(row[index], column) for row in table.rows)]
        for index, column in enumerate(table.columns)
    ]
    return [2 + max(map(len, column)) for column in texts]


def _csv_cell(cell: Cell) -> str | float | int:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return one_line(cell) if isinstance(cell, str) else cell


def _markdown(text: str) -> str:
    return _MARKDOWN_SPECIAL.sub(r"\\\1", one_line(text).strip())


def _latex(text: str) -> str:
    escaped = "".join(_LATEX_SPECIAL.get(char, char) for char in one_line(text))
    return re.sub("-(?=-)", "-{}", escaped)  # two would become a dash
