"""Audio in memory."""

import numpy as np
import pytest
import torch

from partita import Audio, load_audio
from partita.errors import AudioReadError


def test_audio_is_an_array():
    samples = torch.linspace(-1, 1, 20).reshape(2, 10)
    audio = Audio(samples, 8000)
    assert (audio.shape, audio.ndim, audio.dtype, len(audio)) == ((2, 10), 2, np.float32, 2)
    array = np.asarray(audio)
    assert array.dtype == np.float32
    assert np.array_equal(array, samples.numpy())
    assert np.shares_memory(array, samples.numpy())
    assert np.asarray(audio, dtype=np.float64).dtype == np.float64
    copied = np.array(audio)
    copied[:] = 0
    assert samples.abs().sum() > 0
    assert np.abs(audio).max() == 1
    assert torch.equal(audio[:, 2:4], samples[:, 2:4])
    _, right = audio
    assert torch.equal(right, samples[1])


def test_audio_that_was_learned_from_is_an_array():
    samples = torch.ones(1, 4, requires_grad=True)
    assert np.asarray(Audio(samples * 2, 8000)).tolist() == [[2, 2, 2, 2]]


def test_an_excerpt_of_a_file(write_song, song, tmp_path):
    path = write_song(subtype="FLOAT")
    audio = load_audio(path, start_s=1, duration_s=0.5)
    assert repr(audio) == "Audio(2 channels, 0.500 s, 44100 Hz)"
    assert np.array_equal(audio, song[:, 44100 : 44100 + 22050])
    with pytest.raises(AudioReadError, match="no such file"):
        load_audio(tmp_path / "missing.wav")
