"""Progress of work with a text for what is being done."""

from partita.cli import console
from partita.cli.console import ProgressDisplay


def test_lines_say_what_is_done_and_how_long_the_rest_takes(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with ProgressDisplay(enabled=True) as display:
        tell = display.work()
        tell("a: separating", 0.0, 100.0)
        now[0] = 5.0  # too early for a line
        tell("a: separating", 10.0, 100.0)
        now[0] = 60.0
        tell("a: scoring", 25.0, 100.0)
    assert capsys.readouterr().err == "a: scoring: 25% of all, 3:00 left\n"


def test_nothing_is_said_when_quiet(capsys):
    with ProgressDisplay(enabled=False) as display:
        display.work()("a", 1.0, 2.0)
    assert capsys.readouterr().err == ""
