"""`partita.show`, and what scores and comparisons show of themselves."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import partita
from partita.audio.signal import Audio
from partita.comparison.results import Comparison, Entrant, EntrantResult
from partita.datasets.tracks import Track
from partita.errors import AudioReadError, AudioWriteError, UsageError
from partita.evaluation.aggregate import summarise
from partita.evaluation.scores import METRICS, TargetScores, TrackScores
from partita.evaluation.scoring import ScoreOptions
from partita.reports.content import Column, Table
from partita.reports.notebook import table_html

RATE = 8000


@pytest.fixture
def page(tmp_path):
    """Write a page and return what a reader sees of it, and its HTML."""

    def shown(value, **options):
        partita.show(value, path=tmp_path / "page.html", **options)
        html = (tmp_path / "page.html").read_text(encoding="utf-8")
        visible = re.sub(r"<(style|script|title)[^>]*>.*?</\1>", "", html, flags=re.S)
        return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", visible)).strip(), html

    return shown


def noise(seconds=1.0):
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(2, round(seconds * RATE), generator=generator)


def scores(track="Song", sdr=(1.0, 2.0, 4.0), **options):
    frames = [dict.fromkeys(METRICS, value) for value in sdr]
    targets = {"vocals": TargetScores("vocals", frames, {"uSDR": -3.0}, ("vocals", "rest"))}
    return TrackScores(track, targets, **options)


def test_audio_in_all_its_forms(page, write_song):
    text, html = page(Audio(noise(), RATE))
    assert text == "2 channels, 1.000 s, 8000 Hz Play"
    assert html.startswith("<!doctype html>")
    assert page(noise().numpy(), sample_rate=RATE)[0] == text
    assert page(noise(), sample_rate=RATE)[0] == text
    path = write_song("a song.wav", noise().numpy(), RATE)
    assert page(path)[0] == text
    assert page(str(path), start_s=0.5, duration_s=0.25)[0].startswith(text)


def test_signals_by_name_are_in_one_player(page, write_song):
    path = write_song("a.wav", noise(0.5).numpy(), RATE)
    text, html = page({"true": Audio(noise(), RATE), "file": path, 3: np.asarray(noise())},
                      sample_rate=RATE)  # fmt: skip
    assert text == "2 channels, 1.000 s, 8000 Hz true M S file M S 3 M S Play"
    assert html.count("<audio") == 3


def test_excerpts_of_estimates(page):
    estimates = partita.Estimates({"vocals": Audio(noise(), RATE), "rest": Audio(noise(), RATE)},
                                  -100.0)  # fmt: skip
    assert "null depth −100.00 dB" in page(estimates)[0]
    assert 'data-duration="0.250000"' in page(estimates, start_s=0.5, duration_s=0.25)[1]
    with pytest.raises(UsageError, match="there are no samples from 5 s on"):
        page(estimates, start_s=5)


def test_scores_are_a_table(page):
    text, _ = page(scores("A & B", warnings=("estimates are <late>",)))
    assert text == (
        "A &amp; B: median over 3 windows of 1 s; uSDR: whole track in dB SDR ISR SIR SAR uSDR "
        "vocals 2.00 2.00 2.00 2.00 −3.00 scored together: vocals, rest estimates are &lt;late&gt;"
    )
    assert page(scores("", (7.0,)))[0].startswith("in dB in dB SDR")


def test_summaries_are_tables(page):
    summaries = summarise([scores("a"), scores("b", (4.0,))])
    text, _ = page(summaries)
    assert text.startswith("vocals vocals: median of 2 tracks in dB median 95 % interval SDR 3.00")
    assert "SDR 3.00 2.00 … 4.00" in text
    assert "<table" in summaries["vocals"]._repr_html_()


def test_comparisons_show_their_summary_and_failures(page):
    results = [
        EntrantResult(Entrant("a", "a"), {"x": scores("x"), "y": scores("y", (9.0,))}),
        EntrantResult(Entrant("b", "b"), {"x": scores("x", (5.0,))}, failures={"y": "<no>"}),
    ]
    tracks = [Track(name, Path("x"), "", {}) for name in "xy"]
    comparison = Comparison(Path("album"), tracks, results, ScoreOptions())
    text, html = page(comparison)
    assert "Data: album, 2 tracks." in text
    assert "<b>5.50</b>" in html
    assert text.endswith("What failed, and why. system track reason b y &lt;no&gt;")
    assert "What failed" not in page(Comparison(Path("a"), tracks, results[:1], ScoreOptions()))[0]


def test_tables_of_reports():
    columns = [Column("system"), Column("SDR", "dB"), Column("why")]
    html = table_html(Table("t", "<c>", columns, [["a", 1.0, "x"], ["b", None, "y"]], {1: [0]}))
    assert "&lt;c&gt;" in html
    assert "<b>1.00</b>" in html
    assert re.findall(r"<td[^>]*text-align:(\w+)", html) == ["left", "right", "left"] * 2


class Kernel:
    """Takes what a notebook would show."""

    def __init__(self, monkeypatch, shell):
        self.shown = []
        import IPython.display

        monkeypatch.setattr(IPython.display, "display", self.shown.append)
        monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: shell)


def test_in_a_notebook(monkeypatch):
    pytest.importorskip("IPython")
    kernel = Kernel(monkeypatch, SimpleNamespace(kernel=object()))
    partita.show(scores())
    (shown,) = kernel.shown
    assert shown.data == scores()._repr_html_()


@pytest.mark.parametrize("shell", [None, SimpleNamespace()])  # no IPython, IPython on a terminal
def test_outside_of_notebooks(monkeypatch, shell):
    pytest.importorskip("IPython")
    kernel = Kernel(monkeypatch, shell)
    with pytest.raises(UsageError, match="this is no notebook: show"):
        partita.show(scores())
    assert not kernel.shown


def test_what_cannot_be_shown(page, tmp_path):
    for nothing in (3, {}, {"a": 3}, None):
        with pytest.raises(UsageError, match="nothing to show"):
            page(nothing)
    with pytest.raises(UsageError, match="an array needs `sample_rate`"):
        page(np.zeros((2, 10), np.float32))
    with pytest.raises(AudioReadError, match="no such file"):
        page("missing.wav")
    with pytest.raises(AudioWriteError, match="cannot write"):
        partita.show(scores(), path=tmp_path / "missing" / "page.html")
