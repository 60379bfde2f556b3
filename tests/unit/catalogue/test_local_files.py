"""Files of this machine, and what errors mean for a song."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from partita.catalogue.faults import song_error
from partita.catalogue.files import LocalFiles
from partita.catalogue.inputs import Found
from partita.catalogue.planning import plan
from partita.catalogue.store import Manifest
from partita.errors import AudioReadError, write_error


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_of_many_writers_one_wins_and_its_file_is_whole(tmp_path):
    files, address = LocalFiles(), str(tmp_path / "records/00000/a.json")
    with ThreadPoolExecutor(8) as pool:
        texts = [str(number).encode() * 5000 for number in range(8)]
        won = list(pool.map(lambda text: files.write_once(address, text), texts))
    assert sum(won) == 1
    assert files.read(address) == texts[won.index(True)]
    assert [each.address for each in files.list(str(tmp_path))] == [address]
    assert names(tmp_path / "records/00000") == ["a.json"]


def test_a_folder_is_published_whole(tmp_path):
    stems = tmp_path / "work/song"
    stems.mkdir(parents=True)
    for name in ("a.wav", "b.wav"):
        (stems / name).write_text(name)
    LocalFiles().publish(tmp_path / "work", str(tmp_path / "out"))
    assert (tmp_path / "out/song/b.wav").read_text() == "b.wav"
    assert names(tmp_path / "out/song") == ["a.wav", "b.wav"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other/a.wav").write_text("new")
    (tmp_path / "other/b.wav").mkdir()
    (tmp_path / "other/b.wav/c").write_text("in the way")  # b.wav is a file there
    with pytest.raises(OSError, match=r"b\.wav"):
        LocalFiles().publish(tmp_path / "other", str(tmp_path / "out/song"))
    assert (tmp_path / "out/song/a.wav").read_text() == "a.wav"
    assert names(tmp_path / "out/song") == ["a.wav", "b.wav"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_that_nobody_writes_to_is_no_song(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    manifest = Manifest(str(tmp_path / "manifest"))
    assert plan([str(tmp_path / "pipe.wav")], manifest).faults == 1
    (song,) = manifest.songs()
    assert (song.fault_kind, song.fault) == ("unreadable", f"{tmp_path}/pipe.wav: is not a file")
    assert list(LocalFiles().list(str(tmp_path / "nothing"))) == []
    assert Found("a", "a").fault == ""


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (FileNotFoundError(2, "x"), "missing", "no such file"),
        (PermissionError(13, "Permission denied"), "denied", ""),
        (OSError(errno.ENOSPC, "No space left"), "disk", "No space left"),
        (TimeoutError("too slow"), "store", "too slow"),
        (ConnectionResetError(104, "reset"), "store", "reset"),
        (MemoryError(), "memory", "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), "memory", "failed"),
        (AudioReadError("a.wav: damaged"), "unreadable", "damaged"),
        (ValueError("odd"), "unexpected", "failed unexpectedly (ValueError: odd)"),
    ],
)
def test_what_an_error_means_for_a_song(error, kind, text):
    found = song_error(error, "a.wav")
    assert found.kind == kind
    assert found.cause.startswith(f"a.wav: {text}")


@pytest.mark.parametrize(
    ("number", "kind"), [("ENOSPC", "disk"), ("EACCES", "denied"), ("EISDIR", "target")]
)
def test_what_an_error_of_writing_means(number, kind):
    cause = OSError(getattr(errno, number), number)
    error = write_error("out/a.wav", cause)
    error.__cause__ = cause
    assert song_error(error, "a.wav").kind == kind
