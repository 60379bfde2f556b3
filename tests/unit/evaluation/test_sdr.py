import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from partita.evaluation import sdr
from partita.evaluation.sdr import (
    mdx_sdr_db,
    null_depth_db,
    scale_invariant_db,
    sdr_db,
    si_sdr_db,
    spectral_distances,
)

GAINS = st.floats(0.01, 100).flatmap(lambda gain: st.sampled_from([gain, -gain]))
SEEDS = st.integers(0, 2**31)


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_known_ratios():
    reference = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0))
    assert sdr_db(reference, reference) == math.inf
    assert sdr_db(reference, 0.9 * reference) == pytest.approx(20, abs=1e-5)
    assert sdr_db(reference, torch.zeros_like(reference)) == pytest.approx(0)
    assert sdr_db(torch.zeros(2, 10), torch.ones(2, 10)) == -math.inf


@pytest.mark.parametrize(
    "figure", [sdr_db, mdx_sdr_db, si_sdr_db, scale_invariant_db, spectral_distances, null_depth_db]
)
def test_shapes_must_agree(figure):
    with pytest.raises(ValueError, match="shapes differ"):
        figure(torch.zeros(2, 10), torch.zeros(1, 10))


def test_sources_have_three_axes():
    with pytest.raises(ValueError, match="sources are"):
        scale_invariant_db(torch.zeros(2, 10), torch.zeros(2, 10))


@pytest.mark.parametrize("figure", [sdr_db, mdx_sdr_db, si_sdr_db])
@pytest.mark.parametrize("broken", [0, 1])
def test_not_a_number_stays_so(figure, broken):
    signals = noise(2, 2, 100)
    signals[broken, 1, 50] = math.nan
    assert math.isnan(figure(*signals))
    assert math.isnan(spectral_distances(*signals).l1)
    assert math.isnan(null_depth_db(signals[0], signals[1:]))


@given(SEEDS, GAINS)
def test_a_gain_on_both_changes_nothing(seed, gain):
    reference, estimate = noise(2, 2, 300, seed=seed)
    before = sdr_db(reference, estimate)
    assert sdr_db(gain * reference, gain * estimate) == pytest.approx(before)


@given(st.floats(-0.9, 0.9))
def test_a_gain_is_distortion(error):
    reference = noise(2, 300)
    expected = -20 * math.log10(max(abs(error), 1e-9))
    assert sdr_db(reference, (1 + max(abs(error), 1e-9)) * reference) == pytest.approx(
        expected, rel=1e-6, abs=1e-6
    )


def test_the_challenges_epsilon():
    reference = noise(2, 1000)
    energy = float(reference.square().sum())
    silence = torch.zeros_like(reference)
    assert mdx_sdr_db(reference, 0.9 * reference) == pytest.approx(20, abs=1e-6)
    perfect = 10 * math.log10((energy + 1e-7) / 1e-7)
    assert mdx_sdr_db(reference, reference) == pytest.approx(perfect)
    assert mdx_sdr_db(silence, reference) == pytest.approx(-perfect)
    assert mdx_sdr_db(reference, silence) == pytest.approx(0)
    assert mdx_sdr_db(silence, silence) == 0


@given(SEEDS, GAINS, GAINS)
def test_scale_invariance(seed, reference_gain, estimate_gain):
    reference, error = noise(2, 2, 300, seed=seed)
    estimate = reference + 0.3 * error
    scaled = si_sdr_db(reference_gain * reference, estimate_gain * estimate)
    assert scaled == pytest.approx(si_sdr_db(reference, estimate), abs=1e-6)


def test_scale_invariant_edges():
    reference = noise(2, 1000)
    silence = torch.zeros_like(reference)
    assert si_sdr_db(reference, reference) > 250
    assert si_sdr_db(reference, 0.3 * reference) > 250
    assert si_sdr_db(silence, reference) == -math.inf
    assert si_sdr_db(reference, silence) == -math.inf
    assert si_sdr_db(silence, silence) == -math.inf
    left, right = torch.eye(2).unsqueeze(1)
    assert si_sdr_db(left, right) == -math.inf


def test_interference_and_artifacts_are_told_apart():
    references = noise(3, 2, 20_000)
    leaking = references + 0.1 * references.roll(1, dims=0)
    scores = scale_invariant_db(references, leaking)
    torch.testing.assert_close(scores.sir, torch.full((3,), 20.0).double(), atol=0.3, rtol=0)
    torch.testing.assert_close(scores.sdr, scores.sir)
    assert scores.sar.min() > 250
    noisy = references + 0.1 * noise(3, 2, 20_000, seed=1)
    scores = scale_invariant_db(references, noisy)
    torch.testing.assert_close(scores.sar, torch.full((3,), 20.0).double(), atol=0.3, rtol=0)
    assert scores.sir.min() > 45


@given(SEEDS, st.integers(1, 4))
def test_the_errors_add_up(seed, sources):
    references, estimates = noise(2, sources, 2, 200, seed=seed)
    scores = scale_invariant_db(references, estimates)
    shares = [10 ** (-figure / 10) for figure in (scores.sdr, scores.sir, scores.sar)]
    torch.testing.assert_close(shares[0], shares[1] + shares[2])


@given(SEEDS, st.permutations(range(3)))
def test_sources_have_no_order(seed, order):
    references, estimates = noise(2, 3, 1, 200, seed=seed)
    scores = scale_invariant_db(references, estimates)
    permuted = scale_invariant_db(references[order], estimates[order])
    for name in ("sdr", "sir", "sar"):
        torch.testing.assert_close(getattr(permuted, name), getattr(scores, name)[order])


def test_silent_and_repeated_references_do_not_disturb_the_others():
    references = noise(2, 1, 500)
    estimates = references + 0.3 * references.flip(0) + 0.1 * noise(2, 1, 500, seed=1)
    expected = scale_invariant_db(references, estimates)
    for extra in (torch.zeros(1, 1, 500), 2 * references[:1]):
        scores = scale_invariant_db(
            torch.cat([references, extra]), torch.cat([estimates, noise(1, 1, 500, seed=2)])
        )
        for name in ("sdr", "sir", "sar"):
            torch.testing.assert_close(getattr(scores, name)[:2], getattr(expected, name))
    silent = scale_invariant_db(torch.zeros(2, 1, 500), noise(2, 1, 500))
    assert silent.sdr.tolist() == silent.sir.tolist() == silent.sar.tolist() == [-math.inf] * 2


def test_a_broken_estimate_leaves_the_others_scored():
    references, estimates = noise(2, 2, 1, 500)
    expected = scale_invariant_db(references, estimates)
    estimates[0, 0, 0] = math.nan
    scores = scale_invariant_db(references, estimates)
    for name in ("sdr", "sir", "sar"):
        assert getattr(scores, name).isnan().tolist() == [True, False]
        torch.testing.assert_close(getattr(scores, name)[1], getattr(expected, name)[1])
    references[0, 0, 0] = math.inf  # now nothing can be said of the span of all references
    scores = scale_invariant_db(references, estimates)
    assert scores.sir.isnan().all()
    assert scores.sar.isnan().all()


def test_blocks_change_nothing(monkeypatch):
    references, estimates = noise(2, 3, 2, 5000)
    whole = scale_invariant_db(references, estimates)
    distances = spectral_distances(references[0], estimates[0], fft_samples=96, hop_samples=32)
    depth = null_depth_db(references[0], estimates)
    monkeypatch.setattr(sdr, "_BLOCK_SAMPLES", 777)
    monkeypatch.setattr(sdr, "_BLOCK_FRAMES", 5)
    for name in ("sdr", "sir", "sar"):
        blocks = getattr(scale_invariant_db(references, estimates), name)
        torch.testing.assert_close(blocks, getattr(whole, name))
    again = spectral_distances(references[0], estimates[0], fft_samples=96, hop_samples=32)
    assert (again.l1, again.l2) == pytest.approx((distances.l1, distances.l2))
    assert null_depth_db(references[0], estimates) == pytest.approx(depth)


@pytest.mark.parametrize("samples", [1, 1000, 4096, 300_000])
def test_spectral_distances_are_means_over_the_spectrogram(samples):
    reference, estimate = noise(2, 2, samples)
    window = torch.hann_window(4096).double()
    spectra = [
        torch.stft(signal, 4096, 1024, window=window, pad_mode="constant", return_complex=True)
        for signal in (reference, estimate)
    ]
    difference = (spectra[0].abs() - spectra[1].abs()) / window.sum()
    distances = spectral_distances(reference, estimate)
    assert distances.l1 == pytest.approx(float(difference.abs().mean()))
    assert distances.l2 == pytest.approx(float(difference.square().mean()))


def test_spectral_distances_ignore_signs_and_scale_with_the_signals():
    reference, estimate = noise(2, 2, 9000, dtype=torch.float32)
    distances = spectral_distances(reference, estimate)
    doubled = spectral_distances(-2 * reference, 2 * estimate)
    assert doubled.l1 == pytest.approx(2 * distances.l1)
    assert doubled.l2 == pytest.approx(4 * distances.l2)
    for signal in (reference, torch.zeros_like(reference)):
        same = spectral_distances(signal, signal)
        assert (same.l1, same.l2) == (0, 0)
    with pytest.raises(ValueError, match="fft_samples must be even"):
        spectral_distances(reference, estimate, hop_samples=1000)


@given(SEEDS, st.integers(1, 5))
def test_exact_sums_have_no_residual(seed, sources):
    generator = torch.Generator().manual_seed(seed)
    estimates = torch.randint(-(2**15), 2**15, (sources, 2, 100), generator=generator) / 2**15
    assert null_depth_db(estimates.sum(dim=0), estimates) == -math.inf


def test_null_depths():
    mixture = noise(2, 1000)
    estimates = torch.stack([0.5 * mixture, 0.4 * mixture])
    assert null_depth_db(mixture, estimates) == pytest.approx(-20)
    assert null_depth_db(mixture, torch.zeros_like(estimates)) == pytest.approx(0)
    assert null_depth_db(torch.zeros_like(mixture), estimates) == math.inf
    assert null_depth_db(torch.zeros_like(mixture), torch.zeros_like(estimates)) == -math.inf
    with pytest.raises(ValueError, match="shapes differ"):
        null_depth_db(mixture, estimates[:0])


def test_inputs_stay_as_they_are():
    references, estimates = noise(2, 2, 2, 1000, dtype=torch.float32)
    before = references.clone(), estimates.clone()
    scores = scale_invariant_db(references, estimates)
    spectral_distances(references[0], estimates[0])
    null_depth_db(references[0], estimates)
    assert scores.sdr.dtype == torch.float64
    torch.testing.assert_close((references, estimates), before, rtol=0, atol=0)
