"""Every command takes a chain's card as it takes any other."""

import json

import pytest
import soundfile

FOUR = ["vocals", "drums", "bass", "other"]


@pytest.fixture
def band_home(band, monkeypatch, tmp_path):
    """A cache without anything in it."""
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))


def test_separate(run, band, write_song, tmp_path):
    result = run("separate", write_song(), "--model", "band", "--bits", "float", "--json")
    assert result.status == 0, result.err
    outcome = json.loads(result.out)
    assert outcome["model"] == "band"
    assert outcome["stems"] == {stem: f"separated/band/song/{stem}.wav" for stem in FOUR}
    assert outcome["null_depth_db"] < -20  # the second's Wiener filter leaves a little
    assert all((tmp_path / path).is_file() for path in outcome["stems"].values())


def test_within_a_chain(run, band, write_song, tmp_path):
    path, chain = write_song(), "band:drums+nmfd-drums"
    assert (
        run("separate", path, "-n", chain, "--stems", "kick,vocals", "--segment", "1").status == 0
    )
    files = sorted((tmp_path / "separated/band-drums+nmfd-drums/song").glob("*.wav"))
    assert [file.stem for file in files] == ["kick", "vocals"]
    wrong = run("separate", path, "-n", "band:accompaniment+hpss")
    assert wrong.status == 2
    assert "unknown stem 'accompaniment'" in wrong.err


def test_benchmark(run, band, stems, tmp_path):
    folder = tmp_path / "true/one"
    folder.mkdir(parents=True)
    for name, samples in stems.items():
        soundfile.write(folder / f"{name}.wav", samples.T, 44100)
    result = run("benchmark", "--data", "true", "-n", "band", "--out", "scores", "--json")
    assert (result.status, result.err) == (0, "")
    (scored,) = map(json.loads, result.out.splitlines())
    assert scored["system"] == "band"
    assert (tmp_path / "scores/band/test/one.json").exists()


def test_training_begins_with_one_model(run, band, stems, tmp_path):
    soundfile.write(tmp_path / "song.wav", stems["drums"].T, 44100)
    result = run("train", "umx-tiny", "--data", tmp_path, "--from", "band", "--out", "runs")
    assert result.status == 2
    assert "band is a chain of models, repet+second: name one of them" in result.err
    assert len(result.err.splitlines()) == 1


def test_list(run, band, band_home, tmp_path):
    (row,) = (line for line in run("models").out.splitlines() if line.startswith("  band "))
    assert row.split() == ["band", "–", "–", "–", "–", "MIT", "yes", "–", "here"]
    listed = {each["name"]: each for each in json.loads(run("models", "list", "--json").out)
              if "name" in each}  # fmt: skip
    assert listed["band"]["chain"] == "repet+second"
    assert listed["band"]["parts"] == [listed["repet"], listed["second"]]
    (tmp_path / "second.safetensors").unlink()
    (row,) = (line for line in run("models").out.splitlines() if line.startswith("  band "))
    assert row.endswith("  missing")


def test_show(run, band):
    result = run("models", "show", "band")
    assert result.status == 0
    whole, first, second = result.out.split("\n\n")
    assert "repet+second" in whole
    assert "vocals, drums, bass, other" in whole
    assert "none needed" in first
    assert "ships with partita" in second
    facts = json.loads(run("models", "show", "band", "--json").out)
    assert (facts["licence"], facts["download_bytes"]) == ("MIT", 0)
    assert [part["name"] for part in facts["parts"]] == ["repet", "second"]
    assert not {"config", "layout", "source", "model"} & set(facts)


@pytest.mark.parametrize("names", [["band"], ["repet+second"], ["band", "second", "repet"]])
def test_fetch(run, band, tmp_path, names):
    result = run("models", "fetch", *names)
    assert result.status == 0, result.err
    first, second = sorted(result.out.splitlines())
    assert first == "repet: has no weights: nothing to fetch"
    assert second == f"second: {tmp_path / 'second.safetensors'}"


def test_fetch_finds_what_is_missing(run, band, tmp_path):
    (tmp_path / "second.safetensors").unlink()
    result = run("models", "fetch", "band")
    assert result.status == 1
    assert "second.safetensors: missing, though it ships with partita" in result.err


def test_a_stage_cache_changes_no_stem(run, band, write_song):
    song = write_song()
    plain = run("separate", song, "-n", "band", "--out", "plain")
    for out in ("one", "two"):
        kept = run("separate", song, "-n", "band", "--out", out, "--stage-cache", "kept")
        assert (kept.status, kept.err) == (plain.status, plain.err) == (0, "")
        for stem in ("vocals", "drums", "bass", "other"):
            ours, theirs = (song.parent / f / "band/song" / f"{stem}.wav" for f in (out, "plain"))
            assert ours.read_bytes() == theirs.read_bytes()
    assert len(list((song.parent / "kept/stages").iterdir())) == 1
