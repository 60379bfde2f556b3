"""Streams whose rate or channel count changes on the way, and files joined from several."""

import io
import re

import numpy as np
import pytest
import soundfile

from audio_files import RATE, assert_seconds, encode, read, tones
from partita.audio.channels import fit_channels
from partita.audio.joined import find_parts
from partita.errors import AudioReadError


def part(tmp_path, codec, container, seconds, rate=RATE, channels=2):
    path = tmp_path / f"part.{container}"
    encode(path, tones(*seconds, rate, channels), codec, rate, container)
    return path.read_bytes()


RAW = {"mp3": ("libmp3lame", "mp3"), "aac": ("aac", "adts")}


@pytest.mark.parametrize("kind", RAW)
@pytest.mark.parametrize("channels", [(1, 2), (2, 1), (2, 1, 2), (1, 2, 1)])
def test_channel_count_changes(tmp_path, kind, channels):
    codec, container = RAW[kind]
    parts = [
        part(tmp_path, codec, container, (2 * k, 2), channels=count)
        for k, count in enumerate(channels)
    ]
    path = tmp_path / f"song.{kind}"
    path.write_bytes(b"".join(parts))
    samples, reader = read(path)
    assert reader.channels == 2
    assert reader.sample_rate == RATE
    assert samples.shape == (2, pytest.approx(2 * len(channels) * RATE, abs=9000))
    assert_seconds(samples, RATE, range(2 * len(channels)), start_s=0.03)
    # Mono sounds on both sides as loud as before.
    levels = np.sqrt(np.mean(samples.reshape(2, -1)[:, RATE : -RATE // 2] ** 2, axis=1))
    np.testing.assert_allclose(levels, 0.3 / np.sqrt(2), rtol=0.1)


@pytest.mark.parametrize("kind", RAW)
@pytest.mark.parametrize("rates", [(44100, 48000), (48000, 32000), (44100, 32000, 44100)])
def test_rate_changes(tmp_path, kind, rates):
    codec, container = RAW[kind]
    parts = [part(tmp_path, codec, container, (2 * k, 2), rate) for k, rate in enumerate(rates)]
    path = tmp_path / f"song.{kind}"
    path.write_bytes(b"".join(parts))
    samples, reader = read(path)
    assert reader.sample_rate == rates[0]
    assert samples.shape[1] == pytest.approx(2 * len(rates) * rates[0], abs=9000)
    assert_seconds(samples, rates[0], range(2 * len(rates)), start_s=0.03)


def test_a_short_intro_at_half_the_rate_does_not_cost_the_song_its_treble(tmp_path):
    intro = part(tmp_path, "libmp3lame", "mp3", (0, 1), 22050)
    song = part(tmp_path, "libmp3lame", "mp3", (1, 4))
    (tmp_path / "song.mp3").write_bytes(intro + song)
    samples, reader = read(tmp_path / "song.mp3")
    assert reader.sample_rate == RATE
    assert_seconds(samples, RATE, range(5), start_s=0.05)


def flac(seconds, rate=RATE, channels=2, subtype="PCM_16"):
    file = io.BytesIO()
    soundfile.write(file, tones(*seconds, rate, channels).T, rate, subtype, format="FLAC")
    return file.getvalue()


def test_joined_flac(tmp_path):
    path = tmp_path / "song.flac"
    parts = (
        flac((0, 2), channels=1),
        flac((2, 2)),
        flac((4, 1), 48000),
        flac((5, 1), subtype="PCM_24"),
    )
    path.write_bytes(b"".join(parts))
    samples, reader = read(path)
    assert (reader.channels, reader.sample_rate, reader.warnings) == (2, RATE, [])
    assert samples.shape == (2, 6 * RATE)
    assert_seconds(samples, RATE, range(6))
    np.testing.assert_allclose(samples[:, : 2 * RATE], tones(0, 2), atol=1e-4)
    excerpt, _ = read(path, start_s=3.2, duration_s=2.0)
    np.testing.assert_array_equal(excerpt, samples[:, round(3.2 * RATE) :][:, : 2 * RATE])


@pytest.mark.parametrize("kind", ["vorbis", "opus"])
@pytest.mark.parametrize("channels", [(2, 2), (1, 2), (2, 1, 2)])
def test_chained_ogg(tmp_path, kind, channels):
    path, parts = tmp_path / f"song.{kind}", []
    for k, count in enumerate(channels):
        if kind == "opus":
            rate = 48000
            parts.append(part(tmp_path, "libopus", "ogg", (2 * k, 2), rate, count))
        else:
            rate, file = RATE, io.BytesIO()
            soundfile.write(file, tones(2 * k, 2, rate, count).T, rate, format="OGG")
            parts.append(file.getvalue())
    path.write_bytes(b"".join(parts))
    assert len(find_parts(path, parts[0][:64])) == len(channels)
    samples, reader = read(path)
    assert (reader.channels, reader.sample_rate) == (2, rate)
    assert samples.shape[1] == pytest.approx(2 * rate * len(channels), abs=1000)
    assert_seconds(samples, rate, range(2 * len(channels)))


@pytest.mark.parametrize("wanted", range(1, 9))
@pytest.mark.parametrize("given", range(1, 9))
def test_channels_fit_any_layout(given, wanted):
    block = np.ones((given, 10), np.float32)
    fitted = fit_channels(block, wanted)
    assert fitted.shape == (wanted, 10)
    assert fitted.dtype == np.float32
    assert np.abs(fitted).sum() > 0
    if given == wanted:
        np.testing.assert_array_equal(fitted, block)


JOINED = {"avi": "pcm_s16le", "m4a": "aac", "mkv": "aac", "wma": "wmav2", "au": "pcm_s16be"}


@pytest.mark.parametrize("kind", [*JOINED, "wav", "aiff", "caf", "w64"])
def test_whole_files_one_behind_the_other(tmp_path, kind):
    parts = []
    for first, channels in ((0, 2), (2, 1), (4, 2)):
        path = tmp_path / f"part.{kind}"
        if kind in JOINED:
            encode(path, tones(first, 2, RATE, channels), JOINED[kind])
        else:
            soundfile.write(path, tones(first, 2, RATE, channels).T, RATE)
        parts.append(path.read_bytes())
    path = tmp_path / f"song.{kind}"
    path.write_bytes(b"".join(parts))
    samples, reader = read(path)
    assert samples.shape == (2, pytest.approx(6 * RATE, abs=9000))
    assert_seconds(samples, RATE, range(6), start_s=0.03)
    assert reader.warnings == []
    excerpt, _ = read(path, start_s=3.0, duration_s=2.0)
    assert_seconds(excerpt, RATE, [3, 4], start_s=0.03)


def test_what_follows_a_file_is_no_part_of_it(tmp_path):
    path = tmp_path / "song.wav"
    soundfile.write(path, tones().T, RATE)
    with path.open("ab") as file:
        file.write(b"RIFF\x08\0\0\0AVIXdata" + bytes(64))
    samples, _ = read(path)
    assert samples.shape == (2, 8 * RATE)


@pytest.mark.parametrize("kind", ["ts", "mpg", "mp3"])
def test_excerpts_where_the_time_begins_anew(tmp_path, kind):
    codec, container = {
        "ts": ("aac", "mpegts"),
        "mpg": ("mp2", "mpeg"),
        "mp3": ("libmp3lame", "mp3"),
    }[kind]
    rates = (44100, 32000) if kind == "mp3" else (44100, 44100)
    parts = [
        part(tmp_path, codec, container, (4 * k, 4), rate, 2 - k) for k, rate in enumerate(rates)
    ]
    path = tmp_path / f"song.{kind}"
    path.write_bytes(b"".join(parts))
    whole, _ = read(path)
    for start_s, length_s in ((2.0, 3.0), (5.5, 2.0), (7.0, None)):
        excerpt, _ = read(path, start_s=start_s, duration_s=length_s)
        start = round(start_s * RATE)
        end = None if length_s is None else start + round(length_s * RATE)
        np.testing.assert_array_equal(excerpt, whole[:, start:end])


MORE_JOINED = {"tta": ("tta", "tta"), "flv": ("libmp3lame", "flv"), "rf64": ("pcm_s16le", "wav")}


@pytest.mark.parametrize("kind", MORE_JOINED)
def test_files_that_readers_end_at_the_first_of(tmp_path, kind):
    codec, container = MORE_JOINED[kind]
    parts = []
    for first in (0, 2):
        path = tmp_path / f"part.{kind}"
        if kind == "rf64":
            soundfile.write(path, tones(first, 2).T, RATE, "PCM_16", format="RF64")
        else:
            encode(path, tones(first, 2), codec, RATE, container)
        parts.append(path.read_bytes())
    path = tmp_path / f"song.{kind}"
    # Tags of the first one stand between them.
    tag = 2 * (b"APETAGEX" + bytes([208, 7, 0, 0]) + (32).to_bytes(4, "little") + bytes(16))
    path.write_bytes(parts[0] + (tag if kind == "tta" else b"") + parts[1])
    samples, reader = read(path)
    assert samples.shape == (2, pytest.approx(4 * RATE, abs=9000))
    assert_seconds(samples, RATE, range(4), start_s=0.03)
    assert reader.warnings == []


@pytest.mark.parametrize("version", [1, 2])
def test_a_flash_header_of_another_version_is_one_file(tmp_path, version):
    path = encode(tmp_path / "song.flv", tones(0, 2), "libmp3lame", RATE, "flv")
    data = path.read_bytes()
    path.write_bytes(data[:3] + bytes([version]) + data[4:])
    samples, _ = read(path)
    assert_seconds(samples, RATE, range(2), start_s=0.03)


OTHERS = {
    **{kind: (codec, None) for kind, codec in JOINED.items()},
    "tta": ("tta", "tta"),
    "wav": ("pcm_s16le", None),
    "aiff": ("pcm_s16be", None),
    "caf": ("pcm_s16be", None),
    "w64": ("pcm_s16le", None),
    "swf": ("libmp3lame", "swf"),
    "mp3": ("libmp3lame", "mp3"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_sound_of_another_kind_behind_a_file_is_said(tmp_path, kind):
    codec, container = OTHERS[kind]
    path = encode(tmp_path / f"song.{kind}", tones(0, 2), codec, RATE, container)
    whole, reader = read(path)
    assert reader.warnings == []
    size = path.stat().st_size
    other = np.random.default_rng(0).bytes(3 * size)
    with path.open("ab") as file:
        file.write(b"wvpk" + other)
    samples, reader = read(path)
    np.testing.assert_array_equal(samples[:, : whole.shape[1]], whole)
    ends_s, count = re.search(
        r"its sound ends at (\S+) s; (\S+) bytes behind it were not read", reader.warnings[-1]
    ).groups()
    assert float(ends_s) == pytest.approx(samples.shape[1] / RATE, abs=1e-3)
    assert int(count.replace(",", "")) == pytest.approx(len(other), rel=0.2)
    _, reader = read(path, duration_s=1.0)
    assert reader.warnings == []


@pytest.mark.parametrize("behind", ["zeros", "ID3", "chunk"])
def test_tags_and_padding_behind_a_file_are_no_sound(tmp_path, behind):
    path = tmp_path / "song.wav"
    soundfile.write(path, tones(0, 1).T, RATE)
    data = {
        "zeros": bytes(100_000),
        "ID3": b"ID3\x04\0\0\0\x06\x0d\x20" + b"x" * 100_000,
        "chunk": b"LIST" + (100_000).to_bytes(4, "little") + b"x" * 100_000,
    }[behind]
    with path.open("ab") as file:
        file.write(data)
    _, reader = read(path)
    assert reader.warnings == []


def test_a_rate_of_zero_in_a_tta_file_is_one_error(tmp_path):
    path = encode(tmp_path / "song.tta", tones(0, 1), "tta", RATE, "tta")
    data = path.read_bytes()
    path.write_bytes(data[:10] + bytes(4) + data[14:])
    with pytest.raises(AudioReadError):
        read(path)
