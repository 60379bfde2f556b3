"""A disk that is full in the middle of a file is an error of the system, whatever the encoder."""

import contextlib
import errno

import numpy as np
import pytest

from common import little_room
from partita.audio.encode import AvWriter, encode_file
from partita.audio.formats import stem_format
from partita.audio.tags import Tags

RATE, SAMPLES, BLOCK = 44100, 60_000, 5_000
NOISE = np.random.default_rng(0).normal(0, 0.1, (2, SAMPLES)).astype(np.float32)
BLOCKS = [NOISE[:, start : start + BLOCK] for start in range(0, SAMPLES, BLOCK)]
# The header does not fit, a block, or what closing the file writes.
ROOM = (100, 4_000, 9_000, 13_000)


@pytest.mark.parametrize("extension", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
@pytest.mark.parametrize("room", ROOM)
def test_one_file(tmp_path, capfd, extension, room):
    with little_room(room), pytest.raises(OSError, match=r"File too large|No space left") as caught:
        encode_file(
            tmp_path / f"song.{extension}",
            BLOCKS,
            stem_format(extension),
            sample_rate=RATE,
            channels=2,
            frames=SAMPLES,
            tags=Tags(),
        )
    assert caught.value.errno in (errno.EFBIG, errno.ENOSPC)
    assert capfd.readouterr().err == ""


def write_stem_mp4(path):
    with contextlib.closing(AvWriter(path, stem_format("stem.mp4"), RATE, [2, 2])) as writer:
        for block in BLOCKS:
            writer.write(0, block)
            writer.write(1, block)
        writer.flush()


@pytest.mark.parametrize("room", ROOM)
def test_all_stems_in_one_file(tmp_path, capfd, room):
    with little_room(room), pytest.raises(OSError, match="File too large"):
        write_stem_mp4(tmp_path / "song.stem.mp4")
    assert capfd.readouterr().err == ""
