import io
import zipfile
from pathlib import Path

import pytest

from partita.errors import AudioWriteError, UsageError
from partita.mixing.output import check_free, find_target, zip_stream


@pytest.mark.parametrize(
    ("out", "format_", "kind", "name"),
    [
        ("a.mp3", None, "file", "mp3"),
        ("a.STEM.mp4", None, "file", "stem.mp4"),
        ("a.mp3", "MP3", "file", "mp3"),
        ("a.zip", "flac", "zip", "flac"),
        ("folder", None, "folder", "wav"),
        ("v1.5", "ogg", "folder", "ogg"),
    ],
)
def test_kinds(out, format_, kind, name):
    target = find_target(out, format_)
    assert (target.kind, target.form.name) == (kind, name)


def test_folders_may_have_any_name(tmp_path):
    (tmp_path / "a.mp3").mkdir()
    assert find_target(tmp_path / "a.mp3").kind == "folder"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "a.aiff"}, "unknown format 'aiff'"),
        ({"out": "a.mp3", "format": "flac"}, "contradict each other"),
        ({"out": "a.mp3", "bits": 24}, "bits"),
        ({"out": "folder", "format": "midi"}, "unknown format"),
    ],
)
def test_wrong_choices(options, message):
    with pytest.raises(UsageError, match=message):
        find_target(**options)


def test_names_of_files():
    one = {"mix": Path("out/A.wav")}
    assert find_target("out").files("A", "", ["mix"]) == one
    assert find_target("out").files("A/B", "x/y", ["mix"]) == {"mix": Path("out/A_B (x_y).wav")}
    assert find_target("a.mp3").files("A", "", ["mix"]) == {"mix": Path("a.mp3")}
    several = find_target("out", "flac").files("A", "pack", ["mix", "no_vocals"])
    assert several["no_vocals"] == Path("out/A/no_vocals.flac")
    assert find_target("a.zip").files("..", "", ["a", "../b"])["../b"] == Path("__/.._b.wav")
    with pytest.raises(UsageError, match="is one file, but there are 2 tracks: mix, b"):
        find_target("a.mp3").files("A", "", ["mix", "b"])


def test_files_that_are_there(tmp_path):
    stem, other = tmp_path / "stem.wav", tmp_path / "other.wav"
    for path in (stem, other):
        path.write_text("x")
    check_free([tmp_path / "new.wav"], [stem], overwrite=False)
    check_free([other], [stem], overwrite=True)
    with pytest.raises(AudioWriteError, match="exists already; `overwrite=True` replaces it"):
        check_free([other], [stem], overwrite=False)
    (tmp_path / "link.wav").symlink_to(stem)
    for path in (stem, tmp_path / "link.wav"):
        with pytest.raises(AudioWriteError, match="would overwrite an input"):
            check_free([path], [stem], overwrite=True)
    with pytest.raises(AudioWriteError, match="is a folder"):
        check_free([tmp_path], [stem], overwrite=True)
    with pytest.raises(AudioWriteError, match="is not a file"):
        check_free([Path("/dev/null")], [stem], overwrite=True)


def test_archives_are_whole_and_stored(tmp_path):
    contents = {"a/one.wav": bytes(3_000_000), "a/zwei ü.wav": b"abc", "leer.wav": b""}
    files = {}
    for index, (name, data) in enumerate(contents.items()):
        files[name] = tmp_path / str(index)
        files[name].write_bytes(data)
    chunks = list(zip_stream(files))
    assert max(map(len, chunks)) < 1_100_000  # it streams
    with zipfile.ZipFile(io.BytesIO(b"".join(chunks))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == contents
        assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize("name", ["/etc/passwd", "../a", "a/../../b", "a\\b", "a//b", ".", ""])
def test_names_that_lead_out_of_an_archive(tmp_path, name):
    (tmp_path / "a").write_text("x")
    with pytest.raises(UsageError, match="cannot be the name of a file in an archive"):
        list(zip_stream({name: tmp_path / "a"}))


def test_names_that_are_alike_in_an_archive(tmp_path):
    (tmp_path / "a").write_text("x")
    with pytest.raises(UsageError, match="one name"):
        list(zip_stream({"A": tmp_path / "a", "a": tmp_path / "a"}))
