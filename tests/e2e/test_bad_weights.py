"""Weights that cannot be used, named on the command line: one line each, and no stems."""

import os

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from common import small_checkpoint


def with_nan(path):
    tensors = load_file(small_checkpoint(path))
    tensors["networks.a.head.bias"][:] = float("nan")
    with safe_open(path, framework="pt") as file:
        facts = file.metadata()
    del facts["tensors_sha256"]
    save_file(tensors, path, facts)


BAD = {
    "NaN": (with_nan, "weights in networks.a.head.bias are NaN or infinite"),
    "pipe": (os.mkfifo, "it is not a regular file"),
    "folder": (os.mkdir, "it is not a regular file"),
    "empty": (lambda path: path.write_bytes(b""), "not a readable safetensors file"),
    "missing": (lambda path: None, "no such checkpoint"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_weights(run, write_song, tmp_path, kind):
    make, fault = BAD[kind]
    make(tmp_path / "bad.safetensors")
    result = run("separate", "--model", "bad.safetensors", write_song(), "--out", "out")
    assert result.status == 1
    (line,) = result.err.splitlines()
    assert line.startswith("partita: ")
    assert fault in line
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_names_that_no_path_can_be(run, write_song):
    result = run("separate", "--model", "x" * 5000, write_song())
    assert result.status == 2
    assert "unknown model" in result.err
    assert len(result.err) < 1000


@pytest.mark.parametrize("place", ["file", "/dev/null", "x" * 5000])
def test_caches_that_cannot_be(run, tmp_path, monkeypatch, place):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PARTITA_HOME", place)
    result = run("models", "fetch", "umxse")
    assert result.status == 1
    (line,) = result.err.splitlines()
    assert "cannot be written" in line
    assert "PARTITA_HOME" in line
    assert run("models", "list").status == 0
    assert "not cached" in run("models", "show", "umxse").out
