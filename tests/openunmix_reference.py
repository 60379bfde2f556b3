"""openunmix 1.3.0 as a reference: imported as it is, its networks with weights drawn at random."""

import importlib
import importlib.util
import sys
import types
from pathlib import Path

import pytest
import torch


def import_openunmix():
    """Return the package. It imports torchaudio, of which networks and filters use nothing."""
    if importlib.util.find_spec("openunmix") is None:
        pytest.skip("openunmix is not installed (make test installs it)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torchaudio", types.ModuleType("torchaudio"))
        for name in ("model", "filtering", "utils"):
            importlib.import_module(f"openunmix.{name}")
    return sys.modules["openunmix"]


def randomise(module, seed=0):
    """Draw means, scales and all of the normalisations too, which begin as zeros and ones."""
    torch.manual_seed(seed)
    for name, tensor in module.state_dict().items():
        *_, owner, kind = name.split(".") if "." in name else ("", name)
        if kind.endswith(("mean", "bias")):
            tensor.uniform_(-0.5, 0.5)
        elif kind.endswith(("scale", "var")) or (owner.startswith("bn") and kind == "weight"):
            tensor.uniform_(0.5, 2.0)


def random_networks(openunmix, sources, **sizes):
    """Return one `OpenUnmix` a source, in evaluation mode."""
    torch.manual_seed(0)
    networks = {source: openunmix.model.OpenUnmix(**sizes).eval() for source in sources}
    for seed, network in enumerate(networks.values()):
        randomise(network, seed)
    return networks


def save_networks(networks, folder: Path):
    """Write files as openunmix's authors publish them; returns their paths."""
    paths = {source: folder / f"{source}.pth" for source in networks}
    for source, network in networks.items():
        torch.save(network.state_dict(), paths[source])
    return paths
