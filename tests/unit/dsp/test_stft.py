import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from partita.dsp.stft import Stft


@given(st.integers(1, 5000), st.sampled_from([(512, 128), (512, 256), (256, 100)]))
def test_round_trip(samples, sizes):
    signal = torch.randn(2, 3, samples, generator=torch.Generator().manual_seed(samples))
    stft = Stft(*sizes)
    spectrogram = stft.analyse(signal)
    assert spectrogram.shape == (2, 3, stft.bins, stft.frames(samples))
    torch.testing.assert_close(stft.synthesise(spectrogram, samples), signal, atol=2e-5, rtol=0)


def test_a_tone_stands_in_its_bin():
    stft = Stft(1024, 256)
    tone = torch.sin(2 * torch.pi * 40 / 1024 * torch.arange(8192))
    magnitude = stft.analyse(tone)[:, 10].abs()
    assert int(magnitude.argmax()) == 40
    assert float(magnitude.max()) == pytest.approx(256, rel=0.01)  # window sum over two
