import math

import pytest
import torch

from partita.errors import UsageError
from partita.evaluation.bsseval import bss_eval


def noise(sources=2, channels=2, samples=6000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(sources, channels, samples, generator=generator, dtype=torch.float64)


def score(references, estimates, **options):
    return bss_eval(references, estimates, **{"window": 2000, "filter_samples": 32, **options})


def test_known_ratios():
    references = noise()
    scores = score(references, 0.9 * references)
    # A gain is spatial distortion, which a filter explains, and nothing else.
    assert scores.sdr.shape == (2, 3)
    torch.testing.assert_close(scores.sdr, torch.full((2, 3), 20.0).double())
    torch.testing.assert_close(scores.isr, torch.full((2, 3), 20.0).double(), atol=1e-6, rtol=0)
    # Differences of energies end at their rounding, some 150 dB down.
    assert scores.sir.min() > 140
    assert scores.sar.min() > 140
    assert score(references, references).sdr.min() == math.inf


def test_interference_and_artifacts_are_told_apart():
    references = noise()
    leaking = references + 0.1 * references.flip(0)
    noisy = references + 0.1 * noise(seed=1)
    assert score(references, leaking).sir.median() == pytest.approx(20, abs=1)
    assert score(references, leaking).sar.min() > 100
    assert score(references, noisy).sar.median() == pytest.approx(20, abs=1)
    assert score(references, noisy).sir.median() > 30


def test_the_sources_version_forgives_filters():
    references = noise()
    estimates = 0.5 * references + 0.05 * noise(seed=1)
    images, sources = (score(references, estimates, sources_version=v) for v in (False, True))
    assert images.sdr.median() == pytest.approx(6, abs=0.2)
    assert sources.sdr.median() == pytest.approx(20, abs=1)
    assert sources.isr.isnan().all()


def test_permutations_are_found():
    references = noise(3)
    estimates = references[[2, 0, 1]] + 0.1 * noise(3, seed=1)
    for framewise in (False, True):
        scores = score(references, estimates, search_permutation=True, framewise_filters=framewise)
        assert scores.permutation.T.tolist() == [[1, 2, 0]] * 3
        assert scores.sdr.min() > 15
    assert score(references, estimates).sdr.max() < 0


def test_silent_windows_are_nan_for_all():
    references = noise()
    estimates = references + 0.1 * noise(seed=1)
    estimates[1, :, 2000:4000] = 0
    for framewise in (False, True):
        scores = score(references, estimates, framewise_filters=framewise)
        assert scores.sdr.isnan().tolist() == [[False, True, False]] * 2
        assert scores.sar.isnan().tolist() == [[False, True, False]] * 2


def test_a_silent_reference_leaves_the_others_scored():
    references = noise(3)
    references[1] = 0
    estimates = references + 0.1 * noise(3, seed=1)
    scores = score(references, estimates)
    assert scores.sdr[1].isnan().all()
    expected = score(references[[0, 2]], estimates[[0, 2]])
    torch.testing.assert_close(scores.sir[[0, 2]], expected.sir)
    nothing = score(torch.zeros(2, 2, 100), torch.ones(2, 2, 100))
    assert nothing.sdr.isnan().all()


@pytest.mark.parametrize(
    ("window", "hop", "count"), [(None, None, 1), (2000, 1000, 5), (2500, None, 2), (9000, None, 1)]
)
def test_windows(window, hop, count):
    references = noise()
    scores = score(references, references + noise(seed=1), window=window, hop=hop)
    assert scores.sdr.shape == (2, count)


def test_inputs_stay_as_they_are():
    references, estimates = noise(), noise(seed=1)
    before = references.clone(), estimates.clone()
    score(references, estimates)
    assert torch.equal(references, before[0])
    assert torch.equal(estimates, before[1])


@pytest.mark.parametrize(
    ("references", "estimates", "message"),
    [
        (noise(), noise(3), "differ in shape"),
        (noise(), noise(channels=1), "differ in shape"),
        (noise()[0], noise()[0], "sources, channels, samples"),
        (noise(samples=0), noise(samples=0), "sources, channels, samples"),
        (noise() * math.nan, noise(), "NaN or infinite"),
        (noise(), noise() * math.inf, "NaN or infinite"),
    ],
)
def test_impossible_signals(references, estimates, message):
    with pytest.raises(UsageError, match=message):
        score(references, estimates)
