"""Audio beside pages: pieces that join to the signal, encoded once, under safe names."""

import base64
import json
import re

import av
import numpy as np
import pytest
import soundfile
import soxr

from common import little_room
from partita.errors import AudioWriteError, UsageError
from partita.reports.page.audio import (
    COLUMNS,
    array_source,
    encode_signal,
    file_source,
    remove_unused,
    residual_source,
)
from partita.reports.page.coding import page_coding

RATE = 44_100


@pytest.fixture(scope="module")
def noise():
    """[2, samples], 21 s at 44.1 kHz, below 2 kHz."""
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal((2, 21 * RATE + 7)))
    spectrum[:, 42_000:] = 0
    signal = np.fft.irfft(spectrum, 21 * RATE + 7)
    return (0.5 * signal / np.abs(signal).max()).astype(np.float32)


def decoded(folder, signal, coding):
    """What a browser makes of the pieces, by the same steps as `pieces.js`."""
    joined = np.zeros((signal.channels, signal.samples))
    for number in range(signal.pieces):
        text = (folder / signal.folder / f"{number}.js").read_text(encoding="ascii")
        name, index, head, data = re.fullmatch(
            r'partitaPiece\("([a-z0-9-]+)",(\d+),(\{.*\}),"(.*)"\);\n', text
        ).groups()
        assert (name, int(index)) == (signal.folder, number)
        head = json.loads(head)
        path = folder / "decoded"
        path.write_bytes(base64.b64decode(data))
        with av.open(str(path)) as file:
            whole = np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], axis=1)
        if whole.dtype != np.float32:
            whole = whole.reshape(-1, signal.channels).T / 32768
        assert whole.shape[1] == head["frames"]
        place = number * coding.piece_samples
        end = min(place + coding.piece_samples + coding.fade_samples, signal.samples)
        piece = whole[:, head["lead"] : head["lead"] + end - place] * signal.scale
        fade = np.arange(coding.fade_samples) / coding.fade_samples
        if number:
            piece[:, : len(fade)] *= fade[: piece.shape[1]]
        tail = piece[:, coding.piece_samples :]
        tail *= 1 - fade[: tail.shape[1]]
        joined[:, place:end] += piece
    return joined


def test_flac_is_the_signal_to_16_bits(noise, tmp_path):
    coding = page_coding("flac", RATE)
    signal = encode_signal(array_source(noise, RATE), tmp_path, coding, label="Noise")
    assert (signal.samples, signal.pieces, signal.scale) == (noise.shape[1], 3, 1.0)
    np.testing.assert_allclose(decoded(tmp_path, signal, coding), noise, atol=0.51 / 32768)


def test_opus_has_the_length_and_the_place_of_the_signal(noise, tmp_path):
    coding = page_coding("opus", RATE)
    signal = encode_signal(array_source(noise, RATE), tmp_path, coding)
    assert signal.samples == round(noise.shape[1] * 48_000 / RATE)
    wanted = soxr.resample(noise.T, RATE, 48_000, quality="HQ").T[:, : signal.samples]
    found = decoded(tmp_path, signal, coding)
    assert np.abs(found - wanted).std() < 0.1 * wanted.std()
    for place in (1, 2):  # no click at the joints: the noise of the codec is as low as elsewhere
        joint = slice(place * 480_000 - 480, place * 480_000 + 960)
        assert np.abs(found - wanted)[:, joint].std() < 0.12 * wanted.std()
    size = sum(path.stat().st_size for path in (tmp_path / signal.folder).glob("*.js"))
    assert size < 21 * 30_000


@pytest.mark.parametrize("level", [3e-4, 0.5, 4.0])
def test_loud_and_quiet_signals_keep_their_level(noise, tmp_path, level):
    samples = 2 * level * noise[:1, :RATE]
    coding = page_coding("flac", RATE)
    signal = encode_signal(array_source(samples, RATE), tmp_path, coding)
    assert signal.peak == pytest.approx(np.abs(samples).max())
    found = decoded(tmp_path, signal, coding)
    np.testing.assert_allclose(found, samples, atol=1e-4 * np.abs(samples).max())


def test_silence_needs_no_pieces_but_keeps_its_length(tmp_path):
    source = array_source(np.full((2, 1000), 1e-7), RATE)
    signal = encode_signal(source, tmp_path, page_coding("flac", RATE))
    assert (signal.pieces, signal.samples) == (0, 1000)


def test_peaks_show_where_the_signal_is_loud(tmp_path):
    samples = np.zeros((2, 60 * 8000), np.float32)
    samples[1, 240_000] = -0.5
    signal = encode_signal(array_source(samples, 8000), tmp_path, page_coding("opus", 8000))
    peaks = np.frombuffer(base64.b64decode(signal.peaks), np.uint8)
    assert (len(peaks), peaks.argmax(), peaks.max()) == (COLUMNS, COLUMNS // 2, 255)
    assert np.count_nonzero(peaks) == 1


def test_what_is_there_is_not_encoded_again(noise, tmp_path):
    path = tmp_path / "stem.wav"
    soundfile.write(path, noise[:, :RATE].T, RATE)
    folder, coding = tmp_path / "audio", page_coding("opus", RATE)
    folder.mkdir()
    first = encode_signal(file_source(path), folder, coding)
    piece = folder / first.folder / "0.js"
    made = piece.stat().st_mtime_ns
    assert encode_signal(file_source(path), folder, coding) == first
    assert piece.stat().st_mtime_ns == made

    piece.write_text("damaged", encoding="ascii")
    assert encode_signal(file_source(path), folder, coding) == first
    assert piece.stat().st_size > 1000

    soundfile.write(path, noise[:, : RATE + 1].T, RATE)
    changed = encode_signal(file_source(path), folder, coding)
    assert changed.folder != first.folder
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    (folder / "mine").mkdir()
    remove_unused(folder, {changed.folder})
    assert {each.name for each in folder.iterdir()} == {changed.folder, "notes.txt", "mine"}


@pytest.mark.parametrize("label", ["../../up", "<script>", "CON", "É / ü", "x" * 300, "", "日本"])
def test_names_are_safe_everywhere(tmp_path, label):
    source = array_source(np.zeros((1, 10)), RATE)
    signal = encode_signal(source, tmp_path, page_coding("flac", RATE), label=label)
    assert re.fullmatch(r"([a-z0-9-]+-)?[0-9a-f]{16}", signal.folder)
    assert len(signal.folder) < 80
    assert (tmp_path / signal.folder / "signal.json").is_file()


def test_residual_is_mixture_minus_stems(noise, tmp_path):
    samples = noise[:, :RATE]
    parts = {"mixture": samples, "a": 0.4 * samples, "b": 0.5 * samples[:, : RATE - 10]}
    for name, part in parts.items():
        soundfile.write(tmp_path / f"{name}.wav", part.T, RATE, subtype="FLOAT")
    stems = {name: tmp_path / f"{name}.wav" for name in ("a", "b")}
    source = residual_source(tmp_path / "mixture.wav", stems)
    found = np.concatenate(list(source.blocks()), axis=1)
    np.testing.assert_allclose(found[:, : RATE - 10], 0.1 * samples[:, : RATE - 10], atol=1e-6)
    np.testing.assert_allclose(found[:, RATE - 10 :], 0.6 * samples[:, RATE - 10 :], atol=1e-6)


def test_an_unknown_format_and_a_folder_that_is_missing(tmp_path):
    with pytest.raises(UsageError, match="'mp3' is not a format of pages"):
        page_coding("mp3", RATE)
    assert page_coding("flac", 192_000).sample_rate == 48_000
    with pytest.raises(AudioWriteError, match="gone"):
        encode_signal(array_source([[1.0]], RATE), tmp_path / "gone", page_coding("flac", RATE))


def test_a_full_disk_is_one_line_and_leaves_nothing(noise, tmp_path):
    source = array_source(noise, RATE)
    with little_room(100_000), pytest.raises(AudioWriteError, match="cannot write"):
        encode_signal(source, tmp_path, page_coding("flac", RATE))
    assert list(tmp_path.iterdir()) == []
