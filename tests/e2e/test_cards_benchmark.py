"""benchmarks/cards.py, which makes what is said of cards: the figures of ``partita benchmark``."""

import csv
import json
from statistics import median

import pytest
import soundfile

from common import load_script

RATE = 44100


@pytest.fixture
def songs(tmp_path, stems):
    """Two songs of two and three seconds, the second without vocals."""
    for name, seconds in {"sung": 2, "played": 3}.items():
        folder = tmp_path / "songs" / name
        folder.mkdir(parents=True)
        for stem, samples in stems.items():
            if name == "sung" or stem != "vocals":
                soundfile.write(folder / f"{stem}.flac", samples[:, : seconds * RATE].T, RATE)
    return tmp_path / "songs"


@pytest.mark.slow
def test_figures_are_those_of_partita_benchmark(run, songs, tmp_path, monkeypatch, capfd):
    script = load_script("cards", monkeypatch, "benchmarks")
    found = tmp_path / "found.json"
    arguments = [songs, "nmfd", "mixture", "--json", found, "--keep", tmp_path / "kept"]
    monkeypatch.setattr("sys.argv", ["cards.py", *map(str, arguments)])
    script.main()
    assert len(list((tmp_path / "kept").iterdir())) == 2  # each song was separated once
    assert "| `nmfd` |" in capfd.readouterr().out
    cards = json.loads(found.read_text())
    assert cards["nmfd"]["songs"] == {"vocals": 1, "drums": 2, "bass": 2, "other": 2}
    assert set(cards["nmfd"]["two_stems"]) == {"vocals", "accompaniment"}
    assert cards["nmfd"]["null_depth_db"] < -60
    assert "null_depth_db" not in cards["mixture"]

    result = run("benchmark", "--data", songs, "-n", "nmfd", "--csv", tmp_path / "theirs.csv")
    assert result.status == 0, result.err
    rows = list(csv.DictReader((tmp_path / "theirs.csv").read_text().splitlines()))
    for metric, ours in (("SDR", cards["nmfd"]["sdr"]), ("uSDR", cards["nmfd"]["usdr"])):
        for target, figure in ours.items():
            theirs = [float(row["value_db"]) for row in rows
                      if (row["target"], row["metric"]) == (target, metric)]  # fmt: skip
            assert figure == pytest.approx(median(theirs), abs=1e-4)
