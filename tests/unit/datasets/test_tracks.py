import pickle

import numpy as np
import pytest
import torch

from audio_files import encode, tones
from partita.datasets import StemFile, Track, open_dataset
from partita.datasets.tracks import order_stems
from partita.errors import AudioReadError, UnknownNameError, UsageError

RATE = 8000


@pytest.fixture
def track(tmp_path, write_track):
    """A track with all four stems, and its signals."""
    signals = write_track("data/Song")
    (found,) = open_dataset(tmp_path / "data")
    return found, signals


def test_facts_come_from_the_headers(track):
    found, _ = track
    assert (found.sample_rate, found.rate, found.channels, found.duration_s) == (RATE, RATE, 2, 1)
    assert list(found.stems) == ["vocals", "drums", "bass", "other"]
    assert found.sources["bass"].endswith("Song/bass.wav")


def test_targets_are_sums_of_stems(track):
    found, signals = track
    assert list(found.targets) == [*signals, "accompaniment", "linear_mixture"]
    for target, members in found.targets.items():
        loaded = found.load(target)
        expected = sum(signals[name] for name in members)
        np.testing.assert_allclose(loaded.samples, expected, atol=1e-6)
        assert loaded.sample_rate == RATE
    assert found.targets["accompaniment"] == ("drums", "bass", "other")


def test_targets_without_vocals(tmp_path, write_track):
    write_track("data/Song", ("flute", "cello"))
    (found,) = open_dataset(tmp_path / "data")
    assert list(found.targets) == ["cello", "flute", "linear_mixture"]


def test_sums_and_rests(track):
    found, signals = track
    drums_and_bass = signals["drums"] + signals["bass"]
    np.testing.assert_allclose(found.load("drums+bass").samples, drums_and_bass, atol=1e-6)
    torch.testing.assert_close(found.load("no_vocals").samples, found.load("accompaniment").samples)


def test_without_a_file_the_mixture_is_the_sum(track):
    found, signals = track
    np.testing.assert_allclose(found.audio, sum(signals.values()), atol=1e-6)


def test_the_file_of_the_mixture_comes_before_the_sum(tmp_path, write, write_track, noise):
    write_track("data/Song")
    write("data/Song/mixture.wav", noise(9))
    (found,) = open_dataset(tmp_path / "data")
    np.testing.assert_array_equal(found.load("mixture").samples, noise(9))
    assert "mixture" not in found.stems


def test_excerpts(track):
    found, signals = track
    loaded = found.load("vocals", start_s=0.25, duration_s=0.5)
    np.testing.assert_array_equal(loaded.samples, signals["vocals"][:, 2000:6000])
    loaded = found.load("vocals", start_s=0.75, duration_s=9)
    np.testing.assert_array_equal(loaded.samples, signals["vocals"][:, 6000:])


def test_load_stems(track):
    found, signals = track
    assert list(found.load_stems()) == list(signals)
    loaded = found.load_stems(["bass", "vocals"], start_s=0.5)
    assert list(loaded) == ["bass", "vocals"]
    np.testing.assert_array_equal(loaded["bass"].samples, signals["bass"][:, 4000:])
    assert found.load_stems([]) == {}


def test_shorter_files_go_on_in_silence(tmp_path, write, noise):
    write("data/Song/vocals.wav", noise(1, 8000))
    write("data/Song/drums.wav", noise(2, 3000))
    (found,) = open_dataset(tmp_path / "data")
    assert found.duration_s == 1
    total = found.load("linear_mixture").samples
    np.testing.assert_array_equal(total[:, 3000:], noise(1, 8000)[:, 3000:])
    shapes = {name: audio.samples.shape for name, audio in found.load_stems().items()}
    assert shapes == {"vocals": (2, 8000), "drums": (2, 8000)}
    # An excerpt within the track is as long as was asked for, even where one file is over.
    drums = found.load("drums", start_s=0.25, duration_s=0.5).samples
    assert drums.shape == (2, 4000)
    assert drums[:, :1000].any()
    assert not drums[:, 1000:].any()
    assert not found.load("drums", start_s=0.5).samples.any()
    assert found.load("drums", start_s=0.5).samples.shape == (2, 4000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start_s": -1}, "cannot start at -1 s"),
        ({"start_s": float("nan")}, "cannot start at nan s"),
        ({"duration_s": 0}, "cannot be 0 s long"),
        ({"duration_s": float("inf")}, "cannot be inf s long"),
    ],
)
def test_impossible_excerpts(track, options, message):
    with pytest.raises(UsageError, match=message):
        track[0].load("vocals", **options)


def test_excerpt_beyond_the_end(track):
    with pytest.raises(AudioReadError, match="Song: ends after 1 s, before the excerpt at 2 s"):
        track[0].load("vocals", start_s=2)


@pytest.mark.parametrize("target", ["vocal", "drums+flute", ""])
def test_unknown_targets(track, target):
    with pytest.raises(UnknownNameError, match="unknown stem"):
        track[0].load(target)


def test_unknown_stems(track):
    with pytest.raises(UnknownNameError, match="'drum'; did you mean drums"):
        track[0].load_stems(["drum"])


def test_files_of_a_sum_must_have_one_form(tmp_path, write, noise):
    write("data/Song/vocals.wav")
    write("data/Song/drums.wav", rate=16000)
    write("data/Song/bass.wav", noise(channels=1))
    (found,) = open_dataset(tmp_path / "data")
    for target in ("vocals+drums", "vocals+bass"):
        with pytest.raises(AudioReadError, match="Song: files that belong together differ"):
            found.load(target)
    assert found.load("drums").sample_rate == 16000


def test_streams_of_one_file(write_stem_mp4, stems):
    path = write_stem_mp4("Song.stem.mp4")
    (found,) = open_dataset(path)
    for name, signal in stems.items():
        loaded = found.load(name, start_s=1.0, duration_s=2.0).samples.numpy()
        reference = signal[:, 44100 : 3 * 44100]
        assert loaded.shape == reference.shape
        assert np.sum((loaded - reference) ** 2) < 0.05 * np.sum(reference**2)


def test_tracks_can_be_pickled(track):
    found, _ = track
    assert found.duration_s == 1
    again = pickle.loads(pickle.dumps(found))
    torch.testing.assert_close(again.load("bass").samples, found.load("bass").samples)


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
    track = Track("Song", tmp_path, "", {"vocals": StemFile(tmp_path / "missing.wav")})
    assert list(track.targets) == ["vocals", "linear_mixture"]
    with pytest.raises(AudioReadError, match="no such file"):
        track.duration_s  # noqa: B018


def test_order_of_stems():
    assert order_stems({"zither", "other", "bass", "vocals", "alto"}) == [
        "vocals", "bass", "other", "alto", "zither"
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["joined.ts", "cut.flac", "cut.wav", "cut.tta"])
def test_lengths_that_are_guessed_or_wrong_are_measured(tmp_path, kind):
    rate = 44100
    codec = {"ts": "aac", "flac": "flac", "wav": "pcm_s16le", "tta": "tta"}[kind.split(".")[1]]
    path = encode(tmp_path / kind, tones(0, 4), codec, rate)
    data = path.read_bytes()
    # FFmpeg's guess from the timestamps of joined ones is half of it.
    path.write_bytes(2 * data if kind == "joined.ts" else data[: len(data) * 6 // 10])
    file = StemFile(path)
    with file.open() as reader:
        decoded = sum(block.shape[1] for block in reader.blocks())
    assert file.header.samples == decoded
    length_s = file.header.duration_s
    assert length_s == pytest.approx(8 if kind == "joined.ts" else 2.4, abs=0.8)
    track = Track("song", tmp_path, "", {"vocals": file})
    assert track.load("vocals", start_s=length_s - 0.5).samples.any()


@pytest.mark.parametrize("kind", ["song.flac", "song.wav", "song.m4a", "song.mp3"])
def test_lengths_that_whole_files_state_are_not_measured(tmp_path, kind):
    codec = {"flac": "flac", "wav": "pcm_s16le", "m4a": "aac", "mp3": "libmp3lame"}
    path = encode(tmp_path / kind, tones(0, 2), codec[kind.split(".")[1]])
    with StemFile(path).open() as reader:
        assert reader.frames_stated
    assert StemFile(path).header.duration_s == pytest.approx(2, abs=0.06)
