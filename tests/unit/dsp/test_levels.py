import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from partita.dsp.levels import NullMeter, power_ratio_db, spread_residual


@given(st.integers(1, 5), st.integers(0, 1000))
def test_spread_residual_makes_the_sum_exact(sources, seed):
    generator = torch.Generator().manual_seed(seed)
    mixture = torch.randn(2, 50, generator=generator)
    estimates = torch.randn(sources, 2, 50, generator=generator)
    before = estimates.clone()
    spread = spread_residual(mixture, estimates)
    torch.testing.assert_close(spread.sum(dim=0), mixture)
    assert torch.equal(estimates, before)


def test_null_meter_adds_up_over_blocks():
    mixture = torch.ones(1, 100)
    estimates = torch.full((2, 1, 100), 0.45)
    whole, parts = NullMeter(), NullMeter()
    whole.add(mixture, estimates)
    for start in range(0, 100, 30):
        parts.add(mixture[:, start : start + 30], estimates[..., start : start + 30])
    assert whole.null_depth_db == pytest.approx(-20, abs=1e-3)
    assert parts.null_depth_db == pytest.approx(whole.null_depth_db)


def test_exact_sums_and_silence_have_no_residual():
    meter = NullMeter()
    assert meter.null_depth_db == -math.inf
    meter.add(torch.ones(1, 10), torch.ones(1, 1, 10))
    assert meter.null_depth_db == -math.inf


def test_power_ratio():
    assert power_ratio_db(10.0, 1.0) == pytest.approx(10)
    assert power_ratio_db(1.0, 0.0) == math.inf
