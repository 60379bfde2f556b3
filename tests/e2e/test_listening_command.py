"""``partita compare --listening`` and the answers to it."""

import json

import numpy as np
import pytest
import soundfile

from partita.reports.listening import read_key


@pytest.fixture
def album(tmp_path):
    rng = np.random.default_rng(0)
    for stem in ("voice", "rest"):
        path = tmp_path / "album" / "song" / f"{stem}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(0, 0.1, (33000, 2)), 22050)
    return tmp_path / "album"


@pytest.mark.slow
def test_a_listening_test_from_page_to_table(run, album, tmp_path):
    command = ["compare", "--data", album, "-n", "irm1", "--out", "made"]
    made = run(*command, "--listening")
    assert made.status == 0
    assert "made/listening: for listeners; made/listening-key.json: not for them" in made.out
    assert (tmp_path / "made/listening/listening.html").exists()
    key = read_key(tmp_path / "made/listening-key.json")
    assert {trial.stem for trial in key.trials} == {"voice", "rest"}
    folder = tmp_path / "answers"
    folder.mkdir()
    for number, level in enumerate((60, 70)):
        levels = {"reference": 100, "entrant": level}
        content = {
            "format": "partita-listening-answers",
            "version": 1,
            "form": "mushra",
            "page": key.page,
            "listener": f"listener {number}",
            "saved": "2026-01-01T10:00:00.000Z",
            "trials": [
                {
                    "trial": trial.id,
                    "ratings": {item.id: levels.get(item.kind, 30) for item in trial.items},
                }
                for trial in key.trials
            ],
        }
        (folder / f"{number}.json").write_text(json.dumps(content))
    (folder / "other.json").write_text("{}")
    result = run(*command, "--listening-results", *sorted(folder.iterdir()))
    assert result.status == 1
    assert result.err == f"partita: {folder}/other.json: not a partita-listening-answers file\n"
    # t(0.975, 1) is 12.706, the standard error 5.
    assert "Listeners rate irm1 highest: 65.0 of 100 (95 % interval 1.5 to 128.5" in result.out
    assert "irm1,65.0,1.46" in (tmp_path / "made/tables/listening.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["album"], "unexpected argument: album"),
        (["--listening-results", "album"], "album: no answers (*.json) in here"),
        (["--listening-results", "a.json"], "comparison: has no listening-key.json"),
    ],
)
def test_wrong_usage_of_listening_is_one_line(run, album, arguments, said):
    result = run("compare", "--data", album, "-n", "mixture", *arguments)
    assert result.status in (1, 2)
    assert said in result.err
    assert len(result.err.splitlines()) == 1
