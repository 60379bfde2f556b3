import math

import pytest
import torch

from partita.errors import UnknownNameError
from partita.evaluation.oracles import ORACLES, get_oracle
from partita.evaluation.sdr import sdr_db


@pytest.fixture(scope="module")
def references(stems):
    return {name: torch.from_numpy(samples) for name, samples in stems.items()}


@pytest.fixture(scope="module")
def mixture(references):
    return sum(references.values())


@pytest.mark.parametrize("name", ORACLES)
def test_shapes_and_inputs(name, references, mixture):
    before = mixture.clone()
    estimates = get_oracle(name)(mixture, references)
    assert list(estimates) == list(references)
    for target, estimate in estimates.items():
        assert estimate.shape == references[target].shape
        assert estimate.isfinite().all()
    assert torch.equal(mixture, before)


def test_the_mixture_as_estimate_scores_its_closed_form(references, mixture):
    estimates = ORACLES["mixture"](mixture, references)
    for name, reference in references.items():
        rest = (mixture.double() - reference.double()).square().sum()
        expected = 10 * math.log10(reference.double().square().sum() / rest)
        assert sdr_db(reference, estimates[name]) == pytest.approx(expected, abs=1e-9)


def test_ceilings_are_far_above_the_floor(references, mixture):
    for name in ("ibm", "irm1", "irm2", "mwf"):
        estimates = ORACLES[name](mixture, references)
        for target, reference in references.items():
            floor, ceiling = sdr_db(reference, mixture), sdr_db(reference, estimates[target])
            assert ceiling > floor + 6, (name, target)


@pytest.mark.parametrize("name", ["irm1", "irm2", "mwf"])
def test_soft_oracles_add_up_to_the_mixture(name, references, mixture):
    total = sum(ORACLES[name](mixture, references).values())
    assert (total - mixture).norm() < 1e-3 * mixture.norm()


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_any_channel_count(channels):
    generator = torch.Generator().manual_seed(0)
    references = {name: torch.randn(channels, 9000, generator=generator) for name in "abc"}
    references["b"][:] = references["b"][:1]  # the same in all channels: covariances of rank one
    mixture = sum(references.values())
    for oracle in ORACLES.values():
        for estimate in oracle(mixture, references).values():
            assert estimate.isfinite().all()


def test_silence_in_silence_out():
    references = {"a": torch.zeros(2, 5000), "b": torch.zeros(2, 5000)}
    for oracle in ORACLES.values():
        assert not any(e.any() for e in oracle(torch.zeros(2, 5000), references).values())


def test_unknown_oracles():
    with pytest.raises(UnknownNameError, match="unknown oracle 'irm'; did you mean"):
        get_oracle("irm")
