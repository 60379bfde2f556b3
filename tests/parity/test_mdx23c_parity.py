"""MDX23C (TFC-TDF v3) against msst 0.1.0's."""

from types import SimpleNamespace

import pytest
import torch

from msst_files import MDX23C_KEYS, SMALL_MDX23C
from msst_reference import check_parity, import_msst, noise
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
#: Their names → ours.
AUDIO = {"n_fft": "fft_samples", "hop_length": "hop_samples", "dim_f": "bins"}


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_networks(config):
    reference = import_msst("models.mdx23c_tfc_tdf_v3")
    torch.manual_seed(0)
    ours = create_model("mdx23c", {**SMALL_MDX23C, **config})
    settings = {name: getattr(ours.config, own) for name, own in (AUDIO | MDX23C_KEYS).items()}
    theirs = reference.TFC_TDF_net(
        SimpleNamespace(
            audio=SimpleNamespace(**{name: settings[name] for name in AUDIO}, num_channels=2),
            model=SimpleNamespace(**{name: settings[name] for name in MDX23C_KEYS}),
            training=SimpleNamespace(instruments=ours.sources, target_instrument=None),
        )
    )
    theirs.load_state_dict(ours.state_dict())  # of the same names
    samples = ours.config.padded_samples(5000)
    assert ours.config.padded_samples(samples) == samples
    check_parity(ours, theirs, noise(samples), lambda name: name)
