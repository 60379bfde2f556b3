"""msst 0.1.0 as a reference: its networks, imported as they are, with weights of ours."""

import importlib
import importlib.util
import json
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from msst_files import MDX23C_KEYS, SCNET_KEYS, msst_config, msst_state

#: What librosa 0.11.0's filters let pass: scripts/freeze_mel_bands.py.
BANDS = json.loads((Path(__file__).parent / "parity" / "vectors" / "mel_bands.json").read_text())
ROFORMERS = {"bs-roformer": "BSRoformer", "mel-band-roformer": "MelBandRoformer"}
#: Their names → ours.
_AUDIO = {"n_fft": "fft_samples", "hop_length": "hop_samples", "dim_f": "bins"}


def import_msst(module):
    """Return one of its modules, such as ``models.scnet.scnet``."""
    for name in ("msst", "ml_collections"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed (make test installs it)")
    return importlib.import_module(f"msst.{module}")


def librosas_mel(*, sr, n_fft, n_mels):
    """Return filters that pass what librosa's do; all gains are one."""
    filters = np.zeros((n_mels, n_fft // 2 + 1), np.float32)
    for row, (low, high) in zip(filters, BANDS[f"{sr} {n_fft} {n_mels}"], strict=True):
        row[low : high + 1] = 1
    return filters


def use_librosas_mel(patch):
    """Make a pytest.MonkeyPatch stand in for librosa, of which RoFormers need one function."""
    librosa = types.ModuleType("librosa")
    librosa.filters = types.ModuleType("librosa.filters")
    librosa.filters.mel = librosas_mel
    patch.setitem(sys.modules, "librosa", librosa)
    patch.setitem(sys.modules, "librosa.filters", librosa.filters)


def roformer_settings(ours):
    """Return what the references' classes take for a RoFormer of ours."""
    settings = msst_config(ours)["model"]
    del settings["use_shared_bias"]
    settings["attn_dropout"] = settings["ff_dropout"] = 0.0
    if "num_bands" in settings:
        settings.update(sample_rate=44100, match_input_audio_length=True)
    return settings


def msst_network(ours):
    """Return msst's network with the sizes and weights of ours."""
    name = ours.registry_name
    if name in ROFORMERS:
        with pytest.MonkeyPatch.context() as patch:
            use_librosas_mel(patch)
            reference = import_msst("models.bs_roformer")
            theirs = getattr(reference, ROFORMERS[name])(**roformer_settings(ours))
    elif name == "mdx23c":
        settings = {theirs: getattr(ours.config, o) for theirs, o in (_AUDIO | MDX23C_KEYS).items()}
        config = SimpleNamespace(
            audio=SimpleNamespace(**{name: settings[name] for name in _AUDIO}, num_channels=2),
            model=SimpleNamespace(**{name: settings[name] for name in MDX23C_KEYS}),
            training=SimpleNamespace(instruments=ours.sources, target_instrument=None),
        )
        theirs = import_msst("models.mdx23c_tfc_tdf_v3").TFC_TDF_net(config)
    else:
        low, middle = ours.config.band_shares
        theirs = import_msst(f"models.scnet.{name.replace('-', '_')}").SCNet(
            **{name: getattr(ours.config, own) for name, own in SCNET_KEYS.items()},
            sources=list(ours.sources),
            dims=[2 * ours.channels, *ours.config.widths],
            band_SR=[low, middle, 1 - low - middle],
        )
    theirs.load_state_dict(msst_state(ours))
    return theirs


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
