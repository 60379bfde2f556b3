"""Reader of Conv-TasNet's weights as published by demucs: one state dict for all sources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from partita.weights.state_dicts import corrupt_if_unreadable, read_state_dict

_NETWORK = "separator.network"
_BLOCK = re.compile(rf"{_NETWORK}\.2\.(\d+)\.(\d+)\.net\.(\d+(?:\.net\.\d+)?)\.(\w+)$")
_OUTSIDE_BLOCKS = {
    "encoder.conv1d_U.weight": "encoder.weight",
    f"{_NETWORK}.0.gamma": "norm.weight",
    f"{_NETWORK}.0.beta": "norm.bias",
    f"{_NETWORK}.1.weight": "bottleneck.weight",
    f"{_NETWORK}.3.weight": "scores.weight",
}
_DECODER = "decoder.basis_signals.weight"
#: The layer at each position of a block; in causal networks, a layer without weights follows the
#: depthwise convolution.
_PARTS = {"0": "expand", "1": "prelu1", "2": "norm1"}
_LAST_PARTS = ("depthwise", "prelu2", "norm2", "project")
_KINDS = {"gamma": "weight", "beta": "bias"}


def tensors_from_files(files: Mapping[str, Path]) -> dict[str, Tensor]:
    """Read the file and return its tensors with partita's names and shapes.

    Nothing but tensors is unpickled. The caller checks that they are complete; unknown tensors keep
    their names.

    Raises
    ------
    WeightsCorruptError
        The file is not a dict of tensors.
    """
    (path,) = files.values()
    state = read_state_dict(path)
    with corrupt_if_unreadable(path, "not Conv-TasNet's weights"):
        return _folded(_renamed(state))


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {match[0]: match for match in map(_BLOCK.match, state) if match}
    blocks = len({match[2] for match in found.values()})
    last = _last_parts({match[3] for match in found.values()})
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name in found:
            repeat, block, place, kind = found[name].groups()
            part = _PARTS.get(place) or last.get(place, place)
            number = int(repeat) * blocks + int(block)
            tensors[f"blocks.{number}.{part}.{_KINDS.get(kind, kind)}"] = _flat(tensor, kind)
        elif name == _DECODER and tensor.ndim == 2:
            tensors["decoder.weight"] = tensor.mT  # [C * L, N] -> [N, C * L], see `_folded`
        else:
            tensors[_OUTSIDE_BLOCKS.get(name, name)] = _flat(tensor, name.rpartition(".")[2])
    return tensors


def _flat(tensor: Tensor, kind: str) -> Tensor:
    """Reshape scales and shifts of normalisations from ``[1, channels, 1]`` to ``[channels]``."""
    if kind in _KINDS and tensor.ndim == 3 and tensor.shape[::2] == (1, 1):
        return tensor[0, :, 0]  # never a copy, whatever size the file declares
    return tensor


def _last_parts(places: set[str]) -> dict[str, str]:
    """Name the layers of the depthwise separable convolution by their order."""
    inner = sorted((p for p in places if p.startswith("3.net.")), key=lambda p: int(p[6:]))
    return dict(zip(inner, _LAST_PARTS, strict=False))


def _folded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Split the decoder's samples into channels: ``[N, C * L]`` becomes ``[N, C, L]``."""
    encoder, decoder = tensors.get("encoder.weight"), tensors.get("decoder.weight")
    if encoder is not None and decoder is not None and encoder.ndim == 3:
        channels = encoder.shape[1]
        if decoder.shape[1] % channels == 0:
            shape = (len(decoder), channels, -1)
            tensors["decoder.weight"] = decoder.reshape(shape)
    return tensors
