"""The Wiener filter against norbert 0.2.1 itself."""

import itertools
import warnings

import numpy as np
import pytest
import torch

from partita.dsp.wiener import expectation_maximisation, wiener


@pytest.fixture(scope="module")
def norbert():
    with warnings.catch_warnings():
        # It takes a filter from a place in SciPy that is on its way out.
        warnings.simplefilter("ignore", DeprecationWarning)
        return pytest.importorskip("norbert", reason="norbert is not installed (make test does it)")


def make(channels, *, sources=3, gain=1.0, seed=0):
    """Return magnitudes ``[frames, bins, channels, sources]`` and a mixture."""
    generator = np.random.default_rng(seed)
    parts = generator.standard_normal((2, 40, 17, channels, sources))
    images = gain * (parts[0] + 1j * parts[1]) * generator.uniform(0.1, 3, (1, 17, channels, 1))
    noise = generator.uniform(0.5, 1.5, images.shape)
    return np.abs(images) * noise, images.sum(axis=-1)


def ours(array):
    """Frames, bins, channels (and sources) to a batch of one in partita's order."""
    axes = (2, 1, 0) if array.ndim == 3 else (3, 2, 1, 0)
    return torch.from_numpy(array.transpose(axes).copy())[None]


def theirs(images):
    return images[0].numpy().transpose(3, 2, 1, 0)


def assert_same(found, expected, tolerance=1e-8):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("gain", [1e-2, 1.0, 1e3], ids=["quiet", "plain", "loud"])
@pytest.mark.parametrize(
    ("iterations", "softmask", "residual"),
    list(itertools.product([0, 1, 3], [False, True], [False, True])),
)
def test_wiener(norbert, channels, gain, iterations, softmask, residual):
    magnitudes, mixture = make(channels, gain=gain)
    found = wiener(
        ours(magnitudes),
        ours(mixture),
        iterations=iterations,
        softmask=softmask,
        residual=residual,
    )
    model = norbert.residual_model(magnitudes, mixture) if residual else magnitudes
    expected = norbert.wiener(model, mixture.copy(), iterations, softmask)
    assert_same(theirs(found), expected)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_expectation_maximisation(norbert, channels):
    generator = np.random.default_rng(1)
    images = generator.standard_normal((2, 30, 9, channels, 4))
    images = images[0] + 1j * images[1]
    mixture = images.sum(axis=-1) * generator.uniform(0.5, 1.5, (30, 9, 1))
    found = expectation_maximisation(ours(images), ours(mixture), iterations=2, eps=1e-10)
    expected, _, _ = norbert.expectation_maximization(images.copy(), mixture, 2, eps=1e-10)
    assert_same(theirs(found), expected)


def test_one_spectrogram_for_all_channels(norbert):
    magnitudes, mixture = make(2)
    mono = magnitudes.mean(axis=2, keepdims=True)
    for residual in (False, True):
        model = norbert.residual_model(mono, mixture) if residual else mono
        found = wiener(ours(mono), ours(mixture), iterations=2, residual=residual)
        assert_same(theirs(found), norbert.wiener(model, mixture.copy(), 2, use_softmask=False))


def test_single_precision_is_close_to_double(norbert):
    magnitudes, mixture = make(2, gain=30.0)
    found = wiener(ours(magnitudes).float(), ours(mixture).to(torch.complex64), iterations=2)
    assert found.dtype == torch.complex64
    expected = norbert.wiener(magnitudes, mixture.copy(), 2, use_softmask=False)
    assert_same(theirs(found), expected, tolerance=1e-5)
