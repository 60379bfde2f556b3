"""Conv-TasNet against demucs 2.0.3 itself, with weights that the loader has brought over."""

import pytest
import torch

from demucs_reference import import_demucs
from partita.models import create_model
from partita.weights.conv_tasnet import tensors_from_files

SOURCES = ["drums", "bass", "vocals"]
#: Ours → theirs.
LETTERS = {
    "filters": "N",
    "filter_samples": "L",
    "bottleneck": "B",
    "hidden": "H",
    "kernel": "P",
    "blocks": "X",
    "repeats": "R",
    "norm": "norm_type",
    "mask": "mask_nonlinear",
    "causal": "causal",
    "channels": "audio_channels",
}
SMALL = {
    "filters": 12,
    "filter_samples": 10,
    "bottleneck": 7,
    "hidden": 9,
    "kernel": 3,
    "blocks": 3,
    "repeats": 2,
}
SIZES = [
    {},
    {"channels": 1},
    {"filter_samples": 20, "blocks": 5, "repeats": 1},
    {"filter_samples": 7},
    {"filter_samples": 2, "kernel": 5},
    {"mask": "softmax"},
]


@pytest.fixture(scope="module")
def tasnet():
    return import_demucs("tasnet").tasnet


def random_network(tasnet, **config):
    """Return their network; scales and shifts of normalisations, which begin alike, drawn too."""
    torch.manual_seed(0)
    network = tasnet.ConvTasNet(SOURCES, **{LETTERS[key]: value for key, value in config.items()})
    for name, tensor in network.state_dict().items():
        kind = name.rpartition(".")[2]
        if kind in ("beta", "bias", "running_mean"):
            tensor.uniform_(-0.5, 0.5)
        elif kind in ("gamma", "running_var") or (kind == "weight" and tensor.ndim == 1):
            tensor.uniform_(0.2, 1.5)
    return network.eval()


@pytest.fixture
def pair(tasnet, tmp_path):
    """Make their network and our model with the same weights."""

    def make(**config):
        values = {**SMALL, **config}
        theirs = random_network(tasnet, **values)
        path = tmp_path / "tasnet.th"
        torch.save(theirs.state_dict(), path)
        ours = create_model("conv-tasnet", {"sources": SOURCES, **values}).eval()
        ours.load_state_dict(tensors_from_files({"all": path}))
        return theirs, ours

    return make


def whole_frames(ours, mixture):
    """Return a mixture with zeros up to a whole number of frames: theirs leaves the rest out."""
    length, hop = ours.config.filter_samples, ours.config.hop_samples
    return torch.nn.functional.pad(mixture, (0, (length - mixture.shape[-1]) % hop))


def relative_error(found, expected):
    assert float(expected.abs().max()) > 0.01
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("norm", ["gLN", "cLN", "BN"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_estimates(pair, sizes, norm, causal, training):
    theirs, ours = pair(norm=norm, causal=causal, **sizes)
    generator = torch.Generator().manual_seed(1)
    mixture = 0.3 * torch.randn(3, ours.channels, 1003, generator=generator)
    before = mixture.clone()
    with torch.no_grad():
        found = ours.train(training)(mixture)
        expected = theirs.train(training)(whole_frames(ours, mixture))[..., :1003]
    assert torch.equal(mixture, before)
    assert found.shape == expected.shape
    assert relative_error(found, expected) <= 1e-5
    if norm == "BN":  # what training has made of the running statistics
        theirs_after = [t for n, t in theirs.state_dict().items() if "running" in n]
        ours_after = [t for n, t in ours.state_dict().items() if "running" in n]
        for one, other in zip(ours_after, theirs_after, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("norm", ["gLN", "cLN", "BN"])
def test_gradients(pair, norm, tmp_path):
    """Those of their weights pass through the loader as weights do."""
    theirs, ours = pair(norm=norm)
    mixture = 0.3 * torch.randn(2, 2, 500, generator=torch.Generator().manual_seed(2))
    seen = [mixture.double().requires_grad_() for _ in range(2)]
    for network, each in zip((ours.double(), theirs.double()), seen, strict=True):
        network(each).square().sum().backward()
    assert relative_error(*(each.grad for each in seen)) <= 1e-6
    path = tmp_path / "gradients.th"
    torch.save({name: parameter.grad for name, parameter in theirs.named_parameters()}, path)
    expected = tensors_from_files({"all": path})
    found = dict(ours.named_parameters())
    assert found.keys() == expected.keys()
    for name, parameter in found.items():
        assert relative_error(parameter.grad, expected[name]) <= 1e-6, name
