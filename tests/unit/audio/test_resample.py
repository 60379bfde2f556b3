import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.audio.resample import resample_blocks

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
    once = np.concatenate(list(resample_blocks([samples], channels, from_rate, to_rate)), axis=1)
    parts = list(resample_blocks(cut(samples, size), channels, from_rate, to_rate))
    assert once.shape == (channels, max(1, round(count * to_rate / from_rate)))
    np.testing.assert_allclose(np.concatenate(parts, axis=1), once, atol=1e-6)


@pytest.mark.parametrize("to_rate", [22050, 48000])
def test_a_tone_stays_itself(to_rate):
    def tone(rate):
        return np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)[None].astype(np.float32)

    (converted,) = [
        np.concatenate(list(resample_blocks(cut(tone(44100), 3000), 1, 44100, to_rate)), axis=1)
    ]
    inner = slice(1000, -1000)
    assert np.abs(converted[:, inner] - tone(to_rate)[:, inner]).max() < 1e-4
