"""Digests of large files are computed once, and anew whenever a file may have changed."""

import hashlib
import os
import time

import pytest

from partita.errors import WeightsCorruptError
from partita.weights import checkpoint, hash_cache
from partita.weights.checkpoint import load_checkpoint, tensors_digest
from partita.weights.hash_cache import cached_sha256


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file that counts as large, and is old enough."""
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(hash_cache, "_LEAST_BYTES", 4)
    monkeypatch.setattr(hash_cache, "_SETTLED_S", -1)
    path = tmp_path / "model.ckpt"
    path.write_bytes(b"first content")
    return path


@pytest.fixture
def hashed(monkeypatch):
    """Which files were read."""
    found = []
    read = hash_cache.file_sha256

    def counting(path):
        found.append(path.name)
        return read(path)

    monkeypatch.setattr(hash_cache, "file_sha256", counting)
    return found


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_it_is_computed_once(file, hashed, tmp_path):
    link = tmp_path / "link.ckpt"
    link.symlink_to(file)
    assert cached_sha256(file) == cached_sha256(link) == sha256(file)
    assert hashed == ["model.ckpt"]
    assert len(list((tmp_path / "cache" / "digests").iterdir())) == 1


def written_in_place(path):
    with path.open("r+b") as file:
        file.write(b"other")


def replaced(path):
    other = path.with_name("other")
    other.write_bytes(b"other content")
    other.replace(path)


def dated_back(path):
    """As archives and copying programs do: size and time of modification stay as they were."""
    found = path.stat()
    written_in_place(path)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert path.stat().st_mtime_ns == found.st_mtime_ns
    assert path.stat().st_size == found.st_size


@pytest.mark.parametrize("change", [written_in_place, replaced, dated_back])
def test_changes_are_found(file, change):
    first = cached_sha256(file)
    time.sleep(0.02)  # a tick of the file system's clock
    change(file)
    assert cached_sha256(file) == sha256(file) != first


def test_files_that_may_still_be_written_are_hashed_each_time(file, hashed, monkeypatch, tmp_path):
    monkeypatch.setattr(hash_cache, "_SETTLED_S", 600)
    for _ in range(2):
        assert cached_sha256(file) == sha256(file)
    assert len(hashed) == 2
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", ["_LEAST_BYTES", "_HAS_CHANGE_TIME"])
def test_where_nothing_is_remembered(file, hashed, monkeypatch, name):
    monkeypatch.setattr(hash_cache, name, 0 if name == "_HAS_CHANGE_TIME" else 1000)
    for _ in range(2):
        assert cached_sha256(file) == sha256(file)
    assert len(hashed) == 2


@pytest.mark.parametrize("content", ["", "[]", '{"file": []}', "[" * 100_000, "\0"])
def test_records_that_are_damaged(file, tmp_path, content):
    cached_sha256(file)
    (record,) = (tmp_path / "cache" / "digests").iterdir()
    record.write_text(content)
    assert cached_sha256(file) == sha256(file)


def test_caches_that_cannot_be_written(file, monkeypatch):
    monkeypatch.setenv("PARTITA_HOME", "/dev/null")
    assert cached_sha256(file) == sha256(file)
    with pytest.raises(FileNotFoundError):
        cached_sha256(file.with_name("nothing"))


def test_weights_are_hashed_again_only_when_their_file_changes(file, tiny_model, monkeypatch):
    count = 0

    def counting(tensors):
        nonlocal count
        count += 1
        return tensors_digest(tensors)

    path = file.with_suffix(".safetensors")
    path.write_bytes(tiny_model.read_bytes())
    monkeypatch.setattr(checkpoint, "tensors_digest", counting)
    for _ in range(3):
        load_checkpoint(path)
    assert count == 1
    time.sleep(0.02)  # a tick of the file system's clock
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for _ in range(2):  # the record of the damaged file does not make it right
        with pytest.raises(WeightsCorruptError, match="SHA-256"):
            load_checkpoint(path)
