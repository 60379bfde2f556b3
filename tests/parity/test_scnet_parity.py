"""SCNet against msst 0.1.0's, with and without masks."""

import pytest
import torch

from msst_reference import check_parity, msst_network, noise
from partita.models import create_model
from partita.weights.msst_scnet import scnet_name

SMALL = {
    "sources": ["drums", "bass", "vocals"],
    "fft_samples": 512,
    "hop_samples": 128,
    "widths": [8, 12],
    "dual_layers": 2,
}
SHAPES = {
    "as published": {"widths": [8, 12, 16]},
    "XL": {"widths": [8, 12, 16], "band_shares": [0.23, 0.37], "dual_layers": 4},
    "other bands": {"band_shares": [0.3, 0.3], "strides": [1, 3, 5], "kernels": [5, 3, 5]},
    "other modules": {"convolutions": [1, 0, 4], "conv_kernel": 5, "compression": 2},
    "wider LSTMs": {"expansion": 2},
    "not normalised": {"normalised": False},
    "no LSTMs": {"dual_layers": 0},
    "one source": {"sources": ["vocals"]},
}


@pytest.mark.filterwarnings("ignore:A window was not provided")  # theirs has none
@pytest.mark.parametrize("kind", ["scnet", "scnet_masked"])
@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_networks(kind, config):
    torch.manual_seed(0)
    ours = create_model(kind.replace("_", "-"), {**SMALL, **config})
    theirs = msst_network(ours)
    for samples in (5000, 4992, 5120):  # theirs pads whole hops by one or two more
        check_parity(ours, theirs, noise(samples), scnet_name)
