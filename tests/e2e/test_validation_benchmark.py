"""benchmarks/validation.py, the judge of trainings: what a Separator gives, scored like museval."""

import json
import sys

import numpy as np
import pytest
import soundfile

import partita
from common import load_script, small_checkpoint

RATE = 44100
FOUR = ["vocals", "drums", "bass", "other"]


@pytest.fixture
def validation(monkeypatch):
    load_script("common", monkeypatch, "benchmarks")  # those of the tests are called the same
    return load_script("validation", monkeypatch, "benchmarks")


@pytest.fixture
def second_stage(tmp_path):
    return small_checkpoint(tmp_path / "second.safetensors", sources=FOUR)


@pytest.fixture
def songs(tmp_path, stems):
    """Two songs of two seconds, the second without vocals and in mono."""
    mono = {n: stem.mean(axis=0, keepdims=True) for n, stem in stems.items() if n != "vocals"}
    for name, song in {"full": stems, "mono": mono}.items():
        folder = tmp_path / "songs" / name
        folder.mkdir(parents=True)
        for stem, samples in song.items():
            soundfile.write(folder / f"{stem}.flac", samples[:, : 2 * RATE].T, RATE)
    return tmp_path / "songs"


def scores(validation, monkeypatch, *arguments):
    out = arguments[0].parent / "scores.json"
    monkeypatch.setattr(sys, "argv", ["validation.py", *map(str, arguments), "--json", str(out)])
    validation.main()
    return json.loads(out.read_text())


def test_medians_are_those_of_bss_eval(validation, stems):
    generator = np.random.default_rng(0)
    true = {name: stem.copy() for name, stem in stems.items()}
    true["bass"][:, RATE : 2 * RATE] = 0
    noise = {name: 0.05 * generator.standard_normal(stem.shape) for name, stem in true.items()}
    estimates = {name: (true[name] + noise[name]).astype(np.float32) for name in true}
    found = validation.window_sdrs(true, estimates, RATE)
    assert np.isnan(found["bass"]).tolist() == [False, True, False, False]
    for name in true:
        pair = [{name: x[name], "rest": sum(x.values()) - x[name]} for x in (true, estimates)]
        frames = partita.evaluate(*pair, sample_rate=RATE).targets[name].frames
        np.testing.assert_allclose(found[name], [f["SDR"] for f in frames], atol=0.01)


def test_a_silent_estimate_has_no_decibel(validation, stems):
    found = validation.window_sdrs({"bass": stems["bass"]}, {"bass": 0 * stems["bass"]}, RATE)
    np.testing.assert_allclose(found["bass"], 0.0, atol=1e-6)


def test_estimates_are_those_of_a_separator(validation, second_stage, stems, tmp_path):
    options = validation.parse(["-", "--first", "repet", "--cache", str(tmp_path / "cache")])
    mixture = sum(stems.values())[:, : 2 * RATE]
    separator = partita.Separator(f"repet+{second_stage}")
    for song in (mixture, np.stack([mixture.mean(axis=0)] * 2)):
        expected = separator(song, RATE)
        for _ in range(2):  # with the first stage, and with what is kept of it
            found = validation.model_system(str(second_stage), options)(song, RATE, {})
            assert found.keys() == expected.keys()
            for name, audio in expected.items():
                np.testing.assert_array_equal(found[name], audio.samples.numpy())
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_tables(validation, second_stage, songs, monkeypatch, capsys):
    second = ("--model", second_stage, "--first", "repet", "--cache", songs.parent / "cache")
    found = scores(validation, monkeypatch, songs, *second)
    assert list(found) == ["full", "mono"]
    assert list(found["full"]) == ["mixture", "baseline", "second", "ideal ratio mask"]
    assert found["mono"]["second"].keys() == {"drums", "bass", "other"}
    ceiling = found["full"]["ideal ratio mask"]
    for system in ("mixture", "baseline", "second"):
        for stem, row in found["full"][system].items():
            assert row["SDR"] < ceiling[stem]["SDR"]
    printed = capsys.readouterr().out
    middle = np.mean([found[song]["mixture"]["bass"]["SDR"] for song in found])
    row = next(line for line in printed.splitlines() if line.startswith("| mixture "))
    assert float(row.split("|")[4]) == pytest.approx(middle, abs=0.006)


def test_one_song_a_part_of_it_and_the_true_accompaniment(
    validation, second_stage, songs, monkeypatch
):
    given = ("--given", "accompaniment", "--seconds", 1, "--songs", "full", "--models-only")
    found = scores(validation, monkeypatch, songs, "--model", second_stage, *given)
    assert list(found) == ["full"]
    stems = {
        name: soundfile.read(songs / "full" / f"{name}.flac", frames=RATE)[0].T.astype(np.float32)
        for name in ("drums", "bass", "other")
    }
    estimates = partita.Separator(str(second_stage))(sum(stems.values()), RATE)
    for name, stem in stems.items():
        error = np.square(stem - estimates[name].samples.numpy(), dtype=np.float64).sum()
        expected = 10 * np.log10(np.square(stem, dtype=np.float64).sum() / error)
        assert found["full"]["second"][name]["SDR"] == pytest.approx(expected, abs=0.01)
        assert found["full"]["second"][name]["uSDR"] == pytest.approx(expected, abs=0.01)


def test_both_sides_of_the_split_share_no_song(validation):
    assert set(validation.SPLIT) == {"choose", "report"}
    assert not set(validation.SPLIT["choose"]) & set(validation.SPLIT["report"])
