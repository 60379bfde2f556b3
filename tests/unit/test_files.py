import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from partita import files
from partita.files import folded, part_of_path, plain_name, put_in_place, whole_file, write_text


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def test_files_appear_in_the_end(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as partial:
        partial.write_text("all")
        assert not path.exists()
    assert path.read_text() == "all"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_or_not_at_all(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def broken():
        with whole_file(path) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(error):
        broken()
    assert path.read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


def test_nothing_written_is_nothing(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(FileNotFoundError), whole_file(path):
        pass
    assert path.read_text() == "before"
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "nowhere" / "a.txt"):
        pass
    assert names(tmp_path) == ["a.txt"]


def test_two_writers_share_nothing(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as first:
        first.write_text("fir")
        with whole_file(path) as second:
            assert second != first
            second.write_text("second")
        assert path.read_text() == "second"
        with first.open("a") as file:
            file.write("st")
    assert path.read_text() == "first"
    assert names(tmp_path) == ["a.txt"]


def test_links_that_lie_there_are_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    path = tmp_path / "a.txt"
    (tmp_path / ".a.txt.partial").symlink_to(victim)  # the name that could be guessed once
    path.symlink_to(victim)
    with whole_file(path) as partial:
        assert stat.S_IMODE(partial.parent.stat().st_mode) == 0o700  # nobody else puts one there
        partial.write_text("all")
    assert victim.read_text() == "mine"
    assert not path.is_symlink()
    assert path.read_text() == "all"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_new_files(tmp_path, umask):
    before = os.umask(umask)
    try:
        for own in (0o600, 0o666, 0o400):
            with whole_file(tmp_path / f"{own}") as partial:
                partial.write_text("all")
                partial.chmod(own)
            assert stat.S_IMODE((tmp_path / f"{own}").stat().st_mode) == 0o666 & ~umask
    finally:
        os.umask(before)


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path, steps = tmp_path / "a.txt", []
    sync, replace = os.fsync, Path.replace

    def watched_sync(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        steps.append((kind, path.exists()))
        sync(descriptor)

    def watched_replace(self, target):
        steps.append(("name", False))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", watched_sync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    with whole_file(path) as partial:
        partial.write_text("all")
    assert steps == [("file", False), ("name", False), ("folder", True)]


def test_disks_that_are_full_only_at_the_end(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    def broken():
        with whole_file(path) as partial:
            partial.write_text("all")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            broken()
    assert path.read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


def test_file_systems_that_cannot_sync(tmp_path, monkeypatch):
    def cannot(descriptor):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", cannot)
    with whole_file(tmp_path / "a.txt") as partial:
        partial.write_text("all")
    assert (tmp_path / "a.txt").read_text() == "all"


def test_long_names(tmp_path):
    path = tmp_path / ("ä" * 125 + ".txt")  # 254 bytes
    with whole_file(path) as partial:
        partial.write_text("all")
    assert names(tmp_path) == [path.name]


def test_what_killed_writers_left_is_removed(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from partita.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "a.txt"
    subprocess.run([sys.executable, "-c", code, path], check=False)
    (left,) = tmp_path.iterdir()

    def write():
        with whole_file(path) as partial:
            partial.write_text("all")

    write()
    assert left.exists()  # for all we know somebody is still writing it
    long_ago = time.time() - files._ABANDONED_S - 60
    for each in (*left.iterdir(), left):
        os.utime(each, (long_ago, long_ago))
    write()
    assert names(tmp_path) == ["a.txt"]


def test_a_file_written_elsewhere_is_put_in_place(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work/a.txt").write_text("all")
    put_in_place(tmp_path / "work/a.txt", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "all"
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "work/a.txt", tmp_path / "b.txt")


def test_names_that_file_systems_take_for_one():
    same = ["Caf\u00e9/A.wav", "cafe\u0301/a.WAV", "CAFE\u0301/a.wav"]
    assert len(set(map(folded, same))) == 1
    assert folded(Path("a/b")) != folded("a_b")


@pytest.mark.parametrize(
    ("name", "part"), [("a/b", "a_b"), ("..", "__"), ("", "_"), ("a\0", "a_"), ("a.b ", "a.b ")]
)
def test_names_as_parts_of_paths(name, part):
    assert part_of_path(name) == part


def test_a_text_that_is_there_already_is_left_alone(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "é\r\n")
    before = path.stat()
    write_text(path, "é\r\n")
    assert path.stat().st_ino == before.st_ino
    write_text(path, "e\r\n")
    assert path.read_bytes() == b"e\r\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [("Größe & Weiß, 7", "Groe-Wei-7"), ("Zoë/..\\x", "Zoe-x"), ("歌", ""), ("a" * 60, "a" * 48)],
)
def test_plain_names_suit_any_file_system_and_url(text, name):
    assert plain_name(text) == name
