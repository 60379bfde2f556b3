"""Checkpoints of SCNet, with and without masks, of MSST."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from partita.validation import shown
from partita.weights.msst_config import MsstConfig
from partita.weights.msst_family import (
    MsstFamily,
    Shapes,
    axis_size,
    common_settings,
    count_numbers,
    head_of_target,
    plain_values,
    stems_missing,
)

_WHOLES = tuple[int, ...]
_SETTINGS: Mapping[str, tuple[str, Any]] = {
    "nfft": ("fft_samples", int),
    "hop_size": ("hop_samples", int),
    "normalized": ("normalised", bool),
    "band_stride": ("strides", _WHOLES),
    "band_kernel": ("kernels", _WHOLES),
    "conv_depths": ("convolutions", _WHOLES),
    "compress": ("compression", int),
    "conv_kernel": ("conv_kernel", int),
    "num_dplayer": ("dual_layers", int),
    "expand": ("expansion", int),
}
_OTHERS: Mapping[str, Any] = {
    "sources": tuple[str, ...],
    "dims": _WHOLES,
    "band_SR": tuple[float, float, float],
    "win_size": int,
    "audio_channels": int,
}
_SEGMENT_SAMPLES = 485_100  # where the YAML file states none
_DOWN, _UP = "encoder.0.SDlayer.convs.0.weight", "decoder.0.1.convtrs.0.weight"
_DECODERS = r"decoder\.(\d+)\."
_THEIRS = re.compile(r"\.SDlayer(?=\.convs\.)|\.1(?=\.convtrs\.)|\.0\.conv(?=\.\w+$)")


def scnet_name(theirs: str) -> str:
    """Return partita's name of one of SCNet's tensors."""
    if not theirs.startswith(("encoder.", "decoder.")):
        return theirs
    return _THEIRS.sub(lambda found: ".fusion" if found[0] == ".0.conv" else "", theirs)


def _is_scnet(shapes: Shapes) -> bool:
    # With a separate first convolution it is another network, with transformers instead of LSTMs.
    return (
        _DOWN in shapes
        and _UP in shapes
        and "first_conv.weight" not in shapes
        and not _has_masks(shapes)
    )


def _is_masked_scnet(shapes: Shapes) -> bool:
    return _DOWN in shapes and _UP in shapes and _has_masks(shapes)


def _has_masks(shapes: Shapes) -> bool:
    return "mask_layer.0.weight" in shapes and "pos_embed_f" in shapes


def _scnet_missing(config: MsstConfig, shapes: Shapes) -> list[str]:
    del shapes
    said = "model" in config.values
    sizes = [] if said else ["model.nfft", "model.hop_size", "model.band_SR", "model.band_stride"]
    return [*sizes, *stems_missing(config)]


def _scnet_channels(shapes: Shapes) -> int:
    return max(1, axis_size(shapes, _DOWN, 1, 4) // 2)


def _scnet_last(shapes: Shapes) -> str:
    """Return the prefix of the names of the decoder's last convolutions."""
    return f"decoder.{count_numbers(shapes, _DECODERS) - 1}.1.convtrs."


def _scnet_networks(shapes: Shapes) -> int:
    """Return the number of sources of the decoder's last level."""
    outputs = axis_size(shapes, f"{_scnet_last(shapes)}0.weight", 1)
    return max(1, outputs // (2 * _scnet_channels(shapes)))


def _scnet_config(config: MsstConfig, shapes: Shapes) -> dict[str, Any]:
    kinds = {key: kind for key, (_, kind) in _SETTINGS.items()}
    said = plain_values(config, {**kinds, **_OTHERS}, ("model_type", "name"), "SCNet")
    found = {_SETTINGS[key][0]: value for key, value in said.items() if key in kinds}
    levels = range(count_numbers(shapes, r"encoder\.(\d+)\."))
    seen = 2 * _scnet_channels(shapes)
    outputs = (axis_size(shapes, f"encoder.{level}.SDlayer.convs.0.weight", 0) for level in levels)
    dims = said.get("dims", [seen, *outputs])
    shares = said.get("band_SR", [0.175, 0.392, 0.433])
    channels = said.get("audio_channels", seen // 2)
    if not dims or dims[0] != 2 * channels:
        raise config.error(f"model.dims is {shown(dims)}: must begin with {2 * channels}")
    fft_samples = said.get("nfft", 4096)
    if said.get("win_size", fft_samples) != fft_samples:
        raise config.error("model.win_size differs from model.nfft: partita has no such transform")
    return {
        **found,
        **common_settings(
            config, _scnet_networks(shapes), _SEGMENT_SAMPLES, len(said.get("sources", ()))
        ),
        "channels": channels,
        "widths": list(dims[1:]),
        "band_shares": list(shares[:2]),
    }


def _masked_scnet_config(config: MsstConfig, shapes: Shapes) -> dict[str, Any]:
    if head_of_target(config, _scnet_networks(shapes)) is not None:
        raise config.error("training.target_instrument: this network has no parts of single stems")
    return _scnet_config(config, shapes)


def _scnet_tensors(
    state: Mapping[str, Tensor], config: Mapping[str, Any], msst: MsstConfig
) -> dict[str, Tensor]:
    """Rename tensors to partita's names; with a target, only its outputs are kept."""
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    head, seen = head_of_target(msst, _scnet_networks(shapes)), 2 * config["channels"]
    last = _scnet_last(shapes)
    tensors = {}
    for name, tensor in state.items():
        if head is not None and name.startswith(last):
            axis = 0 if name.endswith("bias") else 1
            tensors[scnet_name(name)] = tensor.narrow(axis, head * seen, seen)
        else:
            tensors[scnet_name(name)] = tensor
    return tensors


SCNET = MsstFamily("scnet", "SCNet", _is_scnet, _scnet_missing, _scnet_config, _scnet_tensors)
MASKED_SCNET = MsstFamily(
    "scnet-masked",
    "masked SCNet",
    _is_masked_scnet,
    _scnet_missing,
    _masked_scnet_config,
    _scnet_tensors,
)
