import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from partita.cli.comparison import _Notes, _Table
from partita.cli.terminal import fitting, wrapped
from partita.evaluation.aggregate import Summary
from partita.evaluation.tables import Row


def test_lines_break_between_words_only():
    text = "song.wav → folder/: vocals.wav, non-vocals-at-all.wav\n  0:01 in 0.3 s"
    assert wrapped(text, 4, 24) == (
        "song.wav → folder/:\n    vocals.wav,\n    non-vocals-at-all.wav\n  0:01 in 0.3 s"
    )
    assert wrapped(text, 4, None) == text


def test_letters_that_take_two_columns():
    text = "song/02 - 日本語 日本語.flac → folder/: vocals.wav"
    for line in wrapped(text, 4, 24).splitlines():
        assert cell_len(line) <= 24
    assert wrapped(text, 4, 24).split() == text.split()


def test_columns_are_left_out_in_order():
    widths = [10, 5, 5, 5]
    assert fitting(widths, [2, 1], None) == [0, 1, 2, 3]
    assert fitting(widths, [2, 1], 31) == [0, 1, 2, 3]
    assert fitting(widths, [2, 1], 30) == [0, 1, 3]
    assert fitting(widths, [2, 1], 20) == [0, 3]
    assert fitting(widths, [2, 1], 1) == [0, 3]


@pytest.mark.parametrize("columns", [104, 80, 60, 40])
@pytest.mark.parametrize("systems", [["own"], ["spleeter-2stems:rest+umx", "own"]])
def test_figures_and_names_stay_whole(columns, systems):
    metrics = ("SDR", "SIR", "SAR", "ISR", "uSDR", "SI-SDR", "SI-SAR")
    summary = Summary("x", dict.fromkeys(metrics, -12.34), {"SDR": (-23.45, 1.23)}, 50, 2, ())
    rows = {name: [Row(system, summary) for system in systems] for name in ("bass", "vocals")}
    out = io.StringIO()
    console = Console(file=out, width=columns, force_terminal=False, highlight=False)
    _Table(rows, _Notes()).print(console, columns)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    figures = [line for line in lines if "-12.34 a" in line]
    assert len(figures) == 2 * len(systems)
    assert all(line.endswith("50 of 52") for line in figures)
    if columns == 104 and len(systems) == 1:
        assert all(line.count("-12.34") == 7 for line in figures)
        assert "no room" not in out.getvalue()
    else:
        assert "columns that do not fit" in out.getvalue()
    if len(systems) > 1:
        assert sum(systems[0] in line for line in lines) == 2
