"""scripts/quality_calibration.py and benchmarks/blind_quality.py: from songs to intervals."""

import json
import sys

import numpy as np
import pytest
import soundfile

from common import load_script
from partita.evaluation.quality.calibration import OTHER_STEMS, Calibration


@pytest.fixture
def script(monkeypatch):
    return load_script("quality_calibration", monkeypatch, "scripts")


def drawn(script, *, spread=1.0, stems=("vocals", "drums"), sets=4, songs=40, seed=0):
    """Points on the line 1 + 0.5 × implied, with errors of some dB."""
    rng = np.random.default_rng(seed)
    found = []
    for data in range(sets):
        for song in range(songs):
            for stem in stems:
                implied = float(rng.uniform(0, 15))
                sdr = 1 + 0.5 * implied + spread * float(rng.standard_normal())
                where = (f"set {data}", f"song {song}", f"model {song % 3}")
                found.append(script.Point(*where, stem, implied, sdr))
    return found


def test_a_known_line_and_its_errors(script):
    calibration = script.calibrate(drawn(script), {})
    assert calibration.models == {}  # none has a card
    for stem in ("vocals", "drums", OTHER_STEMS):
        curve = calibration.curves[stem]
        assert curve.slope == pytest.approx(0.5, abs=0.05)
        assert curve.offset_db == pytest.approx(1.0, abs=0.3)
        assert curve.songs == 160
        for tail, expected in {"5": -1.64, "10": -1.28, "90": 1.28, "95": 1.64}.items():
            assert curve.errors_db[tail] == pytest.approx(expected, abs=0.4)


def test_intervals_cover_songs_that_were_not_seen(script):
    curve = script.calibrate(drawn(script), {}).curves["vocals"]
    errors = np.array(
        [p.sdr_db - curve.sdr_db(p.implied_db) for p in drawn(script, seed=1) if p.stem == "vocals"]
    )
    for percent, tail in ((80, 10), (90, 5)):
        low, high = curve.errors_db[str(tail)], curve.errors_db[str(100 - tail)]
        assert np.mean((errors >= low) & (errors <= high)) == pytest.approx(percent / 100, abs=0.06)


def test_data_sets_that_differ_widen_the_intervals(script):
    same = drawn(script)
    other = [
        script.Point(
            p.data, p.song, p.model, p.stem, p.implied_db, p.sdr_db - 6 * (p.data == "set 0")
        )
        for p in same
    ]
    curves = [script.calibrate(points, {}).curves["vocals"] for points in (same, other)]
    assert curves[1].errors_db["10"] < curves[0].errors_db["10"] - 2


def test_models_with_a_card_are_corrected_and_new_ones_have_wider_intervals(script):
    better = {"four-stems": -2.0, "htdemucs": 2.0}
    points = [
        script.Point(p.data, p.song, model, p.stem, p.implied_db, p.sdr_db + offset)
        for index, (model, offset) in enumerate(better.items())
        for p in drawn(script, seed=index)
    ]
    calibration = script.calibrate(points, {})
    assert calibration.models == pytest.approx(better, abs=0.3)
    curve = calibration.curves["vocals"]
    for tail in ("10", "90"):
        assert abs(curve.errors_db[tail]) < 1.7
        assert abs(curve.new_model_errors_db[tail]) > 3


def test_systems_and_stems_that_are_left_out(script, capsys, monkeypatch):
    monkeypatch.setattr(script, "CARDS", ["model 0"])
    stems = ("vocals", "drums", "bass")
    script.check(drawn(script, stems=stems), drawn(script, stems=stems, sets=1, seed=1))
    lines = capsys.readouterr().out.splitlines()[3:]
    assert [line.split(" | ")[0] for line in lines] == [
        *("| model 0", "| model 1", "| model 2", "| vocals", "| drums", "| bass")
    ]
    assert [line.split(" | ")[1] for line in lines] == ["42", "39", "39", "14", "14", "14"]
    for line in lines:
        figures = [float(cell.rstrip(" %|")) for cell in line.split(" | ")[2:]]
        assert figures[0] > 0.75  # of errors of 1 dB
        assert figures[3] == pytest.approx(80, abs=20)


def test_large_data_sets_count_like_small_ones(script):
    few, many = drawn(script, sets=1, songs=20), drawn(script, sets=1, songs=200, seed=1)
    many = [script.Point("large", *(p.song, p.model, p.stem, p.implied_db, p.sdr_db)) for p in many]
    weights = script.weights([*few, *many])
    assert weights[: len(few)].sum() == pytest.approx(weights[len(few) :].sum())


def test_rare_stems_get_the_common_line(script):
    rare = drawn(script, stems=("piano",), sets=2, songs=4)
    curves = script.calibrate([*drawn(script), *rare], {}).curves
    assert set(curves) == {"vocals", "drums", OTHER_STEMS}


@pytest.mark.slow
def test_from_songs_to_a_calibration_and_a_report(script, stems, tmp_path, monkeypatch, capsys):
    load_script("common", monkeypatch, "benchmarks")  # those of the tests are called the same
    load_script("transformations", monkeypatch, "benchmarks")
    load_script("robustness", monkeypatch, "benchmarks")
    benchmark = load_script("blind_quality", monkeypatch, "benchmarks")
    for data in ("a", "b"):
        for song in range(5):
            folder = tmp_path / data / f"song {song}"
            folder.mkdir(parents=True)
            for index, (name, samples) in enumerate(stems.items()):
                gain = 0.2 + 0.1 * ((song + index) % 5)
                soundfile.write(folder / f"{name}.wav", gain * samples[:, :44100].T, 44100)
    out = tmp_path / "examples.jsonl"
    measure = [
        "measure",
        tmp_path / "a",
        tmp_path / "b",
        "--model",
        "irm1",
        "irm2",
        "--out",
        out,
    ]

    def run(module, *arguments):
        monkeypatch.setattr(sys, "argv", ["program", *map(str, arguments)])
        module.main()
        return capsys.readouterr().out

    run(benchmark, *measure)
    rows = out.read_text()
    assert len(rows.splitlines()) == 20
    run(benchmark, *measure)
    assert out.read_text() == rows  # nothing is measured again
    row = json.loads(rows.splitlines()[0])
    assert row["truth"].keys() == stems.keys()
    monkeypatch.setattr(script, "ORACLES", ())  # there are no other systems here
    run(script, out, "--out", tmp_path / "calibration.json")
    made = Calibration.from_json((tmp_path / "calibration.json").read_text())
    assert made.fit["songs"] == {"a": 5, "b": 5}
    assert set(made.curves) == {*stems, OTHER_STEMS}
    monkeypatch.setattr(benchmark, "ORACLES", ())
    tables = run(benchmark, "report", out)
    assert "| **all** | 80 |" in tables
    assert "are suspect" in tables
