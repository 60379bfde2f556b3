import shutil

import av
import numpy as np
import pytest

from common import little_room
from partita.errors import AudioReadError
from partita.serve.intake import Intake
from partita.serve.library import Library
from partita.serve.limits import DiskFullError, Limits, QuotaError, TooLargeError

LIMITS = Limits()


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as found:
        yield found


def upload(library, data, name="song.wav", limits=LIMITS, request=None, size=None):
    with Intake(library, limits, name, size) as intake:
        for start in range(0, len(data), 1 << 16):
            intake.write(data[start : start + (1 << 16)])
        return intake.finish(request)


def assert_nothing_left(library):
    assert not list(library.incoming.iterdir())
    assert not library.songs()
    assert not list((library.folder / "songs").iterdir())


def test_a_song_comes_in(library, write_song, song):
    data = write_song().read_bytes()
    record = upload(library, data, "/home/me/Größe? 7\\Mein Lied.WAV")
    assert record.name == "Mein Lied"
    assert record.samples == song.shape[1]
    assert record.duration_s == pytest.approx(4.0)
    assert library.song_path(record).read_bytes() == data
    assert library.songs() == [record]
    assert not list(library.incoming.iterdir())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"just some text\n" * 100, "not an audio file"),
        (b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "not an audio file"),
    ],
)
@pytest.mark.parametrize("name", ["song.mp3", "list.m3u8", "x.ffconcat"])
def test_what_is_no_audio_is_one_sentence_and_leaves_nothing(library, data, why, name):
    with pytest.raises(AudioReadError, match=why) as caught:
        upload(library, data, name)
    assert str(library.folder) not in str(caught.value)
    assert_nothing_left(library)


def test_a_playlist_reads_no_file_of_this_machine(library, write_song):
    text = f"#EXTM3U\n#EXTINF:4,\nfile://{write_song()}\n#EXT-X-ENDLIST\n"
    with pytest.raises(AudioReadError):
        upload(library, text.encode(), "list.m3u8")


def test_a_stated_size_beyond_the_limit_is_refused_before_anything_is_stored(library):
    with pytest.raises(TooLargeError, match="up to 500 MB"):
        Intake(library, Limits(), "song.wav", 3_000_000_000)
    assert_nothing_left(library)


def test_so_is_one_that_was_not_stated(library):
    with pytest.raises(TooLargeError):
        upload(library, bytes(1_100_000), limits=Limits(most_mb=1))
    assert_nothing_left(library)


def test_a_song_that_is_too_long(library, write_song):
    data = write_song(samples=np.zeros((1, 8000 * 61)), rate=8000).read_bytes()
    with pytest.raises(TooLargeError, match="songs of up to 1 minutes"):
        upload(library, data, limits=Limits(most_minutes=1))
    assert_nothing_left(library)


def test_a_library_never_grows_beyond_its_quota(tmp_path, write_song):
    data = write_song().read_bytes()
    quota = int(2.5 * len(data))
    with Library(tmp_path / "library", quota) as library:
        limits = Limits(quota_gb=quota / 1e9)
        for _ in range(2):
            upload(library, data)
        for size in (len(data), None):  # before anything is stored, and when all of it is there
            with pytest.raises(QuotaError, match=r"holds 0\.0\d+ of 0\.0\d+ GB"):
                upload(library, data, size=size, limits=limits)
        with pytest.raises(TooLargeError):
            Intake(library, limits, "song.wav", 3 * len(data))
        assert library.size() == 2 * len(data)
        assert not list(library.incoming.iterdir())
        library.delete_song(library.oldest(1)[0][0].id)
        upload(library, data)


def test_a_full_disk_is_one_sentence(library, write_song, monkeypatch):
    full = shutil._ntuple_diskusage(100, 90, 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(DiskFullError, match="disk is full"):
        Intake(library, Limits(), "song.wav", 10)
    assert_nothing_left(library)


def test_so_is_one_that_fills_in_the_middle(library):
    data = bytes(400_000)
    with little_room(300_000), pytest.raises(DiskFullError):
        upload(library, data)
    assert_nothing_left(library)


def test_a_video_without_sound(library, tmp_path):
    path = tmp_path / "video.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(AudioReadError, match=r"no sound|no audio") as caught:
        upload(library, path.read_bytes(), "clip.mp4")
    assert str(caught.value).startswith("clip: ")
    assert_nothing_left(library)
