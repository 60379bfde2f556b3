import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from partita.errors import UsageError
from partita.evaluation import _decomposition
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


def test_noise_that_was_mixed_in_is_told_from_artifacts():
    references, hiss = noise(), noise(1, seed=2)
    estimates = references + 0.1 * hiss
    without, with_noise = score(references, estimates), score(references, estimates, noises=hiss)
    assert without.sar.median() == pytest.approx(20, abs=1)
    assert without.snr.min() == math.inf
    assert with_noise.sar.min() > 100
    assert with_noise.snr.median() == pytest.approx(20, abs=1)
    torch.testing.assert_close(with_noise.sir, without.sir)
    with pytest.raises(UsageError, match="noises and references differ"):
        score(references, estimates, noises=noise(1, channels=1))


def test_a_silent_estimate_leaves_the_others_scored():
    references = noise(3)
    estimates = references + 0.1 * noise(3, seed=1)
    expected = score(references, estimates)
    estimates[1] = 0
    scores = score(references, estimates)
    assert scores.sdr[1].isnan().all()
    torch.testing.assert_close(scores.sir[[0, 2]], expected.sir[[0, 2]])


@pytest.mark.slow
@given(
    channels=st.integers(1, 3),
    gain_db=st.floats(-60, 60),
    seed=st.integers(0, 100),
    framewise=st.booleans(),
)
def test_a_common_gain_changes_nothing(channels, gain_db, seed, framewise):
    references, disturbance = (noise(2, channels, 3000, seed + index) for index in range(2))
    estimates = references + 0.3 * references.flip(0) + 0.1 * disturbance
    options = {"window": 1500, "filter_samples": 8, "framewise_filters": framewise}
    gain = 10 ** (gain_db / 20)
    once = score(references, estimates, **options)
    again = score(gain * references, gain * estimates, **options)
    for figure in ("sdr", "isr", "sir", "sar"):
        torch.testing.assert_close(getattr(once, figure), getattr(again, figure))


@pytest.mark.slow
@given(order=st.permutations(range(3)), seed=st.integers(0, 100))
def test_the_order_of_sources_does_not_matter(order, seed):
    references, disturbance = (noise(3, 2, 3000, seed + index) for index in range(2))
    estimates = references + 0.3 * references.roll(1, 0) + 0.1 * disturbance
    options = {"window": 1500, "filter_samples": 8}
    once = score(references, estimates, **options)
    again = score(references[order], estimates[order], **options)
    torch.testing.assert_close(once.sir[order], again.sir)
    torch.testing.assert_close(once.sar[order], again.sar)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_a_gpu():
    references = noise()
    estimates = references + 0.1 * noise(seed=1)
    expected = score(references, estimates)
    found = score(references.cuda(), estimates.cuda())
    torch.testing.assert_close(found.sir.cpu(), expected.sir)


@pytest.mark.parametrize("samples", [6000, 6500, 9999])
def test_pieces_of_a_track_do_not_matter(monkeypatch, samples):
    """Version 4's filters are the same from windows, and from pieces of any other length."""
    references = noise(samples=samples)
    estimates = references + 0.3 * references.flip(0) + 0.1 * noise(samples=samples, seed=1)
    expected = score(references, estimates)
    monkeypatch.setattr(_decomposition, "_KEPT_BYTES", 0)
    for piece in (1 << 20, 1700, 777):
        monkeypatch.setattr(_decomposition, "_PIECE_SAMPLES", piece)
        found = score(references, estimates)
        torch.testing.assert_close(found.sir, expected.sir, atol=1e-9, rtol=0)
        torch.testing.assert_close(found.sar, expected.sar, atol=1e-9, rtol=0)
