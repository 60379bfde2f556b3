import logging
import os
import tempfile
from pathlib import Path

import pytest

from partita.separation.batch import Outcome, Song, find_songs


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_folders_mirror_their_tree(tmp_path):
    touch(
        tmp_path / "album" / "b.mp3",
        tmp_path / "album" / "a.FLAC",
        tmp_path / "album" / "disc 2" / "c.stem.mp4",
        tmp_path / "album" / "cover.jpg",
        tmp_path / "album" / ".hidden.mp3",
        tmp_path / "album" / ".trash" / "d.mp3",
        tmp_path / "album" / "separated" / "model" / "b" / "vocals.wav",
    )
    songs = list(find_songs([str(tmp_path / "album")], outputs=[tmp_path / "album" / "separated"]))
    assert [song.track for song in songs] == ["a", "b", "disc 2/c"]


def test_globs_files_and_standard_input(tmp_path):
    touch(tmp_path / "one.wav", tmp_path / "two.wav", tmp_path / "odd [1].wav")
    songs = list(
        find_songs(
            [str(tmp_path / "t*.wav"), str(tmp_path / "odd [1].wav"), "-"],
            outputs=[tmp_path / "out"],
        )
    )
    assert [song.track for song in songs] == ["two", "odd [1]", "stdin"]


def test_what_holds_no_song_fails_on_its_own(tmp_path):
    (tmp_path / "empty").mkdir()
    found = list(
        find_songs(
            [str(tmp_path / name) for name in ("empty", "no*.wav", "no [1].wav")],
            outputs=[tmp_path / "out"],
        )
    )
    assert isinstance(found[0], Outcome)
    assert "no audio files in here" in found[0].error
    assert found[1].error.endswith("no*.wav: no such file, nor any that matches")
    assert isinstance(found[2], Song)  # opening it says that it is missing


def tracks(folder, *outputs):
    return [song.track for song in find_songs([str(folder)], outputs=list(outputs))]


def test_linked_folders_are_searched_once_and_circles_end(tmp_path):
    album = tmp_path / "album"
    touch(album / "b.wav", album / "disc 1" / "a.wav", tmp_path / "elsewhere" / "c.wav")
    touch(tmp_path / "elsewhere" / "inner" / "d.wav")
    (album / "a link").symlink_to(tmp_path / "elsewhere")
    (album / "again").symlink_to(tmp_path / "elsewhere")
    (album / "disc 0").symlink_to(album / "disc 1")
    (album / "disc 1" / "up").symlink_to(album)
    (tmp_path / "elsewhere" / "round").symlink_to(tmp_path / "elsewhere")
    (album / "broken").symlink_to(tmp_path / "nowhere")
    assert tracks(album) == ["b", "a link/c", "a link/inner/d", "disc 1/a"]


def test_output_folders_are_left_out_under_other_names(tmp_path):
    touch(tmp_path / "album" / "a.wav", tmp_path / "stems" / "model" / "a" / "bass.wav")
    (tmp_path / "album" / "link").symlink_to(tmp_path / "stems")
    assert tracks(tmp_path / "album", tmp_path / "stems") == ["a"]
    assert tracks(tmp_path / "stems", tmp_path / "stems") == ["model/a/bass"]  # asked for by name


def test_a_linked_song(tmp_path):
    touch(tmp_path / "real.wav")
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "song.wav").symlink_to(tmp_path / "real.wav")
    assert tracks(tmp_path / "album") == ["song"]


def test_a_file_that_is_named_twice_is_one_song(tmp_path, monkeypatch):
    touch(tmp_path / "song.wav", tmp_path / "other" / "song.wav")
    (tmp_path / "link.wav").symlink_to(tmp_path / "song.wav")
    monkeypatch.chdir(tmp_path)
    inputs = ["song.wav", "./song.wav", str(tmp_path / "song.wav"), "link.wav", "other/song.wav"]
    found = list(find_songs(inputs, outputs=[]))
    assert [song.source for song in found] == ["song.wav", "link.wav", "other/song.wav"]


def test_what_is_left_out_is_said(tmp_path, caplog):
    touch(*(tmp_path / "album" / name for name in ("a.wav", "cover.jpg", "disc.cue", "x.mid")))
    with caplog.at_level(logging.INFO, "partita"):
        assert tracks(tmp_path / "album") == ["a"]
    (line,) = caplog.messages
    album = tmp_path / "album"
    assert line == (
        f"{album}: skipped 3 files that are not audio: x.mid and 2 pictures, texts and the like"
    )


def test_companions_alone_are_not_worth_a_line(tmp_path, caplog):
    touch(tmp_path / "album" / "a.wav", tmp_path / "album" / "cover.jpg")
    with caplog.at_level(logging.INFO, "partita"):
        assert tracks(tmp_path / "album") == ["a"]
    assert caplog.messages == []


def test_a_folder_without_songs_says_what_it_holds(tmp_path):
    touch(tmp_path / "album" / "take.mid")
    (outcome,) = find_songs([str(tmp_path / "album")], outputs=[])
    assert "no audio files in here (skipped 1 file that is not audio: take.mid)" in outcome.error


def test_web_addresses(tmp_path):
    (outcome,) = find_songs(["https://example.org/song.mp3"], outputs=[])
    assert (outcome.status, "download the song first" in outcome.error) == ("failed", True)


@pytest.fixture
def mortal():
    """Root may read everything: be somebody else for a while."""
    if not hasattr(os, "geteuid"):
        pytest.skip("this system has no permissions of that kind")
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


def test_folders_that_cannot_be_read_fail_and_the_rest_is_found(mortal):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        touch(folder / "a.wav", folder / "locked" / "b.wav", folder / "open" / "c.wav")
        (folder / "locked").chmod(0)
        refused, *songs = find_songs([name], outputs=[])
        (folder / "locked").chmod(0o700)
    assert (refused.status, refused.error) == (
        "failed",
        f"{folder}/locked: this folder cannot be searched: permission denied",
    )
    assert [song.track for song in songs] == ["a", "open/c"]


def test_pipes_in_folders_are_no_songs(tmp_path, caplog):
    (tmp_path / "song.wav").touch()
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "gone.wav").symlink_to("nowhere.wav")  # its song is missing: that is worth a line
    with caplog.at_level("INFO", logger="partita"):
        found = find_songs([str(tmp_path)], outputs=[])
        assert [song.track for song in found] == ["gone", "song"]
    assert "pipe.wav" in caplog.text
