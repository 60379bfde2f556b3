"""What the terminal shows of listening tests."""

import json

import pytest

from listening_answers import KEY, PLAIN, comparison, mushra, preference
from partita.cli import listening
from partita.comparison.listening import listening_sections
from partita.reports.listening import KEY_FILE


@pytest.mark.parametrize("columns", [80, None])
def test_results_fit_the_terminal(tmp_path, monkeypatch, capsys, columns):
    monkeypatch.setattr(listening, "terminal_columns", lambda: columns)
    KEY.save(tmp_path / KEY_FILE)
    answers = tmp_path / "answers"
    answers.mkdir()
    told = [mushra("Anna"), mushra("Ben", first={**PLAIN, "e0": 70}), mushra("Anna", saved="2025")]
    told.append(preference("Anna", ("p01", "e0"), ("p12", "")))
    for number, content in enumerate(told):
        (answers / f"{number}.json").write_text(json.dumps(content))
    collected = listening.read_listeners([answers], [], tmp_path)
    assert "warning: " in capsys.readouterr().err
    sections = listening_sections(comparison(), collected)
    listening.tell_listeners(sections, collected, tmp_path, quiet=False)
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= (columns or 200) for line in lines)
    assert any(line.startswith("Listeners rate alpha highest: 77.5 of 100") for line in lines)
    heading = next(line for line in lines if line.startswith("system"))
    assert ("bootstrap low" in heading) == (columns is None)
    assert "SDR heard (dB)" in heading
    pairs = [line.split() for line in lines if line.startswith(("alpha  ", "beta  "))]
    assert ["alpha", "beta", "1", "0", "0"] in [line[:5] for line in pairs]
    rated = (tmp_path / "tables/listening-answers.csv").read_text().splitlines()
    assert rated[0] == "listener,song,stem,start_s,kind,system,rating"
    assert len(rated) == 1 + 2 * 2 * 6
    assert "Ben,song,vocals,2.0,entrant,alpha,70.0" in rated
    assert (tmp_path / "tables/preference-answers.csv").read_text().splitlines() == [
        "listener,song,stem,first,second,better",
        "Anna,song,vocals,alpha,beta,alpha",
        "Anna,song,vocals,beta,gamma,",
    ]
    listening.tell_listeners(sections, collected, tmp_path, quiet=True)
    assert capsys.readouterr().out == ""


def test_no_files_are_no_answers(tmp_path):
    assert listening.read_listeners([], [], tmp_path) is None
