"""``--commercial-only`` and PARTITA_COMMERCIAL_ONLY refuse what does not clearly allow it."""

import json

import pytest


@pytest.mark.parametrize("name", ["umxl", "umxhq", "hpss:harmonic+demucs", "theirs.ckpt"])
def test_refused(run, write_song, tmp_path, monkeypatch, name):
    (tmp_path / "theirs.ckpt").write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)
    path, out = write_song(), tmp_path / "out"
    refused = run("separate", path, "--model", name, "--out", out, "--commercial-only")
    assert refused.status == 2
    assert "is not clearly free for commercial use: its licence is " in refused.err
    assert refused.err.count("\n") == 1
    monkeypatch.setenv("PARTITA_COMMERCIAL_ONLY", "1")
    assert run("separate", path, "--model", name, "--out", out).err == refused.err
    assert not out.exists()


def test_allowed(run, write_song, tmp_path):
    path, out = write_song(), tmp_path / "out"
    result = run("separate", path, "-n", "nmfd", "--out", out, "--commercial-only", "--json")
    assert result.status == 0, result.err
    facts = json.loads(result.out)
    assert (facts["licence"], facts["commercial_use"]) == ("MIT", True)


def test_nothing_is_fetched(run, monkeypatch, tmp_path):
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))
    refused = run("models", "fetch", "nmfd", "umxl", "--commercial-only")
    assert refused.status == 2
    assert "umxl is not clearly free for commercial use" in refused.err
    assert not (tmp_path / "home").exists()
    assert run("models", "fetch", "nmfd", "hpss", "--commercial-only").status == 0


def test_nothing_is_scored(run, monkeypatch, write_song, song):
    data = write_song("data/song/mixture.wav").parent.parent
    for name in ("vocals", "accompaniment"):
        write_song(f"data/song/{name}.wav", 0.5 * song)
    command = ("benchmark", "--data", data, "--model", "mixture", "--model", "repet")
    refused = run(*command, "--model", "umxl", "--commercial-only")
    assert (refused.status, refused.out) == (2, "")
    assert "umxl is not clearly free for commercial use" in refused.err
    assert run(*command, "--commercial-only").status == 0
    monkeypatch.setenv("PARTITA_COMMERCIAL_ONLY", "1")
    assert run(*command, "--model", "umxl").err == refused.err


def test_nothing_is_learned_from_them(run, tmp_path):
    command = ("train", "umx-tiny", "--data", tmp_path, "--from", "umxl", "--commercial-only")
    refused = run(*command)
    assert refused.status == 2
    assert "umxl is not clearly free for commercial use" in refused.err
    assert list(tmp_path.iterdir()) == []


def test_models_say_what_is_unknown(run):
    facts = json.loads(run("models", "show", "umxhq", "--json").out)
    assert (facts["licence"], facts["commercial_use"]) == ("MIT", None)
    assert "MUSDB18" in facts["licence_evidence"]
    assert "commercial use    unknown" in run("models", "show", "umxhq").out
