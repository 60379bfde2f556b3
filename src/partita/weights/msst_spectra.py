"""SCNet's and MDX23C's checkpoints of MSST: networks that give complex spectra."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from partita.weights.msst_config import MsstConfig, shown
from partita.weights.msst_family import (
    MsstFamily,
    Shapes,
    count_numbers,
    head_of_target,
    plain_values,
    stem_settings,
    stems_missing,
)

_NUMBER, _LIST = (int, float), (list, tuple)
_SCNET_SETTINGS: Mapping[str, tuple[str, type | tuple[type, ...]]] = {
    "nfft": ("fft_samples", int),
    "hop_size": ("hop_samples", int),
    "normalized": ("normalised", bool),
    "band_stride": ("strides", _LIST),
    "band_kernel": ("kernels", _LIST),
    "conv_depths": ("convolutions", _LIST),
    "compress": ("compression", int),
    "conv_kernel": ("conv_kernel", int),
    "num_dplayer": ("dual_layers", int),
    "expand": ("expansion", int),
}
_SCNET_OTHERS: Mapping[str, type | tuple[type, ...]] = {
    "sources": _LIST,
    "dims": _LIST,
    "band_SR": _LIST,
    "win_size": int,
    "audio_channels": int,
}
_SCNET_SEGMENT, _MDX23C_SEGMENT = 485_100, 261_120
_DOWN, _UP = "encoder.0.SDlayer.convs.0.weight", "decoder.0.1.convtrs.0.weight"
_MDX23C_SETTINGS: Mapping[str, tuple[str, type | tuple[type, ...]]] = {
    "act": ("activation", str),
    "bottleneck_factor": ("bottleneck", int),
    "growth": ("growth", int),
    "norm": ("norm", str),
    "num_blocks_per_scale": ("blocks", int),
    "num_channels": ("width", int),
    "num_scales": ("depth", int),
    "num_subbands": ("subbands", int),
    "scale": ("scale", _LIST),
}
_BLOCK = "encoder_blocks.0.tfc_tdf.blocks"
_FIRST, _LAST = "first_conv.weight", "final_conv.2.weight"
_DECODERS = r"decoder\.(\d+)\."
_THEIRS = re.compile(r"\.SDlayer(?=\.convs\.)|\.1(?=\.convtrs\.)|\.0\.conv(?=\.\w+$)")


def scnet_name(theirs: str) -> str:
    """Return partita's name of one of SCNet's tensors."""
    if not theirs.startswith(("encoder.", "decoder.")):
        return theirs
    return _THEIRS.sub(lambda found: ".fusion" if found[0] == ".0.conv" else "", theirs)


def _size(shapes: Shapes, name: str, axis: int, default: int = 1) -> int:
    shape = shapes.get(name, ())
    return shape[axis] if axis < len(shape) and shape[axis] > 0 else default


def _is_scnet(shapes: Shapes) -> bool:
    # One whose first convolution stands alone has transformers in the place of the LSTMs.
    return _DOWN in shapes and _UP in shapes and _FIRST not in shapes and not _has_masks(shapes)


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
    return max(1, _size(shapes, _DOWN, 1, 4) // 2)


def _scnet_last(shapes: Shapes) -> str:
    """Return how the names of the decoder's last convolutions begin."""
    return f"decoder.{count_numbers(shapes, _DECODERS) - 1}.1.convtrs."


def _scnet_networks(shapes: Shapes) -> int:
    """Return how many sources the last level of the decoder gives."""
    outputs = _size(shapes, f"{_scnet_last(shapes)}0.weight", 1)
    return max(1, outputs // (2 * _scnet_channels(shapes)))


def _scnet_config(config: MsstConfig, shapes: Shapes) -> dict[str, Any]:
    kinds = {key: kind for key, (_, kind) in _SCNET_SETTINGS.items()}
    said = plain_values(config, {**kinds, **_SCNET_OTHERS}, ("model_type", "name"), "SCNet")
    found = {_SCNET_SETTINGS[key][0]: value for key, value in said.items() if key in kinds}
    levels = range(count_numbers(shapes, r"encoder\.(\d+)\."))
    seen = 2 * _scnet_channels(shapes)
    outputs = (_size(shapes, f"encoder.{level}.SDlayer.convs.0.weight", 0) for level in levels)
    dims = _numbers(config, "dims", said.get("dims", [seen, *outputs]), int)
    shares = _numbers(config, "band_SR", said.get("band_SR", [0.175, 0.392, 0.433]), _NUMBER)
    channels = said.get("audio_channels", seen // 2)
    if not dims or dims[0] != 2 * channels:
        raise config.error(f"model.dims is {shown(dims)}: must begin with {2 * channels}")
    if len(shares) != 3:
        raise config.error(f"model.band_SR is {shown(shares)}: must be three numbers")
    fft_samples = said.get("nfft", 4096)
    if said.get("win_size", fft_samples) != fft_samples:
        raise config.error("model.win_size differs from model.nfft: partita has no such transform")
    return {
        **found,
        **_common(config, _scnet_networks(shapes), _SCNET_SEGMENT, len(said.get("sources", ()))),
        "channels": channels,
        "widths": list(dims[1:]),
        "band_shares": list(shares[:2]),
    }


def _numbers(
    config: MsstConfig, key: str, found: Sequence[Any], kind: type | tuple[type, ...]
) -> Sequence[Any]:
    if not all(isinstance(each, kind) and not isinstance(each, bool) for each in found):
        raise config.error(f"model.{key} is {shown(found)}")
    return found


def _common(
    config: MsstConfig, networks: int, segment: int, said: int | None = None
) -> dict[str, Any]:
    """Return stems, rate, level and window."""
    length, shared = config.window(segment)
    return {
        **stem_settings(config, networks, said),
        "sample_rate": config.sample_rate,
        "normalise_level": config.section("inference").get("normalize") is True,
        "segment_s": length / config.sample_rate,
        "overlap": shared / length,
    }


def _masked_scnet_config(config: MsstConfig, shapes: Shapes) -> dict[str, Any]:
    if head_of_target(config, _scnet_networks(shapes)) is not None:
        raise config.error("training.target_instrument: this network has no parts of single stems")
    return _scnet_config(config, shapes)


def _scnet_tensors(
    state: Mapping[str, Tensor], config: Mapping[str, Any], msst: MsstConfig
) -> dict[str, Tensor]:
    """Give tensors partita's names; of several stems, those that are not the target's go."""
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


def _is_mdx23c(shapes: Shapes) -> bool:
    return _FIRST in shapes and _LAST in shapes and f"{_BLOCK}.0.tdf.2.weight" in shapes


def _mdx23c_missing(config: MsstConfig, shapes: Shapes) -> list[str]:
    del shapes
    needed = {"audio": ["n_fft", "hop_length"], "model": ["norm", "act"]}
    return [
        *(
            f"{section}.{key}"
            for section, keys in needed.items()
            for key in keys
            if config.section(section).get(key) is None
        ),
        *stems_missing(config),
    ]


def _mdx23c_networks(shapes: Shapes) -> int:
    return max(1, _size(shapes, _LAST, 0) // _size(shapes, _FIRST, 1))


def _mdx23c_of_shapes(shapes: Shapes, channels: int) -> dict[str, Any]:
    """Return the settings that names and shapes leave no doubt about, by our keys."""
    down = shapes.get("encoder_blocks.0.downscale.conv.2.weight", ())
    narrow, places = (_size(shapes, f"{_BLOCK}.0.tdf.2.weight", axis) for axis in (0, 1))
    found: dict[str, Any] = {
        "width": _size(shapes, _FIRST, 0),
        "subbands": max(1, _size(shapes, _FIRST, 1) // (2 * channels)),
        "depth": count_numbers(shapes, r"encoder_blocks\.(\d+)\."),
        "blocks": count_numbers(shapes, rf"{re.escape(_BLOCK)}\.(\d+)\."),
        "bottleneck": places // narrow,
    }
    if len(down) == 4:
        found |= {"growth": down[0] - down[1], "scale": list(down[2:])}
    return found


def _mdx23c_config(config: MsstConfig, shapes: Shapes) -> dict[str, Any]:
    kinds = {key: kind for key, (_, kind) in _MDX23C_SETTINGS.items()}
    said = plain_values(config, kinds, ("model_type", "name"), "MDX23C")
    channels = config.whole("audio", "num_channels") or 2
    found = _mdx23c_of_shapes(shapes, channels)
    found |= {_MDX23C_SETTINGS[key][0]: value for key, value in said.items()}
    places = _size(shapes, f"{_BLOCK}.0.tdf.2.weight", 1)
    return {
        **found,
        **_common(config, _mdx23c_networks(shapes), _MDX23C_SEGMENT),
        "channels": channels,
        "fft_samples": config.whole("audio", "n_fft"),
        "hop_samples": config.whole("audio", "hop_length"),
        "bins": config.whole("audio", "dim_f") or places * found["subbands"],
    }


def _mdx23c_tensors(
    state: Mapping[str, Tensor], config: Mapping[str, Any], msst: MsstConfig
) -> dict[str, Tensor]:
    """Return the tensors, whose names are partita's; see `_scnet_tensors`."""
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    head = head_of_target(msst, _mdx23c_networks(shapes))
    tensors = dict(state)
    if head is not None:
        outputs = 2 * config["channels"] * config["subbands"]
        tensors[_LAST] = state[_LAST].narrow(0, head * outputs, outputs)
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
MDX23C = MsstFamily(
    "mdx23c", "MDX23C", _is_mdx23c, _mdx23c_missing, _mdx23c_config, _mdx23c_tensors
)
