import numpy as np
import pytest
import torch

import example_song
from partita.audio.signal import Audio, load_audio
from partita.datasets.fingerprint import Duplicate, find_duplicates, fingerprint

RATE = 44100


@pytest.fixture(scope="module")
def recording():
    """Twelve seconds of the example song, mono."""
    return example_song.mixture(example_song.render(12.0)).mean(axis=0)


def fingerprint_of(path):
    audio = load_audio(path)
    return fingerprint(audio.samples.mean(dim=0).numpy(), audio.sample_rate)


def test_form(recording):
    bits = fingerprint(recording, RATE)
    assert bits.dtype == torch.int8
    assert bits.shape[1] == 32
    assert set(bits.unique().tolist()) <= {-1, 0, 1}


@pytest.mark.parametrize(("form", "bitrate"), [("mp3", "96k"), ("opus", "64k"), ("wav", None)])
@pytest.mark.parametrize("offset_s", [0.0, 0.47, -0.95])
def test_the_same_recording_is_found(tmp_path, recording, form, bitrate, offset_s):
    shift = round(abs(offset_s) * RATE)
    moved = recording[shift:] if offset_s >= 0 else np.pad(recording, (shift, 0))
    path = tmp_path / f"copy.{form}"
    samples = torch.from_numpy(np.stack([moved, moved]) * np.float32(0.4))
    Audio(samples, RATE).save(path, bitrate=bitrate)
    (found,) = find_duplicates([fingerprint(recording, RATE), fingerprint_of(path)])
    assert (found.first, found.second) == (0, 1)
    assert found.bit_error_rate < 0.25


def test_other_recordings_are_not(recording):
    generator = np.random.default_rng(0)
    others = [generator.standard_normal(12 * RATE).astype(np.float32) for _ in range(3)]
    # the same song, three seconds later: other notes on the same beat
    others.append(recording[3 * RATE :])
    assert find_duplicates([fingerprint(each, RATE) for each in [recording, *others]]) == []


def test_real_songs_are_told_apart(shared_audio):
    songs = sorted(shared_audio.parent.glob("multitracks/*/other.opus"))[:3]
    if not songs:
        pytest.skip("the real multitracks (../shared/multitracks) are not on this machine")
    excerpts = [load_audio(path, start_s=60, duration_s=12) for path in songs]
    bits = [fingerprint(each.samples.mean(dim=0).numpy(), each.sample_rate) for each in excerpts]
    assert find_duplicates([*bits, bits[1]]) == [Duplicate(1, 3, 0.0)]


@pytest.mark.parametrize("samples", [100, RATE, 5 * RATE])
def test_silence_is_like_nothing(recording, samples):
    silence = fingerprint(np.zeros(samples, np.float32), RATE)
    assert not silence.any()
    assert find_duplicates([silence, silence, fingerprint(recording, RATE)]) == []


def test_moments_are_too_short_to_tell(recording):
    moment = fingerprint(recording[:RATE], RATE)
    assert find_duplicates([moment, moment]) == []


def test_nothing_to_compare():
    assert find_duplicates([]) == []
