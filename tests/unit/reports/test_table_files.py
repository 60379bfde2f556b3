"""What is written is read back: csv by csv, Markdown and LaTeX by undoing their escapes."""

import csv
import io
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.errors import AudioWriteError, one_line
from partita.reports import table_files
from partita.reports.content import Column, Table
from partita.reports.table_files import (
    as_csv,
    as_latex,
    as_markdown,
    cell_text,
    write_table_files,
)

ODD = '50% of_a & b|c \\d {x} #1 $y ~z^2 <b>"q" `w` [1] **bold** a--b---c − × …'
COLUMNS = [Column("system"), Column("SDR", "dB"), Column("p", digits=4), Column("n", digits=0)]
NUMBERS = st.none() | st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, -0.0, 1e-9])
ROWS = st.lists(st.tuples(st.text(max_size=30), NUMBERS, NUMBERS, st.integers(-999, 999)))


def table(rows, **options):
    return Table("summary", "What is shown.", COLUMNS, rows, **options)


def markdown_cells(text):
    """Return the cells of a table in Markdown, as a renderer would see them."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)(?:\\\\)*\|", line.replace("\\\\", "\0"))[1:-1] for line in lines]
    return [
        [re.sub(r"\\(.)", r"\1", cell).replace("\0", "\\").strip() for cell in row] for row in cells
    ]


def latex_cells(text):
    """Return the cells of a table in LaTeX, as they would be printed."""
    body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
    lines = [line for line in body.splitlines() if line.endswith(r" \\")]
    unescaped = []
    for line in lines:
        cells = re.split(r"(?<!\\) & ", line.removesuffix(r" \\"))
        unescaped.append([_undone(cell).strip() for cell in cells])
    return unescaped


def _undone(cell):
    text = cell.replace("-{}-", "--").replace("-{}-", "--")
    for char, escaped in sorted(table_files._LATEX_SPECIAL.items(), key=lambda item: -len(item[1])):
        text = text.replace(escaped, f"\0{ord(char)}\0")
    return re.sub("\0(\\d+)\0", lambda match: chr(int(match[1])), text)


def test_what_a_reader_sees():
    sdr = Column("SDR", "dB")
    assert [cell_text(cell, sdr) for cell in (None, math.nan, 5.678, -0.001, -3, "a\nb")] == [
        "–", "–", "5.68", "0.00", "−3.00", "a\\nb"
    ]  # fmt: skip
    assert [cell_text(cell, sdr) for cell in (math.inf, -math.inf)] == ["∞", "−∞"]
    assert cell_text(1234567, Column("parameters", digits=None)) == "1234567"
    assert cell_text(0.1 + 0.2, Column("all of it", digits=None)) == str(0.1 + 0.2)


def test_csv_has_all_digits():
    text = as_csv(table([['umx, "real time"', 1 / 3, None, 5], [ODD, math.nan, math.inf, 7]]))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == ["system", "SDR (dB)", "p", "n"]
    assert rows[0]["system"] == 'umx, "real time"'
    assert float(rows[0]["SDR (dB)"]) == 1 / 3
    assert [rows[0]["p"], rows[1]["SDR (dB)"], rows[1]["p"], rows[1]["n"]] == ["", "", "inf", "7"]
    assert rows[1]["system"] == ODD


def test_markdown_as_it_is_written():
    rows = [["a|b", 5.678, 0.03125, 9], ["mixture", -1.0, None, 10]]
    text = as_markdown(table(rows, best={1: [0]}, notes=["* not a list", "1. nor this"]))
    assert text == (
        "What is shown.\n\n"
        "| system | SDR (dB) | p | n |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| a\\|b | **5.68** | 0.0312 | 9 |\n"
        "| mixture | −1.00 | – | 10 |\n\n"
        "\\* not a list\n\n"
        "1\\. nor this\n"
    )


def test_latex_as_it_is_written():
    rows = [["R&B_1", 5.678, 0.03125, 9], ["mixture", -1.0, None, 10]]
    text = as_latex(table(rows, best={1: [0]}, notes=["100 %"]))
    assert text == (
        "% \\usepackage{booktabs,graphicx}\n"
        "\\begin{table}\n\\centering\n\\caption{What is shown.}\n\\label{tab:summary}\n"
        "\\begin{tabular}{lrrr}\n\\toprule\n"
        "system & SDR (dB) & p & n \\\\\n\\midrule\n"
        "R\\&B\\_1 & \\textbf{5.68} & 0.0312 & 9 \\\\\n"
        "mixture & $-$1.00 & – & 10 \\\\\n"
        "\\bottomrule\n\\end{tabular}\n\\par 100 \\%\n\\end{table}\n"
    )


def test_wide_tables_fit_a_page_of_latex():
    columns = [Column(f"system {number}", "dB") for number in range(12)]
    text = as_latex(Table("wide", "", columns, [[1.0] * 12]))
    assert "\\resizebox{\\textwidth}{!}{%\n\\begin{tabular}{rrrrrrrrrrrr}" in text
    assert "\\end{tabular}}\n" in text


def test_latex_escapes_everything():
    text = as_latex(table([[ODD, None, None, 1]])).split(r"\midrule")[1].split(r"\bottomrule")[0]
    commands = set(re.findall(r"\\[A-Za-z]+", text))
    assert commands <= {"\\textbackslash", "\\textasciicircum", "\\textasciitilde", "\\textless",
                        "\\textgreater", "\\textbar", "\\textasciigrave", "\\char", "\\times",
                        "\\dots"}  # fmt: skip
    assert not re.search(r"(?<!\\)[%#]|--|(?<!\\)_|<|>", text)
    assert len(re.findall(r"(?<!\\)&", text)) == 3


@pytest.mark.slow
@given(ROWS)
def test_files_say_what_the_table_says(rows):
    found = table(rows)
    seen = [
        [cell_text(cell, column).strip() for cell, column in zip(row, COLUMNS, strict=True)]
        for row in rows
    ]
    assert markdown_cells(as_markdown(found))[2:] == seen
    assert latex_cells(as_latex(found))[1:] == seen
    read = list(csv.reader(io.StringIO(as_csv(found), newline="")))[1:]
    assert [row[0] for row in read] == [one_line(row[0]) for row in rows]
    for cells, row in zip(read, rows, strict=True):
        for text, cell in zip(cells[1:], row[1:], strict=True):
            value = math.nan if cell is None else float(cell)
            assert float(text or "nan") == pytest.approx(value, abs=0, rel=0, nan_ok=True)


def test_files_of_a_table(tmp_path):
    paths = write_table_files(table([["a", 1.0, 2.0, 3]]), tmp_path / "new" / "tables")
    assert {suffix: path.name for suffix, path in paths.items()} == {
        "csv": "summary.csv", "md": "summary.md", "tex": "summary.tex"
    }  # fmt: skip
    assert paths["csv"].read_bytes() == as_csv(table([["a", 1.0, 2.0, 3]])).encode()
    assert sorted(path.name for path in paths["csv"].parent.iterdir()) == [
        "summary.csv", "summary.md", "summary.tex"
    ]  # fmt: skip
    odd = Table("tracks-a/b", "", [Column("x")], [])
    assert write_table_files(odd, tmp_path)["csv"] == tmp_path / "tracks-a_b.csv"


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AudioWriteError, match=r"^cannot write .*summary\.csv"):
        write_table_files(table([]), tmp_path / "file")
