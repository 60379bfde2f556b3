import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.audio.channels import interleaved, join_channels, mix_channels, split_channels


def noise(channels, count=20):
    return np.random.default_rng(channels).standard_normal((channels, count)).astype(np.float32)


@given(st.integers(1, 8), st.integers(1, 2), st.integers(1, 30))
def test_join_undoes_split(channels, group, count):
    block = noise(channels, count)
    groups = split_channels(block, group)
    assert groups.shape == (-(-channels // group), group, count)
    np.testing.assert_allclose(join_channels(groups, channels), block, rtol=1e-6)
    stacked = np.stack([groups, 2 * groups])
    np.testing.assert_allclose(join_channels(stacked, channels)[1], 2 * block, rtol=1e-6)


@pytest.mark.parametrize("channels", range(1, 9))
def test_mixing_down_never_clips(channels):
    loud = np.ones((channels, 4), np.float32)
    stereo = mix_channels(loud, 2)
    assert stereo.shape == (2, 4)
    assert stereo.max() <= 1.0 + 1e-6
    assert mix_channels(loud, 1).shape == (1, 4)


def test_mono_goes_to_both_sides():
    mono = noise(1)
    np.testing.assert_array_equal(mix_channels(mono, 2), np.concatenate([mono, mono]))


def test_stereo_stays_as_it_is():
    stereo = noise(2)
    assert mix_channels(stereo, 2) is stereo


def test_surround_keeps_sides_apart():
    surround = np.zeros((6, 4), np.float32)
    surround[4] = 1.0  # left surround
    stereo = mix_channels(surround, 2)
    assert stereo[0].min() > 0.2
    assert stereo[1].max() == 0


def test_no_other_layouts():
    with pytest.raises(ValueError, match="cannot make 3 channels of 2"):
        mix_channels(noise(2), 3)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_interleaved_samples_are_those_of_files(channels, dtype):
    signal = np.arange(channels * 10).reshape(channels, 10).astype(dtype)[:, 2:7]
    found = interleaved(signal)
    assert found.flags.c_contiguous
    assert found.dtype == dtype
    assert np.array_equal(found, signal.T)
