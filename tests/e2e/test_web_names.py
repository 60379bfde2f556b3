"""Models named by where they are on the web, through the command line."""

import json

import pytest

from common import small_checkpoint
from hub_server import Repo, hub_server


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))
    with hub_server() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        running.files["/small.safetensors"] = small_checkpoint(
            tmp_path / "small.safetensors"
        ).read_bytes()
        yield running


def test_an_address(run, server, write_song, song):
    path, name = write_song(samples=song[:, :20000]), f"{server.address}/small.safetensors"
    result = run("separate", path, "--model", name, "--out", "out", "--json")
    assert result.status == 0, result.err
    facts = json.loads(result.out)
    assert (facts["model"], facts["licence"], facts["commercial_use"]) == (name, "unknown", None)
    assert sorted(facts["stems"]) == ["a", "b"]
    assert "small.safetensors: " in result.err
    assert " bytes, SHA-256 " in result.err
    again = run("separate", path, "--model", name, "--out", "out", "--resume")
    assert again.status == 0
    assert "skipped" in again.out
    refused = run("separate", path, "--model", name, "--commercial-only")
    assert refused.status == 2
    assert "is not clearly free for commercial use: its licence is unknown" in refused.err


def test_in_chains_and_ensembles(run, server, write_song, song, tmp_path):
    path, name = write_song(samples=song[:, :20000]), f"{server.address}/small.safetensors"
    for model in (f"{name}:2,small.safetensors", f"{name}:a+hpss"):
        result = run("separate", path, "--model", model, "--out", "out", "--json")
        assert result.status == 0, result.err
        assert json.loads(result.out)["licence"] == "unknown"
    assert run("models", "fetch", f"{name}:a+hpss", "--commercial-only").status == 2
    facts = json.loads(run("models", "show", f"{name}:a+hpss", "--json").out)
    assert facts["sources"] == ["b", "harmonic", "percussive", "residual"]
    assert [part["name"] for part in facts["parts"]] == [name, "hpss"]
    assert f"{name} or hpss" in run("models", "export", f"{name}:a+hpss", "-o", "new").err


def test_fetch_and_show(run, server, tmp_path):
    name = f"{server.address}/small.safetensors"
    fetched = run("models", "fetch", name)
    assert (fetched.status, fetched.out.count("\n")) == (0, 1)
    facts = json.loads(run("models", "show", name, "--json").out)
    assert fetched.out.strip() == f"{name}: {facts['cached_at']}"
    assert (facts["sources"], facts["commercial_use"]) == (["a", "b"], None)
    assert facts["origin"] == {"small.safetensors": name}
    other = small_checkpoint(tmp_path / "other.safetensors", sources=["c", "d"]).read_bytes()
    server.files["/small.safetensors"] = other
    refused = run("models", "fetch", name)
    assert refused.status == 1
    assert refused.err.count("\n") == 1
    assert f"partita models fetch --accept-changed {name} accepts" in refused.err
    assert run("models", "fetch", "--accept-changed", name).status == 0
    assert json.loads(run("models", "show", name, "--json").out)["sources"] == ["c", "d"]


@pytest.mark.parametrize("what", ["not there", "gone", "a pickle"])
def test_faults_are_one_line(run, server, write_song, tmp_path, what):
    pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")
    server.repos["owner/pickle"] = Repo({"model.ckpt": b"x"})
    names = {"not there": "hf:owner/name", "gone": f"{server.address}/x.ckpt"}
    name = names.get(what, "hf:owner/pickle")
    result = run("separate", write_song(), "--model", name, "--out", "out")
    assert (result.status, result.out) == (1, "")
    assert result.err.count("\n") - result.err.count("partita: fetching") == 1
    assert not (tmp_path / "out").exists()


def test_export_and_back(run, server, write_song, song, tmp_path):
    result = run("models", "export", "small.safetensors", "--out", "folder")
    assert result.status == 0, result.err
    files = sorted(path.name for path in (tmp_path / "folder").iterdir())
    assert files == ["README.md", "config.json", "model.safetensors"]
    again = run("models", "export", "small.safetensors", "--out", "folder")
    assert again.status == 2
    assert "folder exists and is not an empty folder: choose another one" in again.err
    pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")
    content = {path.name: path.read_bytes() for path in (tmp_path / "folder").iterdir()}
    server.repos["owner/name"] = Repo(content, card={"license": "mit"})
    path = write_song(samples=song[:, :20000])
    here = run("separate", path, "--model", "folder", "--out", "here", "--quiet")
    there = run("separate", path, "--model", "hf:owner/name", "--out", "there", "--commercial-only")
    assert (here.status, there.status) == (0, 0), here.err + there.err
    stems = [(tmp_path / "here" / "folder").rglob("*.wav"), (tmp_path / "there").rglob("*.wav")]
    ours, theirs = ({p.name: p.read_bytes() for p in found} for found in stems)
    assert ours == theirs
    assert len(ours) == 2
