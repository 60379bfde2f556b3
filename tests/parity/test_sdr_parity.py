"""Scale-invariant and challenge figures against their formulas, written down in numpy."""

import numpy as np
import pytest
import torch

from partita.evaluation.sdr import mdx_sdr_db, scale_invariant_db, si_sdr_db


def decibels(numerator, denominator):
    return 10 * np.log10(np.dot(numerator, numerator) / np.dot(denominator, denominator))


def formulas(references, estimates):
    """Le Roux et al. 2019 with an orthonormal basis of the references instead of a Gram matrix."""
    true = references.reshape(len(references), -1).astype(np.float64)
    basis, _ = np.linalg.qr(true.T)
    scores = []
    for reference, estimate in zip(
        true, estimates.reshape(true.shape).astype(np.float64), strict=True
    ):
        target = np.dot(estimate, reference) / np.dot(reference, reference) * reference
        explained = basis @ (basis.T @ estimate)
        errors = estimate - target, explained - target, estimate - explained
        scores.append([decibels(target, error) for error in errors])
    return np.array(scores).T


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scale_invariant_scores(channels, dtype):
    random = np.random.default_rng(channels)
    references = random.standard_normal((4, channels, 3000))
    references = (references + 0.4 * references[::-1]).astype(dtype)  # correlated sources
    mixing = np.eye(4) + 0.2 * random.standard_normal((4, 4))
    estimates = np.einsum("ij,jcn->icn", mixing, references)
    estimates = (estimates + 0.3 * random.standard_normal(estimates.shape)).astype(dtype)
    scores = scale_invariant_db(torch.from_numpy(references), torch.from_numpy(estimates))
    expected = formulas(references, estimates)
    found = [scores.sdr.numpy(), scores.sir.numpy(), scores.sar.numpy()]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    for index in range(4):
        pair = torch.from_numpy(references[index]), torch.from_numpy(estimates[index])
        assert si_sdr_db(*pair) == pytest.approx(expected[0, index])


def test_challenge_score():
    reference, estimate = np.random.default_rng(0).standard_normal((2, 2, 3000))
    reference *= 1e-5  # so quiet that the challenges' 1e-7 counts
    estimate = reference + 0.1 * 1e-5 * estimate
    expected = 10 * np.log10(
        (np.sum(reference**2) + 1e-7) / (np.sum((reference - estimate) ** 2) + 1e-7)
    )
    found = mdx_sdr_db(torch.from_numpy(reference), torch.from_numpy(estimate))
    assert found == pytest.approx(expected)
    assert found < 19
