"""``partita separate --report``."""

import json
import re

import numpy as np
import pytest
import torch

import partita
from common import small_checkpoint
from partita.evaluation.quality.estimate import estimate_quality
from partita.evaluation.quality.meter import QualityMeter

pytestmark = pytest.mark.slow

FOUR = ["vocals", "drums", "bass", "other"]


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """A checkpoint of four stems with random weights."""
    return small_checkpoint(tmp_path_factory.mktemp("models") / "four.safetensors", sources=FOUR)


def test_lines_and_file(run, write_song, tmp_path, four):
    result = run("separate", write_song(), "-n", four, "--report")
    assert result.status == 0
    report = json.loads((tmp_path / "separated/four/song/report.json").read_text())
    assert list(report["stems"]) == FOUR
    for stem, found in report["stems"].items():
        low, high = found["intervals_db"]["80"]
        assert low < found["sdr_db"] < high
        line = re.search(rf"^  {stem}: (good|fair|poor) \(SDR about (\S+) dB, ", result.out, re.M)
        assert int(line[2].replace("−", "-")) == round(found["sdr_db"])
    assert result.out.count("not calibrated for this model") == 4


def test_figures_are_those_of_the_separated_stems(run, write_song, tmp_path, four):
    song = write_song()
    assert run("separate", song, "-n", four, "--report").status == 0
    report = json.loads((tmp_path / "separated/four/song/report.json").read_text())
    estimates = partita.Separator(four)(song)
    mixture = partita.load_audio(song)
    meter = QualityMeter(FOUR, mixture.sample_rate)
    meter.add(mixture.samples, torch.stack([estimates[stem].samples for stem in FOUR]))
    for each in estimate_quality(meter.finish()).stems:
        found = report["stems"][each.stem]
        assert found["implied_sdr_db"] == pytest.approx(each.implied_db, abs=0.02)
        assert found["sdr_db"] == pytest.approx(each.sdr_db, abs=0.02)


def test_stems_of_other_names_are_said_not_to_be_calibrated(run, write_song, tiny_model):
    result = run("separate", write_song(), "-n", tiny_model, "--report", "--duration", "1")
    assert result.out.count("not calibrated for this stem") == 2  # voice is vocals


def test_json_has_the_report(run, write_song, four):
    flags = ["-n", four, "--report", "--json", "--duration", "1"]
    result = run("separate", write_song(), *flags, "--two-stems", "vocals")
    report = json.loads(result.out)["report"]
    assert list(report["stems"]) == ["vocals", "no_vocals"]
    assert report["stems"]["no_vocals"]["known_stem"]
    assert report["metric"] == "uSDR"


def test_resuming_makes_missing_reports_and_shows_those_that_are_there(run, write_song, four):
    flags = ["separate", write_song(), "-n", four, "--resume", "--duration", "1"]
    assert "vocals: " not in run(*flags).out
    result = run(*flags, "--report")
    assert "(redone: report.json is missing)" in result.out
    lines = [line for line in result.out.splitlines() if line.startswith("  vocals: ")]
    again = run(*flags, "--report").out
    assert "skipped" in again
    assert lines[0] in again
    assert "report" not in json.loads(run(*flags, "--json").out)


def test_songs_at_once_in_one_file_each(run, write_song, tmp_path, four):
    songs = [write_song("a.wav"), write_song("b.wav")]
    flags = ["--report", "--jobs", "2", "--format", "stem.mp4", "--filename", "{track}.{ext}"]
    assert run("separate", *songs, "-n", four, *flags, "--duration", "1", "-q").out == ""
    found = [(tmp_path / f"separated/{name}-report.json").read_text() for name in "ab"]
    assert found[0] == found[1]


def test_a_report_that_cannot_be_written(run, write_song, tmp_path, four):
    (tmp_path / "separated/four/song/report.json").mkdir(parents=True)
    result = run("separate", write_song(), "-n", four, "--report", "--duration", "1")
    assert result.status == 1
    assert "report.json" in result.err
    assert len(result.err.splitlines()) == 1


def test_silent_songs(run, write_song, four):
    silence = np.zeros((2, 44100), np.float32)
    result = run("separate", write_song(samples=silence), "-n", four, "--report")
    assert result.status == 0
    assert "  vocals: silent\n" in result.out
