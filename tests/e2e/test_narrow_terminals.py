"""On terminals of any width, no number and no name is broken in its middle."""

import json
import os
import re
import struct
import subprocess
import sys
import threading

import pytest

fcntl = pytest.importorskip("fcntl")
termios = pytest.importorskip("termios")


def on_terminal(columns, *arguments, cwd):
    """Run the command line on a terminal of that width; returns the lines it shows there."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    hidden = ("COLUMNS", "NO_COLOR", "FORCE_COLOR")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    chunks = []

    def read():
        while True:
            try:
                chunk = os.read(ours, 1 << 16)
            except OSError:  # the other end was closed
                return
            if not chunk:
                return
            chunks.append(chunk)

    reader = threading.Thread(target=read)
    process = subprocess.Popen(
        [sys.executable, "-m", "partita", *map(str, arguments)],
        stdout=theirs, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=cwd,
        env={**environment, "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    reader.start()
    _, errors = process.communicate(timeout=120)
    reader.join()
    os.close(ours)
    assert process.returncode == 0, errors
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", b"".join(chunks).decode()).splitlines()


@pytest.mark.parametrize("columns", [100, 80, 60])
@pytest.mark.parametrize("arguments", [["models"], ["models", "show", "four-stems"], ["--help"]])
def test_lists(tmp_path, columns, arguments):
    lines = on_terminal(columns, *arguments, cwd=tmp_path)
    too_long = [line for line in lines if len(line) > columns and " " in line.strip()]
    assert not too_long


def test_summaries(tmp_path, write_song, song):
    write_song("a folder of songs/a song of some length.wav", song[:, :10000])
    lines = on_terminal(60, "a folder of songs", "-n", "hpss", "-o", "here", cwd=tmp_path)
    assert lines[0].startswith("a folder of songs/a song of some length.wav →")
    text = " ".join(line.strip() for line in lines)
    assert "here/hpss/a song of some length/: harmonic.wav, percussive.wav, residual.wav" in text
    assert all(len(line) <= 60 for line in lines)


def test_json_is_one_line_on_terminals_too(tmp_path, write_song, song):
    write_song("a folder of songs/a song of some length.wav", song[:, :10000])
    flags = ["-n", "hpss", "-o", "a place for its stems", "--json"]
    (line,) = on_terminal(60, "a folder of songs", *flags, cwd=tmp_path)
    expected = "a place for its stems/hpss/a song of some length/residual.wav"
    assert json.loads(line)["stems"]["residual"] == expected
