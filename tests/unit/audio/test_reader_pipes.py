"""What can be read only once: pipes, sockets and devices."""

import io
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_files import RATE, encode, read, tones
from partita.audio.reader import open_audio
from partita.errors import AudioReadError

KINDS = ("wav", "flac", "mp3", "m4a")


@pytest.fixture(params=KINDS)
def song(request, tmp_path):
    path = tmp_path / f"song.{request.param}"
    if request.param in ("wav", "flac"):
        soundfile.write(path, tones(0, 3).T, RATE)
    else:
        codec = {"mp3": "libmp3lame", "m4a": "aac"}[request.param]
        encode(path, tones(0, 3), codec, container="mp4" if request.param == "m4a" else None)
    return path


def feed(write_bytes, data):
    thread = threading.Thread(target=write_bytes, args=(data,), daemon=True)
    thread.start()
    return thread


def assert_same(path, song):
    expected, _ = read(song)
    samples, reader = read(path)
    np.testing.assert_allclose(samples, expected, atol=2e-3)  # AAC decoders fill in noise
    assert reader.name == str(path)
    assert reader.warnings == []


def test_named_pipe(tmp_path, song):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    thread = feed(pipe.write_bytes, song.read_bytes())
    assert_same(pipe, song)
    thread.join(10)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="this system has no /dev/fd")
@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd"])
def test_file_descriptor_of_a_pipe(song, folder):
    if not Path(folder).exists():
        pytest.skip("this system has no such folder")
    end, other_end = os.pipe()

    def write_all(data):
        with os.fdopen(other_end, "wb") as file:
            file.write(data)

    thread = feed(write_all, song.read_bytes())
    assert_same(Path(f"{folder}/{end}"), song)
    thread.join(10)
    os.close(end)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="this system has no /dev/fd")
def test_socket(song):
    ours, theirs = socket.socketpair()

    def send(data):
        with theirs:
            theirs.sendall(data)

    thread = feed(send, song.read_bytes())
    with ours:
        assert_same(Path(f"/dev/fd/{ours.fileno()}"), song)
    thread.join(10)


def test_excerpts_and_tags_come_out_of_pipes_too(tmp_path):
    soundfile.write(tmp_path / "song.flac", tones(0, 3).T, RATE)
    with soundfile.SoundFile(tmp_path / "song.wav", "w", RATE, 2) as file:
        file.title = "Title"
        file.write(tones(0, 3).T)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    thread = feed(pipe.write_bytes, (tmp_path / "song.wav").read_bytes())
    with open_audio(pipe, start_s=1.0, duration_s=0.5) as reader:
        spool = Path(reader.spool.name)
        assert reader.tags.text["title"] == "Title"
        samples = np.concatenate(list(reader.blocks()), axis=1)
    thread.join(10)
    np.testing.assert_allclose(samples, tones(0, 3)[:, RATE : RATE * 3 // 2], atol=1e-4)
    assert not spool.exists()


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="this system has no /dev/stdin")
@pytest.mark.parametrize("name", ["/dev/stdin", "-"])
def test_standard_input_by_its_name(tmp_path, name):
    soundfile.write(tmp_path / "song.wav", tones(0, 1).T, RATE)
    script = (
        "from partita.audio.reader import open_audio\n"
        f"with open_audio({name!r}) as reader:\n"
        "    print(sum(block.shape[1] for block in reader.blocks()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=(tmp_path / "song.wav").read_bytes(),
        capture_output=True,
        check=True,
    )
    assert int(done.stdout) == RATE


def test_an_empty_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    thread = feed(pipe.write_bytes, b"")
    with pytest.raises(AudioReadError, match=r"pipe: is empty \(0 bytes\)"):
        open_audio(pipe)
    thread.join(10)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no /dev/zero")
def test_an_endless_device(monkeypatch):
    monkeypatch.setattr("partita.audio.spool._MAX_DEVICE_BYTES", 1 << 22)
    with pytest.raises(AudioReadError, match="/dev/zero: is a device that gives more than"):
        open_audio("/dev/zero")
    with pytest.raises(AudioReadError, match="/dev/null: is empty"):
        open_audio("/dev/null")


@pytest.fixture(params=["nobody writes", "a writer that pauses"])
def waiting(request, tmp_path):
    """A named pipe that gives no song."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = None
    if request.param == "a writer that pauses":
        writer = os.open(pipe, os.O_RDWR)
        os.write(writer, b"RIFF")
    yield pipe
    if writer is None:  # lets the thread end that waits for one
        writer = os.open(pipe, os.O_RDWR)
    os.close(writer)


def test_waiting_can_be_cancelled(waiting, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cancel = threading.Event()
    threading.Timer(0.2, cancel.set).start()
    with pytest.raises(InterruptedError):
        open_audio(waiting, cancel=cancel)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_standard_input_of_a_program_that_replaced_it(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "song.wav", tones(0, 1).T, RATE)
    file = io.BytesIO((tmp_path / "song.wav").read_bytes())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(file))
    with open_audio("-") as reader:
        assert sum(block.shape[1] for block in reader.blocks()) == RATE
