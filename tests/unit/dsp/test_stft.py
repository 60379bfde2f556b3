import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from partita.devices import intra_op_threads
from partita.dsp.stft import Stft


@given(st.integers(1, 5000), st.sampled_from([(512, 128), (512, 256), (300, 100)]))
def test_round_trip(samples, sizes):
    signal = torch.randn(2, 3, samples, generator=torch.Generator().manual_seed(samples))
    stft = Stft(*sizes)
    spectrogram = stft.analyse(signal)
    assert spectrogram.shape == (2, 3, stft.bins, stft.frames(samples))
    # With half-overlapping frames the last samples lie under one window's end, which is nearly zero
    # and magnifies rounding.
    tolerance = 2e-5 if sizes == (512, 128) else 1e-2
    restored = stft.synthesise(spectrogram, samples)
    torch.testing.assert_close(restored, signal, atol=tolerance, rtol=0)


@given(st.integers(1, 5000))
def test_equals_pytorchs(samples):
    signal = torch.randn(2, samples, generator=torch.Generator().manual_seed(samples))
    stft, window = Stft(512, 128), torch.hann_window(512)
    theirs = torch.stft(
        signal, 512, 128, window=window, center=True, pad_mode="constant", return_complex=True
    )
    torch.testing.assert_close(stft.analyse(signal), theirs, atol=2e-5, rtol=0)
    changed = theirs * torch.linspace(0, 1, 257)[:, None]
    ours = stft.synthesise(changed, samples)
    expected = torch.istft(changed, 512, 128, window=window, center=True, length=samples)
    torch.testing.assert_close(ours, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("window", ["hann", "rectangular"])
@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("samples", [257, 3000])
def test_mirrored_ends_windows_and_levels_are_pytorchs(window, normalised, samples):
    signal = torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
    stft = Stft(512, 128, window=window, reflect=True, normalised=normalised)
    weights = torch.hann_window(512) if window == "hann" else torch.ones(512)
    options = {"n_fft": 512, "hop_length": 128, "window": weights, "normalized": normalised}
    theirs = torch.stft(signal, **options, return_complex=True)
    torch.testing.assert_close(stft.analyse(signal), theirs, atol=2e-5, rtol=0)
    changed = theirs * torch.linspace(0, 1, 257)[:, None]
    expected = torch.istft(changed, **options, length=samples)
    torch.testing.assert_close(stft.synthesise(changed, samples), expected, atol=2e-5, rtol=0)


def test_short_signals_end_in_silence():
    signal = torch.randn(256)
    assert torch.equal(Stft(512, 128, reflect=True).analyse(signal), Stft(512, 128).analyse(signal))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [(3, 2, 1000), (1, 300), (700,)])
def test_magnitudes_are_those_of_the_transform(shape, threads):
    signal = torch.randn(shape, generator=torch.Generator().manual_seed(0), requires_grad=True)
    stft = Stft(256, 64)
    with intra_op_threads(threads):
        found = stft.magnitudes(signal, 100)
    torch.testing.assert_close(found, stft.analyse(signal)[..., :100, :].abs())
    assert not found.requires_grad


@pytest.mark.parametrize("sizes", [(511, 128), (512, 512), (512, 0), (512, 100)])
def test_impossible_sizes(sizes):
    with pytest.raises(ValueError, match="fft_samples must be even"):
        Stft(*sizes)


def test_a_tone_stands_in_its_bin():
    stft = Stft(1024, 256)
    tone = torch.sin(2 * torch.pi * 40 / 1024 * torch.arange(8192))
    magnitude = stft.analyse(tone)[:, 10].abs()
    assert int(magnitude.argmax()) == 40
    assert float(magnitude.max()) == pytest.approx(256, rel=0.01)  # window sum over two
