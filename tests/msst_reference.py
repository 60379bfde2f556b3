"""msst 0.1.0 as a reference: its networks, imported as they are."""

import importlib
import importlib.util

import pytest
import torch


def import_msst(module):
    """Return one of its modules, such as ``models.scnet.scnet``."""
    for name in ("msst", "ml_collections"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed (make test installs it)")
    return importlib.import_module(f"msst.{module}")


def check_parity(ours, theirs, mixture, ours_of):
    """Check estimates and the gradients of all weights; `ours_of` maps their names to ours."""
    ours.zero_grad()
    theirs.zero_grad()
    found, expected = ours(mixture), theirs(mixture)
    assert found.shape == expected.shape
    assert _difference(found, expected) <= 1e-5 * _largest(expected)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2))
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    gradients = {name: parameter.grad for name, parameter in ours.named_parameters()}
    true = {ours_of(name): parameter.grad for name, parameter in theirs.named_parameters()}
    assert gradients.keys() == true.keys()
    rounding = 1e-6 * max(map(_largest, true.values()))  # where terms of that size cancel
    for name, gradient in gradients.items():
        assert true[name].any(), name
        assert _difference(gradient, true[name]) <= 1e-4 * _largest(true[name]) + rounding, name


def _difference(found, expected):
    return _largest(found.detach() - expected.detach())


def _largest(x):
    return float(x.detach().abs().max())


def noise(samples, batch=2):
    return 0.3 * torch.randn(batch, 2, samples, generator=torch.Generator().manual_seed(1))
