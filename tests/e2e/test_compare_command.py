"""``partita compare`` on songs of a second."""

import json
import shutil
import sys

import numpy as np
import pytest
import soundfile

from partita.evaluation.scores import read_scores

pytestmark = pytest.mark.slow


@pytest.fixture
def album(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(2):
        for stem in ("voice", "flute", "rest"):
            path = tmp_path / "album" / f"song {number}" / f"{stem}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, rng.normal(0, 0.1, (33000, 2)), 22050)
    return tmp_path / "album"


def test_a_comparison_is_a_table_and_a_folder(run, album, tiny_model, tmp_path):
    arguments = ["compare", "--data", album, "-n", "mixture", "-n", tiny_model, "--out", "made"]
    result = run(*arguments)
    assert result.status == 0
    assert "partita:" not in result.err
    assert "2 tracks scored" in result.out
    lines = result.out.splitlines()
    assert any(line.startswith("tiny") and line.endswith("–") for line in lines), result.out
    files = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "made").rglob("*.json")}
    assert (tmp_path / "made/index.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "made/tables/summary.tex").exists()
    assert {"made/manifest.json", "made/scores/tiny/test/song 0.json"} <= files
    scores = read_scores(tmp_path / "made/scores/tiny/test/song 0.json")
    shown = f"{scores.medians()['voice']['SDR']:.2f}"
    benchmark = run("benchmark", "--data", album, "-n", tiny_model, "--csv", "b.csv", "--json")
    first = json.loads(benchmark.out.splitlines()[0])
    theirs = [frame["metrics"] for frame in first["targets"][0]["frames"]]
    ours = scores.to_json()["targets"][0]["frames"]
    assert theirs == [frame["metrics"] for frame in ours]
    assert shown != "nan"

    manifest = (tmp_path / "made/manifest.json").read_bytes()
    again = run(*arguments, "--json")
    entrants = [json.loads(line) for line in again.out.splitlines()]
    assert [each["entrant"] for each in entrants] == ["mixture", "tiny"]
    assert entrants[1]["scores"][0]["track"] == "song 0"
    assert entrants[1]["costs"]["parameters"] > 1000
    said, before = (
        json.loads(text) for text in ((tmp_path / "made/manifest.json").read_bytes(), manifest)
    )
    assert said.pop("command") == before.pop("command") + " --json"
    assert said == before

    fewer = run(*arguments[:-4], "--out", "made", "--quiet")
    assert (fewer.status, fewer.out) == (0, "")
    assert not (tmp_path / "made/scores/tiny").exists()
    assert (tmp_path / "made/scores/mixture/test/song 0.json").exists()


def test_what_fails_is_said_and_the_rest_goes_on(run, album, tmp_path):
    (album / "song 1" / "voice.wav").write_bytes(b"RIFF")
    result = run(
        "compare", "--data", album, "-n", "mixture", "-n", "hpss", "-n", "gone.safetensors"
    )
    assert result.status == 1
    assert "song 0" in result.out
    assert "gone: gone.safetensors: no such checkpoint" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-n", "hpss", "-n", "hpss"], "a model is named twice"),
        (["-n", "hpss", "--set", "epochs=1"], "--set needs --train"),
        (["--train", "unet", "--seeds", "a"], "--seeds a: type whole numbers"),
        (["-n", "irm3"], "did you mean irm1 or irm2?"),
        (["-n", "hpss,repet"], "a comma makes an ensemble: repeat --entrants for several"),
        (["--preset", "papr"], "did you mean paper?"),
        (["--preset", "paper", "--budget", "hour"], "did you mean hours?"),
        (["--preset", "paper", "-n", "hpss"], "--preset chooses entrants"),
        (["--audio", "mp3"], "--audio"),
        (["-n", "gone.toml"], "gone.toml: cannot be read"),
        (["-n", "hpss", "--subset", "test"], "has no tracks of subset 'test'; subsets: none"),
        (["-n", "hpss", "--seconds", "0"], "--seconds 0 is not a positive number"),
        (["-n", "four-stems", "--device", "cuda:9"], "cuda"),
    ],
)
def test_wrong_usage_is_one_line(run, album, arguments, said):
    result = run("compare", "--data", album, *arguments)
    assert result.status == 2
    assert said in result.err
    assert len(result.err.splitlines()) == 1


def test_missing_packages_are_found_before_anything_is_computed(run, album, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    result = run("compare", "--data", album, "-n", "mixture")
    assert result.status == 2
    assert 'a comparison needs jinja2: pip install "partita[compare]"' in result.err


def test_a_problem_of_the_data_set_is_a_failure(run, album, tmp_path):
    for subset in ("train", "test"):
        shutil.copytree(album / "song 0", tmp_path / "both" / subset / "song 0")
    result = run("compare", "--data", "both", "-n", "mixture", "--subset", "train")
    assert result.status == 1
    assert "partita: song 0: two tracks have this name" in result.err
    assert "1 track scored" in result.out
