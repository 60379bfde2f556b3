"""Lossy files state where the sound ends: what is read is as long as what was written."""

import av
import numpy as np
import pytest

from partita.audio.encode import encode_file
from partita.audio.formats import stem_format
from partita.audio.gapless import correct_mp3_padding, stated_by_itunes, with_aac_padding
from partita.audio.reader import open_audio
from partita.audio.stem_mp4 import encode_stem_mp4
from partita.audio.tag_names import GAPLESS
from partita.audio.tags import Tags, read_tags

CHIRP = np.sin(np.linspace(0, 30, 1500) ** 2) * np.hanning(1500) * 0.5


def chirps(samples):
    """Return a stereo signal with chirps at its beginning, in its middle and at its end."""
    signal = np.zeros((2, samples), np.float32)
    for start in (0, samples // 2, samples - 1500):
        signal[:, start : start + 1500] += CHIRP.astype(np.float32)
    return signal


NO_TAGS = Tags()


def encoded(path, signal, rate, tags=NO_TAGS):
    form = stem_format(path.suffix)
    encode_file(
        path, [signal], form, sample_rate=rate, channels=2, frames=signal.shape[1], tags=tags
    )
    return path


def read(path, **options):
    with open_audio(path, **options) as reader:
        return np.concatenate(list(reader.blocks()), axis=1), reader.frames


def delay(read, written):
    """Return how many samples later the sound is."""
    size = 1 << 17
    spectrum = np.fft.rfft(read[0], size) * np.conj(np.fft.rfft(written[0], size))
    found = int(np.fft.irfft(spectrum).argmax())
    return found - size if found > size // 2 else found


# In 32300 and 23050 samples, padding begins in the packet before the last one.
@pytest.mark.parametrize(("rate", "samples"), [(44100, 44100), (32000, 32300), (22050, 23050)])
@pytest.mark.parametrize("suffix", ["mp3", "m4a"])
def test_length_and_position_are_exact(tmp_path, suffix, rate, samples):
    signal = chirps(samples)
    path = encoded(tmp_path / f"a.{suffix}", signal, rate, Tags({"title": "A song"}))
    decoded, stated = read(path)
    assert decoded.shape == signal.shape
    assert stated == samples
    assert delay(decoded, signal) == 0
    assert read_tags(path).text == {"title": "A song"}


def test_opus_is_exact_at_its_own_rate(tmp_path):
    signal = chirps(48777)
    decoded, _ = read(encoded(tmp_path / "a.opus", signal, 48000))
    assert decoded.shape == signal.shape
    assert delay(decoded, signal) == 0


def test_the_header_of_aac_states_the_length_to_the_sample(tmp_path):
    path = encoded(tmp_path / "a.m4a", chirps(44123), 44100)
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert stream.duration * stream.time_base * 44100 == 44123
        stated = [int(field, 16) for field in container.metadata["iTunSMPB"].split()]
    assert stated[1:4] == [1024, 45 * 1024 - 1024 - 44123, 44123]


def test_excerpts_end_with_the_sound(tmp_path):
    path = encoded(tmp_path / "a.m4a", chirps(44123), 44100)
    assert read(path, start_s=0.5)[0].shape[1] == 44123 - 22050
    assert read(path, start_s=0.25, duration_s=0.25)[0].shape[1] == 11025


@pytest.mark.parametrize("samples", [0, 99, 1 << 50])
def test_statements_that_cannot_be_true_are_ignored(tmp_path, monkeypatch, samples):
    monkeypatch.setattr(
        "partita.audio.encode.with_aac_padding", lambda tags, _: with_aac_padding(tags, samples)
    )
    decoded, _ = read(encoded(tmp_path / "a.m4a", chirps(44123), 44100))
    assert decoded.shape[1] == 45056  # to the end of the last frame


def test_streams_of_stem_files_are_exact(tmp_path):
    signal, path = chirps(30011), tmp_path / "a.stem.mp4"
    encode_stem_mp4(
        path,
        [signal],
        {"vocals": [signal]},
        stem_format("stem.mp4"),
        sample_rate=44100,
        tags=Tags(),
    )
    for stream in (0, 4):
        decoded, _ = read(path, stream=stream)
        assert decoded.shape == signal.shape
        assert delay(decoded, signal) == 0


def test_mp3_checksums_are_those_of_the_encoder(tmp_path):
    path = encoded(tmp_path / "a.mp3", chirps(44100), 44100)
    before = path.read_bytes()  # the padding is right already
    path.write_bytes(before.replace(before[190:192], b"??", 1))
    correct_mp3_padding(path, 44100)
    assert path.read_bytes() == before


def test_other_files_stay(tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(b"Xing is not a frame" + bytes(100))
    correct_mp3_padding(path, 10)
    assert path.read_bytes() == b"Xing is not a frame" + bytes(100)


@pytest.mark.parametrize("text", ["", "nonsense", "00000000 00000400", " 0 1 2 3"])
def test_no_statement(text):
    assert stated_by_itunes(text) is None


def test_statement():
    assert stated_by_itunes(with_aac_padding(Tags(), 123456).text[GAPLESS]) == 123456
