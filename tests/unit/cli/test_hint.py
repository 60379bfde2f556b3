"""The hint at better stems: on terminals, once a day, and never in anybody's way."""

import sys
from datetime import date

import pytest

from partita.cli import hint
from partita.cli.hint import hint_at_better_weights
from partita.cli.recommendations import better_weights, recommendations
from partita.weights.cards import DEFAULT_MODEL
from partita.weights.measured import MEASURED
from partita.weights.recommended import best_model


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def on_terminal(monkeypatch, *streams):
    """Let streams pass for a terminal's; within a test, whose streams they are."""
    for stream in streams or (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)


def test_once_a_day(home, capsys, monkeypatch):
    on_terminal(monkeypatch)
    hint_at_better_weights(DEFAULT_MODEL)
    said = capsys.readouterr().err
    assert f"--model {best_model().name}" in said
    assert "no commercial use" in said
    hint_at_better_weights(DEFAULT_MODEL)
    assert capsys.readouterr().err == ""

    class Tomorrow(date):
        @classmethod
        def today(cls):
            return date(2999, 1, 1)

    monkeypatch.setattr(hint, "date", Tomorrow)
    hint_at_better_weights(DEFAULT_MODEL)
    assert "--model" in capsys.readouterr().err
    assert [path.name for path in (home / "hints").iterdir()] == ["2999-01-01"]


def test_nothing_is_said_of_another_model(home, capsys, monkeypatch):
    on_terminal(monkeypatch)
    hint_at_better_weights("hpss")
    assert capsys.readouterr().err == ""
    assert not home.exists()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_nothing_is_said_in_pipes(home, capsys, monkeypatch, stream):
    on_terminal(monkeypatch, getattr(sys, stream))
    hint_at_better_weights(DEFAULT_MODEL)
    assert capsys.readouterr().err == ""
    assert not home.exists()


def test_nothing_is_said_to_who_wants_commercial_use(home, capsys, monkeypatch):
    on_terminal(monkeypatch)
    monkeypatch.setenv("PARTITA_COMMERCIAL_ONLY", "1")
    hint_at_better_weights(DEFAULT_MODEL)
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_written_to_is_no_error(home, capsys, monkeypatch):
    on_terminal(monkeypatch)
    home.write_text("no folder")
    hint_at_better_weights(DEFAULT_MODEL)
    assert capsys.readouterr().err == ""


def test_choices_follow_from_what_was_measured():
    found = dict(recommendations())
    assert list(found) == ["fast, free for any use", "best four stems", "vocals only"]
    vocals = max(MEASURED, key=lambda name: MEASURED[name].two_stems.get("vocals", -99))
    assert f"--model {vocals}" in found["vocals only"]
    assert better_weights() in found["best four stems"]
