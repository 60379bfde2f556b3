"""MDX23C (TFC-TDF v3) against msst 0.1.0's."""

import pytest
import torch

from msst_files import SMALL_MDX23C
from msst_reference import check_parity, msst_network, noise
from partita.models import create_model

SHAPES = {
    "as configured": {},
    "one block": {"blocks": 1, "bottleneck": 2},
    "batch norm": {"norm": "BatchNorm"},
    "group norm": {"norm": "GroupNorm4", "activation": "elu1.0"},
    "ReLU": {"norm": "none", "activation": "relu"},
    "other scales": {"scale": [4, 2], "subbands": 3},
    "one source": {"sources": ["vocals"]},
    "long frames": {"fft_samples": 768},
}


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_networks(config):
    torch.manual_seed(0)
    ours = create_model("mdx23c", {**SMALL_MDX23C, **config})
    theirs = msst_network(ours)
    samples = ours.config.padded_samples(5000)
    assert ours.config.padded_samples(samples) == samples
    check_parity(ours, theirs, noise(samples), lambda name: name)
