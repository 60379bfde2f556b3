"""Networks of demucs 4.1.0 that diffq 0.2.4 quantised become exactly what it restores."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from partita.weights.demucs_package import model_from_package, read_package

VECTORS = Path(__file__).parent / "vectors"


@pytest.mark.parametrize("case", ["packed", "torch_pack", "unpacked", "uniform"])
def test_quantised_packages(case):
    path = VECTORS / f"diffq_{case}.th"
    expected = load_file(path.with_suffix(".safetensors"))
    found = read_package(path).state
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], tensor), name
    weights = model_from_package(path).state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())
