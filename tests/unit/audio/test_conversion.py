import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.audio.channels import fit_channels
from partita.audio.conversion import Conversion, convert_blocks

RATES = [8000, 22050, 44100, 48000, 96000]


def cut(samples, size):
    return [samples[:, i : i + size] for i in range(0, samples.shape[1], size)]


@settings(max_examples=40)
@given(
    st.integers(1, 20000),
    st.integers(1, 5000),
    st.sampled_from(RATES),
    st.sampled_from(RATES),
    st.integers(1, 3),
)
def test_length_is_exact_and_blocks_do_not_matter(count, size, from_rate, to_rate, channels):
    samples = np.random.default_rng(count).standard_normal((channels, count)).astype(np.float32)
    once = np.concatenate(list(convert_blocks([samples], from_rate, to_rate)), axis=1)
    parts = list(convert_blocks(cut(samples, size), from_rate, to_rate))
    assert once.shape == (channels, max(1, round(count * to_rate / from_rate)))
    np.testing.assert_allclose(np.concatenate(parts, axis=1), once, atol=1e-6)


@pytest.mark.parametrize("to_rate", [22050, 48000])
def test_a_tone_stays_itself(to_rate):
    def tone(rate):
        return np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)[None].astype(np.float32)

    (converted,) = [
        np.concatenate(list(convert_blocks(cut(tone(44100), 3000), 44100, to_rate)), axis=1)
    ]
    inner = slice(1000, -1000)
    assert np.abs(converted[:, inner] - tone(to_rate)[:, inner]).max() < 1e-4


@pytest.mark.parametrize(("given", "wanted"), [(1, 2), (2, 1), (6, 2), (6, 1), (2, 6)])
@pytest.mark.parametrize("to_rate", [44100, 32000])
def test_channels_are_mixed_on_the_way(given, wanted, to_rate):
    samples = np.random.default_rng(0).standard_normal((given, 3000)).astype(np.float32)
    found = np.concatenate([*convert_blocks(cut(samples, 700), 44100, to_rate, wanted)], axis=1)
    mixed = fit_channels(samples, wanted)
    expected = np.concatenate([*convert_blocks([mixed], 44100, to_rate)], axis=1)
    assert len(found) == wanted
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_axes_before_channels_stay():
    groups = np.random.default_rng(0).standard_normal((2, 3, 1, 4000)).astype(np.float32)
    conversion = Conversion(44100, 22050, 2)
    parts = [conversion.push(groups[..., :1500]), conversion.push(groups[..., 1500:], last=True)]
    found = np.concatenate(parts, axis=-1)
    assert found.shape == (2, 3, 2, 2000)
    (alone,) = [np.concatenate([*convert_blocks([groups[1, 2]], 44100, 22050, 2)], axis=-1)]
    np.testing.assert_allclose(found[1, 2], alone, atol=1e-6)
