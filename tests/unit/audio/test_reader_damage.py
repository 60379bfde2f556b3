"""Damaged and cut files: silence where nothing decodes, the rest at its place, a warning."""

import gc
import re
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from audio_files import RATE, assert_seconds, encode, read, tones
from partita.audio.reader import open_audio
from partita.audio.signal import load_audio
from partita.errors import AudioReadError

CODECS = {
    "mp3": ("libmp3lame", None),
    "aac": ("aac", "adts"),
    "ac3": ("ac3", "ac3"),
    "m4a": ("aac", "mp4"),
    "mkv": ("libmp3lame", "matroska"),
    "ts": ("libmp3lame", "mpegts"),
    "wma": ("wmav2", "asf"),
    "opus": ("libopus", "ogg"),
    "wv": ("wavpack", None),
    "tta": ("tta", None),
}


def write(tmp_path, kind):
    path = tmp_path / f"song.{kind}"
    if kind in ("flac", "ogg"):
        # Noise, so that bytes are spread over the time.
        noise = np.random.default_rng(0).normal(0, 0.05, (2, 8 * RATE)).astype(np.float32)
        soundfile.write(path, (tones() + noise).T, RATE)
    else:
        codec, container = CODECS[kind]
        rate = 48000 if codec == "libopus" else RATE
        encode(path, tones(rate=rate), codec, rate, container)
    return path


def overwrite(path, at, count, seed=0):
    """Overwrite bytes from a share of the file on with noise."""
    data = bytearray(path.read_bytes())
    start = round(at * len(data))
    data[start : start + count] = np.random.default_rng(seed).bytes(count)
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["flac", "ogg", *CODECS])
@pytest.mark.parametrize("at", [0.3, 0.6])
def test_damage_in_the_middle_moves_nothing(tmp_path, kind, at):
    path = write(tmp_path, kind)
    whole, reader = read(path)
    assert reader.warnings == []
    overwrite(path, at, 30_000 if kind == "wv" else 3000)  # across the head of a block
    samples, reader = read(path)
    rate = reader.sample_rate
    assert samples.shape[1] == pytest.approx(whole.shape[1], abs=2400)
    assert_seconds(samples[:, -2 * rate :], rate, [6, 7])
    assert_seconds(samples, rate, [0, 1])
    text = " ".join(reader.warnings)
    if (samples[:, :rate] != 0).any() and kind not in ("mp3", "mkv", "ts", "ac3", "wma"):
        assert re.search(r"silence from \d\.\d{3} s to \d\.\d{3} s", text), text


COUNTED = {
    "mp3.avi": ("libmp3lame", "avi"),
    "ac3.avi": ("ac3", "avi"),
    "pcm.avi": ("pcm_s16le", "avi"),
    "mp3.wav": ("libmp3lame", "wav"),
    "ac3.wav": ("ac3", "wav"),
    "eac3": ("eac3", "eac3"),
    "latm": ("aac", "latm"),
}


@pytest.mark.parametrize("kind", COUNTED)
@pytest.mark.parametrize("at", [0.3, 0.6])
@pytest.mark.parametrize("fill", ["zeros", "noise"])
def test_damage_moves_nothing_where_time_is_counted(tmp_path, kind, at, fill):
    codec, container = COUNTED[kind]
    noise = np.random.default_rng(0).normal(0, 0.05, (2, 8 * RATE)).astype(np.float32)
    path = tmp_path / f"song.{kind}"
    encode(path, tones() + noise, codec, RATE, container)
    whole, reader = read(path)
    assert reader.warnings == []
    data = bytearray(path.read_bytes())
    start, count = round(at * len(data)), min(4000, len(data) // 10)
    count = len(data) // 10 if codec == "pcm_s16le" else count
    other = np.random.default_rng(1).bytes(count) if fill == "noise" else bytes(count)
    data[start : start + count] = other
    path.write_bytes(data)
    samples, reader = read(path)
    most_s, rate = 0.001, reader.sample_rate
    assert samples.shape[1] == pytest.approx(whole.shape[1], abs=most_s * rate)
    assert abs(shift(whole, samples[:, -rate:]) - len(whole[0]) + rate) <= most_s * rate
    if codec != "pcm_s16le":
        told = re.search(r"silence from (\S+) s to (\S+) s", " ".join(reader.warnings))
        assert float(told[1]) == pytest.approx(8 * at, abs=0.3)
        assert float(told[2]) - float(told[1]) > 0.1


def shift(whole, part):
    """Return at which sample of a signal a part of it is."""
    size = whole.shape[1] + part.shape[1]
    product = np.fft.rfft(whole[0], size) * np.conj(np.fft.rfft(part[0], size))
    return int(np.argmax(np.fft.irfft(product, size)[: whole.shape[1]]))


@pytest.mark.parametrize("at", [0.01, 0.05, 0.25, 0.5, 0.9, 0.999])
def test_a_damaged_flac_frame_costs_that_frame_only(tmp_path, at):
    path = write(tmp_path, "flac")
    whole, _ = read(path)
    overwrite(path, at, 60)
    samples, reader = read(path)
    assert samples.shape == whole.shape
    changed = np.flatnonzero((samples != whole).any(axis=0))
    assert 0 < len(changed) <= 4 * 4096  # FFmpeg 8.0 drops neighbours
    assert not samples[:, changed].any()
    first_s, last_s = changed[0] / RATE, (changed[-1] + 1) / RATE
    assert f"silence from {first_s:.3f} s to {last_s:.3f} s" in " ".join(reader.warnings)
    excerpt, _ = read(path, start_s=6.5, duration_s=0.5)
    start = round(6.5 * RATE)
    np.testing.assert_array_equal(excerpt, samples[:, start : start + len(excerpt[0])])


def test_a_cut_flac_keeps_its_whole_frames(tmp_path):
    path = write(tmp_path, "flac")
    whole, _ = read(path)
    path.write_bytes(path.read_bytes()[:60_000])
    samples, reader = read(path)
    assert samples.shape[1] % 4096 == 0
    assert samples.shape[1] > 0
    np.testing.assert_array_equal(samples, whole[:, : samples.shape[1]])
    assert len(reader.warnings) == 1
    assert f"ends after {samples.shape[1] / RATE:.3f} s of the 8.000 s" in reader.warnings[0]


def test_missing_flac_frames_are_silence_that_is_said(tmp_path):
    path = write(tmp_path, "flac")
    whole, _ = read(path)
    data = path.read_bytes()
    with av.open(str(path)) as opened:
        packets = [bytes(packet) for packet in opened.demux(audio=0) if packet.size]
    first, last = data.find(packets[20]), data.find(packets[23])
    path.write_bytes(data[:first] + data[last:])
    samples, reader = read(path)
    wanted = whole.copy()
    wanted[:, 20 * 4096 : 23 * 4096] = 0
    np.testing.assert_array_equal(samples, wanted)
    assert "silence from 1.858 s to 2.136 s" in reader.warnings[0]


def test_a_flac_header_with_a_wrong_block_size(tmp_path):
    path = write(tmp_path, "flac")
    whole, _ = read(path)
    data = bytearray(path.read_bytes())
    data[8:12] = b"\xff\xff\xff\xff"
    path.write_bytes(path.read_bytes() + data)  # joined files are FFmpeg's
    samples, reader = read(path)
    np.testing.assert_array_equal(samples, np.tile(whole, 2))
    assert reader.warnings == []


def test_silence_in_a_whole_flac_is_music(tmp_path):
    signal = tones()
    signal[:, 3 * RATE : 5 * RATE] = 0
    soundfile.write(tmp_path / "song.flac", signal.T, RATE)
    _, reader = read(tmp_path / "song.flac")
    assert reader.warnings == []


CUT = {
    "au": ("pcm_s16be", "au"),
    "aiff": ("pcm_s16be", "aiff"),
    "caf": ("pcm_s16be", "caf"),
    "w64": ("pcm_s16le", "w64"),
    "avi": ("libmp3lame", "avi"),
    "mka": ("flac", "matroska"),
    **{kind: CODECS[kind] for kind in ("wma", "opus", "wv", "tta", "mp3")},
}


@pytest.mark.parametrize("kind", CUT)
def test_a_file_that_was_cut_says_so(tmp_path, kind):
    codec, container = CUT[kind]
    rate = 48000 if codec == "libopus" else RATE
    path = encode(tmp_path / f"song.{kind}", tones(rate=rate), codec, rate, container)
    _, reader = read(path)
    assert reader.warnings == []
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    samples, reader = read(path)
    assert 3.9 * rate < samples.shape[1] < 6 * rate
    assert_seconds(samples, rate, range(3), start_s=0.05)
    assert re.search("cut short|ends after", " ".join(reader.warnings))


def test_many_holes_in_an_mp3(tmp_path):
    path = write(tmp_path, "mp3")
    for seed, at in enumerate((0.2, 0.45, 0.7)):
        overwrite(path, at, 4000, seed)
    samples, reader = read(path)
    assert samples.shape[1] == pytest.approx(8 * RATE, abs=2400)
    assert_seconds(samples[:, -RATE:], RATE, [7])
    assert reader.warnings[0].count(" s to ") >= 3
    excerpt, _ = read(path, start_s=7.2, duration_s=0.5)
    assert_seconds(excerpt, RATE, [7], start_s=-0.25)


@pytest.mark.parametrize("kind", ["ogg", "opus"])
def test_a_damaged_beginning_of_an_ogg_is_silence(tmp_path, kind):
    path = write(tmp_path, kind)
    data = path.read_bytes()
    pages = [at for at in range(len(data) - 4) if data[at : at + 4] == b"OggS"]
    overwrite(path, (pages[2] + 100) / len(data), 2000)
    samples, reader = read(path)
    rate = reader.sample_rate
    assert samples.shape[1] == pytest.approx(8 * rate, abs=2400)
    assert_seconds(samples[:, -4 * rate :], rate, [4, 5, 6, 7])
    assert "silence from 0.000 s" in reader.warnings[0]


@pytest.mark.parametrize("kind", ["ogg", "opus"])
@pytest.mark.parametrize("page", [-2, -1])
def test_a_damaged_end_of_an_ogg_is_silence(tmp_path, kind, page):
    path = write(tmp_path, kind)
    whole, _ = read(path)
    data = path.read_bytes()
    pages = [at for at in range(len(data) - 4) if data[at : at + 4] == b"OggS"]
    end = len(data) if page == -1 else pages[page + 1]
    overwrite(path, (pages[page] + end) / 2 / len(data), 20)
    samples, reader = read(path)
    assert samples.shape == whole.shape
    assert_seconds(samples[:, : 6 * reader.sample_rate], reader.sample_rate, range(6))
    silent = np.flatnonzero(~samples.any(axis=0))
    assert len(silent) > 100  # the last page of an Opus file may hold as little
    told = re.search(r"silence from (\S+) s", reader.warnings[0])
    assert float(told[1]) == pytest.approx(silent[0] / reader.sample_rate, abs=0.005)
    # What stands behind the damage is the end.
    assert bool(samples[:, -1].any()) == (page == -2)


def test_no_decoder_stays_open_when_blocks_are_abandoned(tmp_path):
    path, open_files = write(tmp_path, "mp3"), Path("/proc/self/fd")
    if not open_files.is_dir():
        pytest.skip("this system does not tell which files are open")
    before = len(list(open_files.iterdir()))
    for _ in range(5):
        with open_audio(path, start_s=1.0) as reader:
            next(reader.blocks())
    gc.collect()
    assert len(list(open_files.iterdir())) <= before


def test_unknown_codecs_are_one_line(tmp_path):
    soundfile.write(tmp_path / "song.wav", tones().T, RATE)
    data = bytearray((tmp_path / "song.wav").read_bytes())
    data[20:22] = b"\x77\x77"  # the format tag
    (tmp_path / "song.wav").write_bytes(data)
    with pytest.raises(AudioReadError, match=r"its audio codec is not known") as error:
        read(tmp_path / "song.wav")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0xFFFFFFFF])
@pytest.mark.parametrize("kind", ["WAV", "RF64", "AIFF", "AU"])
def test_lengths_that_were_never_filled_in(tmp_path, kind, size):
    path = tmp_path / "song"
    soundfile.write(path, tones().T, RATE, "PCM_16", format=kind)
    data = bytearray(path.read_bytes())
    order = "little" if kind in ("WAV", "RF64") else "big"
    if kind == "AU":
        at = 8
    else:
        at = data.find({"WAV": b"data", "RF64": b"data", "AIFF": b"SSND"}[kind]) + 4
        data[4:8] = size.to_bytes(4, order)
    data[at : at + 4] = size.to_bytes(4, order)
    if kind == "RF64":
        at = data.find(b"ds64") + 8
        data[at : at + 24] = 3 * size.to_bytes(8, order)
    path.write_bytes(data)
    samples, reader = read(path)
    assert samples.shape[1] == pytest.approx(8 * RATE, abs=8)
    assert_seconds(samples, RATE, range(8))
    assert reader.warnings == []


def test_a_joined_file_whose_last_part_broke_off(tmp_path):
    encode(tmp_path / "song.m4a", tones(0, 2), "aac")
    path, part = tmp_path / "joined.m4a", (tmp_path / "song.m4a").read_bytes()
    path.write_bytes(part + part + part[:20_000])
    samples, reader = read(path)
    assert_seconds(samples, RATE, [0, 1, 0, 1], start_s=0.03)
    assert "(part 3 of 3): not an audio file that can be decoded: it was left out" in str(
        reader.warnings
    )
    # What stands behind it would move.
    path.write_bytes(part + b"\0\0\0\x18ftyp" + bytes(16) + part)
    with pytest.raises(AudioReadError, match="part 2 of 3"):
        read(path)


def test_loading_a_damaged_file_warns(tmp_path):
    path = write(tmp_path, "flac")
    path.write_bytes(path.read_bytes()[:60_000])
    with pytest.warns(UserWarning, match=r"song\.flac: .* of the 8.000 s"):
        load_audio(path)
