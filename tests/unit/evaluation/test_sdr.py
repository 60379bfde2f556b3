import math

import pytest
import torch

from partita.evaluation.sdr import sdr_db


def test_known_ratios():
    reference = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0))
    assert sdr_db(reference, reference) == math.inf
    assert sdr_db(reference, 0.9 * reference) == pytest.approx(20, abs=1e-5)
    assert sdr_db(reference, torch.zeros_like(reference)) == pytest.approx(0)
    assert sdr_db(torch.zeros(2, 10), torch.ones(2, 10)) == -math.inf


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shapes differ"):
        sdr_db(torch.zeros(2, 10), torch.zeros(1, 10))
