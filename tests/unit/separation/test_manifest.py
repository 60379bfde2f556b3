import json
import os

import pytest

from partita.errors import AudioWriteError
from partita.separation.batch.manifest import FileMark, Making, Manifest

MAKING = Making("1", "model", "weights", {"start": 0.0, "stems": ["a", "b"]})


@pytest.fixture
def song(tmp_path):
    path = tmp_path / "song.wav"
    path.write_bytes(b"song")
    return path


@pytest.fixture
def paths(tmp_path):
    found = {stem: tmp_path / "out" / f"{stem}.wav" for stem in "ab"}
    (tmp_path / "out").mkdir()
    for stem, path in found.items():
        path.write_bytes(stem.encode() * 100)
    return found


@pytest.fixture
def manifest(tmp_path, paths, song):
    manifest = Manifest(tmp_path / "out" / ".stems-1.json")
    manifest.write(paths, MAKING, FileMark.of(song))
    return manifest


@pytest.mark.parametrize("size", [0, 10, 1 << 20, (1 << 20) + 5, (1 << 21) + 1, 5_000_000])
def test_marks_see_changes_and_not_times(tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    mark = FileMark.of(path)
    os.utime(path, ns=(1, 1))
    assert mark.fits(path)
    for place in {0, size - 1, min(size - 1, 1 << 19)} if size else ():
        content = bytearray(size)
        content[place] = 1
        path.write_bytes(content)
        assert not mark.fits(path)
        os.utime(path, ns=(mark.mtime_ns, mark.mtime_ns))  # as ``cp -p`` of another file does
        assert not mark.fits(path)
    path.write_bytes(bytes(size + 1))
    assert not mark.fits(path)
    path.unlink()
    assert not mark.fits(path)


def test_marks_see_a_small_change_of_a_long_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(20_000_000))
    mark = FileMark.of(path)
    with path.open("r+b") as file:
        file.seek(1_500_000)
        file.write(b"mended")
    os.utime(path)
    assert not mark.fits(path)


def test_what_it_says(manifest, paths, song):
    assert manifest.covers(paths)
    assert manifest.difference(paths, MAKING, song) == ""
    other = Making("2", "model", "weights", MAKING.options)
    assert manifest.difference(paths, other, song) == "made by partita 1"
    paths["b"].write_bytes(b"c" * 100)
    assert manifest.difference(paths, MAKING, song) == "b.wav changed"
    assert manifest.difference({**paths, "c": paths["a"].with_name("c.wav")}, MAKING, song)


def test_what_is_no_file_cannot_be_compared(manifest, paths, song):
    manifest.write(paths, MAKING, None)
    assert manifest.difference(paths, MAKING, song) == "the song changed"


def test_killed_while_stems_were_replaced(manifest, paths, song, tmp_path):
    """A generator that is left where it stands is what a killed process leaves."""
    replacing = manifest.replacing(paths)
    replacing.__enter__()
    paths["a"].write_bytes(b"c" * 100)
    assert Manifest(tmp_path / "out" / ".stems-1.json").difference(paths, MAKING, song) == (
        "not finished"
    )


@pytest.mark.parametrize("is_replaced", [False, True])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_failed_while_stems_were_to_be_replaced(manifest, paths, song, is_replaced, error):
    def fail():
        with manifest.replacing(paths):
            if is_replaced:
                paths["a"].write_bytes(b"c" * 100)
            raise error

    with pytest.raises(error):
        fail()
    assert manifest.difference(paths, MAKING, song) == ("not finished" if is_replaced else "")


def test_nothing_is_written_before_there_are_stems(tmp_path):
    paths = {"a": tmp_path / "out" / "a.wav"}
    with Manifest(tmp_path / "out" / ".stems-1.json").replacing(paths):
        assert list(tmp_path.iterdir()) == []


def test_sets_beside_each_other(manifest, paths, song):
    flac = {stem: path.with_suffix(".flac") for stem, path in paths.items()}
    for path in flac.values():
        path.write_bytes(b"flac")
    other = Making("1", "model", "weights", {"start": 1.0})
    manifest.write(flac, other, FileMark.of(song))
    assert manifest.difference(paths, MAKING, song) == ""
    assert manifest.difference(flac, other, song) == ""
    assert manifest.difference(flac, MAKING, song) == "other options: start, stems"
    manifest.write({"a": paths["a"]}, other, FileMark.of(song))
    assert manifest.difference({"a": paths["a"]}, other, song) == ""
    assert manifest.difference({"b": paths["b"], "a": paths["a"]}, MAKING, song) == (
        "stems of several runs"
    )


def test_it_is_json_that_people_can_read(manifest, tmp_path):
    content = json.loads((tmp_path / "out" / ".stems-1.json").read_text())
    (stems,) = content["sets"]
    assert stems["source"]["name"] == "song.wav"
    assert stems["files"]["a.wav"]["size"] == 100
    assert stems["making"]["options"] == MAKING.options


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_no_record(manifest, paths, song, tmp_path, kind):
    path = tmp_path / "out" / ".stems-1.json"
    path.unlink()
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    assert manifest.covers(paths)
    assert manifest.difference(paths, MAKING, song) == "the record beside the stems is damaged"
    if kind == "folder":
        with pytest.raises(AudioWriteError, match=r"\.stems-1\.json"), manifest.replacing(paths):
            pass
    else:
        with manifest.replacing(paths):
            manifest.write(paths, MAKING, FileMark.of(song))
        assert manifest.difference(paths, MAKING, song) == ""
