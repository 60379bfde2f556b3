import io
import os
import sys

import av
import numpy as np
import pytest
import soundfile

from partita.audio.formats import stem_format
from partita.audio.reader import open_audio, rechunk
from partita.audio.signal import Audio, load_audio
from partita.errors import AudioReadError

RATE = 44100


def write_av(path, samples, codec, rate=RATE, container=None, streams=1):
    with av.open(str(path), "w", format=container) as output:
        handles = [output.add_stream(codec, rate=rate, layout="stereo") for _ in range(streams)]
        for index, stream in enumerate(handles):
            stream.bit_rate = 192_000
            for start in range(0, samples.shape[1], 4096):
                block = np.ascontiguousarray(samples[:, start : start + 4096]) / (index + 1)
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts = rate, start
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))


def read_all(path, **options):
    with open_audio(path, **options) as reader:
        return np.concatenate(list(reader.blocks()), axis=1), reader


LOSSY = {
    "ogg": None,
    "mp3": ("libmp3lame", None),
    "m4a": ("aac", "mp4"),
    "mp4": ("aac", None),
    "mkv": ("aac", "matroska"),
    "wma": ("wmav2", "asf"),
    "webm": ("libopus", "webm"),
    "opus": ("libopus", None),
}


@pytest.fixture(params=["wav", "flac", "aiff", *LOSSY])
def any_file(request, tmp_path, song):
    """One file of every kind: its path, and how far from the original it may be."""
    extension = request.param
    path = tmp_path / f"song.{extension}"
    if LOSSY.get(extension):
        codec, container = LOSSY[extension]
        rate = 48000 if codec == "libopus" else RATE
        write_av(path, song, codec, rate, container)
        return path, 0.3
    soundfile.write(path, song.T, RATE)
    return path, 0.3 if extension == "ogg" else 1e-3


def test_reads_every_kind(any_file, song):
    path, tolerance = any_file
    samples, reader = read_all(path)
    assert reader.channels == 2
    assert samples.dtype == np.float32
    # Codecs pad to whole frames; none may lose anything.
    lost = 300 if path.suffix == ".wma" else 0  # its encoder keeps the end
    assert song.shape[1] - lost <= samples.shape[1] <= song.shape[1] + 4096
    if path.suffix != ".wma":  # delayed by its encoder, which no field of the file states
        error = samples[:, : song.shape[1]] - song
        assert np.sqrt(np.mean(error**2) / np.mean(song**2)) < tolerance
    assert reader.warnings == []


def test_an_excerpt_is_a_slice_of_the_whole(any_file):
    path, _ = any_file
    whole, reader = read_all(path)
    excerpt, _ = read_all(path, start_s=1.3, duration_s=0.7)
    start = round(1.3 * reader.sample_rate)
    count = round(0.7 * reader.sample_rate)
    assert excerpt.shape == (2, count)
    # AAC decoders fill in noise, which differs from run to run.
    wanted = whole[:, start:][:, 100 : count - 100]
    error = np.mean((excerpt[:, 100 : count - 100] - wanted) ** 2)
    assert error < 0.03 * np.mean(excerpt**2)


def test_the_result_does_not_depend_on_the_block_size(any_file):
    path, _ = any_file
    with open_audio(path) as reader:
        small = list(reader.blocks(1000))
    assert {block.shape[1] for block in small[:-1]} == {1000}
    np.testing.assert_array_equal(np.concatenate(small, axis=1), read_all(path)[0])


def test_stem_files_have_streams(tmp_path, song):
    path = tmp_path / "song.stem.mp4"
    write_av(path, song, "aac", container="mp4", streams=3)
    first, _ = read_all(path)
    third, _ = read_all(path, stream=2)
    assert np.mean((third * 3 - first) ** 2) < 0.05 * np.mean(first**2)
    with pytest.raises(AudioReadError, match="has 3 audio streams, stream 3"):
        open_audio(path, stream=3)


def test_standard_input(monkeypatch, write_song, song):
    data = write_song(subtype="FLOAT").read_bytes()
    stdin = io.TextIOWrapper(io.BytesIO(data))
    monkeypatch.setattr(sys, "stdin", stdin)
    samples, reader = read_all("-")
    np.testing.assert_allclose(samples, song, atol=1e-6)
    assert reader.name == "standard input"


def test_empty_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(AudioReadError, match="standard input: is empty"):
        open_audio("-")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.wav", None, "no such file"),
        ("empty.mp3", b"", r"the file is empty \(0 bytes\)"),
        ("text.mp3", b"hello, this is text\n" * 500, "not an audio file"),
        ("noise.wav", bytes(range(256)) * 50, "not an audio file"),
        ("x" * 300 + ".wav", None, "name too long"),
        ("nul\0.wav", None, "cannot be opened"),
    ],
)
def test_files_that_are_no_audio(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioReadError, match=message) as error:
        open_audio(path)
    assert "\n" not in str(error.value)


def test_folder_is_no_file(tmp_path):
    with pytest.raises(AudioReadError, match="is a folder"):
        open_audio(tmp_path)


def test_no_samples(write_song):
    path = write_song(samples=np.zeros((2, 0)))
    with pytest.raises(AudioReadError, match="holds no audio samples"):
        read_all(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_samples(write_song, song, value):
    broken = song.copy()
    broken[1, 100_000] = value
    with pytest.raises(AudioReadError, match=r"NaN or infinite samples from 2\.268 s on"):
        read_all(write_song(samples=broken, subtype="FLOAT"))


def test_too_many_channels(write_song):
    with pytest.raises(AudioReadError, match="has 9 channels, at most 8"):
        open_audio(write_song(samples=np.zeros((9, 100))))


def test_start_behind_the_end(write_song):
    with pytest.raises(AudioReadError, match="ends before 60 s"):
        open_audio(write_song(), start_s=60)


def test_mp3_cut_in_the_middle(tmp_path, song, capfd):
    path = tmp_path / "cut.mp3"
    write_av(path, np.tile(song, 3), "libmp3lame")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    samples, reader = read_all(path)
    assert 0.45 < samples.shape[1] / (3 * song.shape[1]) < 0.55
    assert len(reader.warnings) == 1
    assert "ends after 6.0 s of the 12.0 s" in reader.warnings[0]
    assert capfd.readouterr() == ("", "")  # no codec library chatters


@pytest.mark.parametrize("extension", ["flac", "ogg"])
def test_damage_in_the_middle_is_reported(tmp_path, song, extension):
    path = tmp_path / f"song.{extension}"
    soundfile.write(path, np.tile(song, 3).T, RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    samples, reader = read_all(path)
    assert samples.shape[1] < 3 * song.shape[1]
    assert reader.warnings or reader.frames == samples.shape[1]


def test_eight_channels_through_ffmpeg(tmp_path, monkeypatch):
    tones = np.stack([np.full(5000, 0.1 * (i + 1)) for i in range(8)])
    soundfile.write(tmp_path / "eight.wav", tones.T, RATE, subtype="FLOAT")
    monkeypatch.setattr("partita.audio.reader.open_soundfile", lambda *_: None)
    samples, _ = read_all(tmp_path / "eight.wav")
    np.testing.assert_allclose(samples, tones, atol=1e-6)


def test_wav_cut_in_the_middle(write_song):
    path = write_song()
    path.write_bytes(path.read_bytes()[:300_000])
    samples, reader = read_all(path)
    assert samples.shape[1] == pytest.approx(75_000, abs=100)
    assert "cut short, 300,000 of 705,644 bytes are there" in reader.warnings[0]


def test_chained_ogg_is_read_to_its_end(tmp_path, song):
    soundfile.write(tmp_path / "one.ogg", song.T, RATE)
    data = (tmp_path / "one.ogg").read_bytes()
    (tmp_path / "two.ogg").write_bytes(data + data)
    samples, _ = read_all(tmp_path / "two.ogg")
    assert samples.shape[1] == pytest.approx(2 * song.shape[1], abs=5000)


@pytest.mark.parametrize("extension", ["wav", "mp3"])
def test_names_that_are_not_utf8(tmp_path, song, extension):
    path = tmp_path / os.fsdecode(b"caf\xe9." + extension.encode())
    try:
        soundfile.write(os.fsencode(path), song.T, RATE, format=extension.upper())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    samples, reader = read_all(path)
    assert samples.shape[1] >= song.shape[1]
    assert reader.tags.text is not None


def test_rechunk():
    blocks = [np.arange(n, dtype=np.float32)[None] for n in (3, 1, 9, 2)]
    joined = np.concatenate(blocks, axis=1)
    chunks = list(rechunk(iter(blocks), 4))
    assert [chunk.shape[1] for chunk in chunks] == [4, 4, 4, 3]
    np.testing.assert_array_equal(np.concatenate(chunks, axis=1), joined)


def test_audio_round_trip(tmp_path, song):
    import torch

    audio = Audio(torch.from_numpy(song), RATE)
    audio.save(tmp_path / "song.wav", bits="float")
    again = load_audio(tmp_path / "song.wav")
    assert again.sample_rate == RATE
    assert again.channels == 2
    assert again.duration_s == pytest.approx(4.0)
    assert torch.equal(again.samples, audio.samples)
    assert stem_format("wav", "float").clips is False


def test_an_empty_name():
    with pytest.raises(AudioReadError, match="the name of the file is empty"):
        open_audio("")
