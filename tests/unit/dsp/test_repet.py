import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from partita.dsp.repet import beat_spectrum, repeating_mask, repeating_period, repet
from unit.dsp.test_nmf import magnitudes


def loop(seed, period, times, bins=20):
    """A background of beats that repeats, [bins, frames]."""
    return magnitudes(seed, bins, period).repeat(1, times)


@given(seed=st.integers(0, 1000), frames=st.integers(1, 40))
def test_beat_spectrum_as_the_paper_defines_it(seed, frames):
    values = magnitudes(seed, 2, 5, frames) + 0.01
    powers = values.reshape(10, frames) ** 2
    expected = torch.stack(
        [
            (powers[:, : frames - lag] * powers[:, lag:]).sum(dim=1).mean() / (frames - lag)
            for lag in range(frames)
        ]
    )
    torch.testing.assert_close(beat_spectrum(values), expected / expected[0])


@pytest.mark.parametrize("period", [7, 12, 31])
def test_finds_the_period(period):
    song = loop(period, period, 9)
    assert repeating_period(song, 4, 60) == period
    noisy = torch.stack([song, song]) + magnitudes(99, 2, *song.shape)
    assert repeating_period(noisy, 4, 60) % period == 0  # two bars repeat as well as one
    assert repeating_period(song, period + 1, 60) != period


@given(seed=st.integers(0, 1000), frames=st.integers(1, 40), period=st.integers(1, 45))
def test_mask_as_the_paper_defines_it(seed, frames, period):
    values = magnitudes(seed, 3, frames)
    model = np.empty((3, frames))
    for n in range(frames):
        model[:, n] = np.median(values[:, n % period :: period].numpy(), axis=1)
    actual = values.numpy()
    expected = np.minimum(model, actual) / np.where(actual > 0, actual, 1)
    expected[actual == 0] = 1
    torch.testing.assert_close(repeating_mask(values, period), torch.from_numpy(expected))


def test_takes_the_repeating_background_apart_from_the_rest():
    background = loop(0, 16, 12, bins=200)
    foreground = magnitudes(1, *background.shape) * 4
    active = torch.rand(background.shape, generator=torch.Generator().manual_seed(2)) < 0.1
    foreground = foreground * active
    mixture = background + foreground
    before = mixture.clone()
    mask = repet(mixture, 8, 40)
    assert torch.equal(mixture, before)
    assert bool(((mask >= 0) & (mask <= 1)).all())
    error = (mask * mixture - background).norm() / background.norm()
    assert float(error) < 0.2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("frames", [1, 2, 5, 100])
def test_silence_and_short_songs(dtype, frames):
    assert torch.equal(
        repet(torch.zeros(2, 6, frames, dtype=dtype), 10, 50),
        torch.ones(2, 6, frames, dtype=dtype),
    )
    mask = repet(magnitudes(0, 2, 6, frames, dtype=dtype), 10, 50)
    assert mask.dtype == dtype
    assert bool(mask.isfinite().all())


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_level_does_not_matter(scale):
    song = loop(3, 10, 8).float() + magnitudes(5, 20, 80, dtype=torch.float32)
    torch.testing.assert_close(repet(song * scale, 4, 20), repet(song, 4, 20))


def test_blocks_do_not_matter(monkeypatch):
    song = loop(3, 10, 8) + magnitudes(5, 20, 80)
    whole = repet(song, 4, 20)
    monkeypatch.setattr("partita.dsp.repet._BLOCK_ELEMENTS", 200)
    torch.testing.assert_close(repet(song, 4, 20), whole)


@pytest.mark.parametrize("limits", [(0, 5), (6, 5)])
def test_refuses(limits):
    with pytest.raises(ValueError, match="periods must be"):
        repet(torch.ones(6, 70), *limits)
