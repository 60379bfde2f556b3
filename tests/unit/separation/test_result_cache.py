"""Entries of the cache: whole or not there, damage found."""

import errno
import os
import threading

import pytest

from partita.errors import AudioWriteError
from partita.separation.result_cache import Cache


def write(cache, text="abc", key="k" * 64):
    with cache.making("things", key) as made:
        (made.folder / "a.txt").write_text(text)
        made.facts["length"] = len(text)


def test_an_entry_has_its_files_and_facts(tmp_path):
    cache = Cache(tmp_path / "cache")
    assert cache.find("things", "k" * 64) is None
    write(cache)
    entry = cache.find("things", "k" * 64, verify=True)
    assert entry.facts == {"length": 3}
    assert (entry.folder / "a.txt").read_text() == "abc"


def test_a_cache_is_not_made_by_looking_into_it(tmp_path):
    Cache(tmp_path / "cache").find("things", "k")
    assert not (tmp_path / "cache").exists()


def test_an_exception_leaves_nothing(tmp_path):
    def write_half():
        with Cache(tmp_path).making("things", "k") as made:
            (made.folder / "a.txt").write_text("half")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        write_half()
    assert list((tmp_path / "things").iterdir()) == []


@pytest.mark.parametrize("damage", ["shorter", "changed", "missing", "index", "other key"])
def test_damage_is_found_and_removed(tmp_path, damage, caplog):
    cache = Cache(tmp_path)
    write(cache)
    folder = cache.find("things", "k" * 64).folder
    if damage == "shorter":
        (folder / "a.txt").write_text("ab")
    elif damage == "changed":
        (folder / "a.txt").write_text("abd")
    elif damage == "missing":
        (folder / "a.txt").unlink()
    elif damage == "index":
        (folder / "entry.json").write_text("{")
    key = "k" * 32 + "x" * 32 if damage == "other key" else "k" * 64
    assert cache.find("things", key, verify=True) is None
    assert "damaged" in caplog.text
    assert not folder.exists()
    write(cache)
    assert cache.find("things", "k" * 64, verify=True)


def test_content_is_compared_only_when_asked(tmp_path):
    cache = Cache(tmp_path)
    write(cache)
    (cache.place("things", "k" * 64) / "a.txt").write_text("abd")
    assert cache.find("things", "k" * 64) is not None


def test_several_threads_may_make_one_entry(tmp_path):
    cache = Cache(tmp_path)
    threads = [threading.Thread(target=write, args=(cache,)) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert cache.find("things", "k" * 64, verify=True)
    assert len(list((tmp_path / "things").iterdir())) == 1


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    cache = Cache(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("partita.separation.result_cache.sync_folder", full)
    with pytest.raises(AudioWriteError, match="disk is full") as error:
        write(cache)
    assert "\n" not in str(error.value)
