"""Joined FLAC and chained Ogg files with damaged parts: the other parts stay in place."""

import io
import re

import numpy as np
import pytest
import soundfile

from audio_files import RATE, assert_seconds, encode, read, tones
from partita.audio.ogg_pages import with_serial


def flac(first, count, **options):
    """Return a FLAC file of noise and tones, whose bytes are spread over the time."""
    file = io.BytesIO()
    noise = np.random.default_rng(first).normal(0, 0.05, (2, count * RATE))
    signal = tones(first, count) + noise.astype(np.float32)
    soundfile.write(file, signal.T, RATE, format="FLAC", **options)
    return file.getvalue()


def damaged(parts, at, count):
    """Join parts and overwrite bytes at an offset from the second part's beginning."""
    data = bytearray(b"".join(parts))
    start = len(parts[0]) + at
    data[start : start + count] = np.random.default_rng(0).bytes(count)
    return bytes(data)


@pytest.mark.parametrize(
    ("at", "count", "lost"),
    [
        (0, 4, None),  # the mark
        (8, 34, None),  # STREAMINFO
        (18, 8, None),  # its rate, channels and length
        (0, 200, (2.0, 2.093)),  # with the first frame's head
        (0, 20_000, (2.0, 2.186)),
        (-2000, 4000, (1.95, 2.093)),
    ],
)
def test_a_joined_flac_whose_inner_header_is_damaged(tmp_path, at, count, lost):
    parts = [flac(0, 2), flac(2, 2), flac(4, 1)]
    path = tmp_path / "song.flac"
    path.write_bytes(b"".join(parts))
    whole, reader = read(path)
    assert reader.warnings == []
    path.write_bytes(damaged(parts, at, count))
    samples, reader = read(path)
    assert samples.shape == whole.shape
    wrong = np.flatnonzero((samples != whole).any(axis=0)) / RATE
    told = re.findall(r"(\d+\.\d+) s to (\d+\.\d+) s", " ".join(reader.warnings))
    if lost is None:
        assert not len(wrong)
        assert not told
    else:
        assert (wrong[0], wrong[-1]) == pytest.approx(lost, abs=1e-3)
        assert (float(told[0][0]), float(told[-1][1])) == pytest.approx(lost, abs=1e-3)
        assert not samples[:, round(lost[0] * RATE) + 50 : round(lost[1] * RATE) - 50].any()


def test_a_joined_flac_of_another_shape_without_its_header(tmp_path):
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.05, (1, 2 * 48000)).astype(np.float32)
    soundfile.write(file, (tones(2, 2, 48000, 1) + noise).T, 48000, "PCM_24", format="FLAC")
    inner = file.getvalue()
    path = tmp_path / "song.flac"
    path.write_bytes(flac(0, 2) + inner[inner.find(b"\xff\xf8") :] + flac(4, 1))
    samples, reader = read(path)
    assert samples.shape == (2, 5 * RATE)
    assert_seconds(samples, RATE, range(5))
    assert reader.warnings == []


def test_frames_with_later_numbers_are_no_part_of_their_own(tmp_path):
    data = flac(0, 3)
    path = tmp_path / "song.flac"
    path.write_bytes(data[:30_000] + bytes(40_000) + data[70_000:])
    samples, _ = read(path)
    assert samples.shape == (2, 3 * RATE)
    assert_seconds(samples, RATE, [1, 2], start_s=1.0)


def link(tmp_path, kind, first, serial):
    if kind == "vorbis":
        file = io.BytesIO()
        noise = np.random.default_rng(first).normal(0, 0.05, (2, 2 * RATE)).astype(np.float32)
        soundfile.write(file, (tones(first, 2) + noise).T, RATE, format="OGG")
        return with_serial(file.getvalue(), serial)
    rate = 48000 if kind == "opus" else RATE
    codec = "libopus" if kind == "opus" else "flac"
    path = encode(tmp_path / "link.ogg", tones(first, 2, rate), codec, rate, "ogg")
    return with_serial(path.read_bytes(), serial)


def pages(data):
    return [match.start() for match in re.finditer(b"OggS", data)]


#: What is damaged of a link, by its pages: the first one, the other headers, both, all.
DAMAGE = {
    "mark": lambda at, _: (0, 4),
    "codec": lambda at, _: (28, 10),
    "headers": lambda at, _: (at[1] + 28, 20),
    "all headers": lambda at, _: (0, at[2]),
    "everything": lambda at, size: (0, size),
}


@pytest.mark.parametrize("kind", ["vorbis", "opus", "flac"])
@pytest.mark.parametrize("serials", [(1, 2, 3), (1, 1, 1)])
@pytest.mark.parametrize("what", DAMAGE)
def test_a_chained_ogg_with_a_broken_link(tmp_path, kind, serials, what):
    parts = [link(tmp_path, kind, 2 * k, serial) for k, serial in enumerate(serials)]
    inner = pages(parts[1])
    path = tmp_path / "song.ogg"
    path.write_bytes(damaged(parts, *DAMAGE[what](inner, len(parts[1]))))
    samples, reader = read(path)
    rate = reader.sample_rate
    # How long a link was of which nothing is left can be told from its bytes only.
    about = 0.2 if what == "everything" else 0.001
    assert samples.shape[1] / rate == pytest.approx(6, abs=about)
    assert_seconds(samples, rate, [0, 1])
    assert_seconds(samples[:, -2 * rate :], rate, [4, 5])
    middle = samples[:, 2 * rate : 4 * rate]
    is_decodable = kind != "vorbis" or serials == (1, 1, 1)
    if what != "everything" and is_decodable:
        assert_seconds(middle, rate, [2, 3])
        assert reader.warnings == []
    else:
        assert not middle[:, 2000:-2000].any()
        told = re.search(r"silence from 2\.000 s to (\d\.\d{3}) s", reader.warnings[0])
        assert float(told[1]) == pytest.approx(4, abs=about)


def test_a_chained_ogg_whose_inner_sound_is_damaged_names_the_songs_time(tmp_path):
    parts = [link(tmp_path, "opus", 2 * k, k) for k in range(3)]
    path = tmp_path / "song.ogg"
    path.write_bytes(damaged(parts, pages(parts[1])[2] + 200, 100))
    samples, reader = read(path)
    assert_seconds(samples, 48000, [0, 1, None, 3, 4, 5])
    assert "silence from 2.000 s to 3.000 s" in reader.warnings[0]


def test_excerpts_of_a_chained_ogg_with_a_broken_link(tmp_path):
    parts = [link(tmp_path, "vorbis", 2 * k, k) for k in range(3)]
    path = tmp_path / "song.ogg"
    path.write_bytes(damaged(parts, 0, 100))
    whole, _ = read(path)
    samples, reader = read(path, start_s=3.5, duration_s=2.0)
    np.testing.assert_array_equal(samples, whole[:, round(3.5 * RATE) :][:, : 2 * RATE])
    assert "silence from 3.500 s to 4.000 s" in reader.warnings[0]
    _, reader = read(path, start_s=4.5)
    assert reader.warnings == []
