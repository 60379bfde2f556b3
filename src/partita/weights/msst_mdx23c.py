"""Checkpoints of MDX23C (TFC-TDF v3) of MSST."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

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

_SEGMENT_SAMPLES = 261_120  # where the YAML file states none
_SETTINGS: Mapping[str, tuple[str, Any]] = {
    "act": ("activation", str),
    "bottleneck_factor": ("bottleneck", int),
    "growth": ("growth", int),
    "norm": ("norm", str),
    "num_blocks_per_scale": ("blocks", int),
    "num_channels": ("width", int),
    "num_scales": ("depth", int),
    "num_subbands": ("subbands", int),
    "scale": ("scale", tuple[int, ...]),
}
_BLOCK = "encoder_blocks.0.tfc_tdf.blocks"
_FIRST, _LAST = "first_conv.weight", "final_conv.2.weight"


def _is_mdx23c(shapes: Shapes) -> bool:
    return _FIRST in shapes and _LAST in shapes and f"{_BLOCK}.0.tdf.2.weight" in shapes


def _missing(config: MsstConfig, shapes: Shapes) -> list[str]:
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


def _networks(shapes: Shapes) -> int:
    return max(1, axis_size(shapes, _LAST, 0) // axis_size(shapes, _FIRST, 1))


def _settings_from_shapes(shapes: Shapes, channels: int) -> dict[str, Any]:
    """Return the settings that names and shapes determine, by our keys."""
    down = shapes.get("encoder_blocks.0.downscale.conv.2.weight", ())
    narrow, places = (axis_size(shapes, f"{_BLOCK}.0.tdf.2.weight", axis) for axis in (0, 1))
    found: dict[str, Any] = {
        "width": axis_size(shapes, _FIRST, 0),
        "subbands": max(1, axis_size(shapes, _FIRST, 1) // (2 * channels)),
        "depth": count_numbers(shapes, r"encoder_blocks\.(\d+)\."),
        "blocks": count_numbers(shapes, rf"{re.escape(_BLOCK)}\.(\d+)\."),
        "bottleneck": places // narrow,
    }
    if len(down) == 4:
        found |= {"growth": down[0] - down[1], "scale": list(down[2:])}
    return found


def _config(config: MsstConfig, shapes: Shapes) -> dict[str, Any]:
    kinds = {key: kind for key, (_, kind) in _SETTINGS.items()}
    said = plain_values(config, kinds, ("model_type", "name"), "MDX23C")
    channels = config.whole("audio", "num_channels") or 2
    found = _settings_from_shapes(shapes, channels)
    found |= {_SETTINGS[key][0]: value for key, value in said.items()}
    places = axis_size(shapes, f"{_BLOCK}.0.tdf.2.weight", 1)
    return {
        **found,
        **common_settings(config, _networks(shapes), _SEGMENT_SAMPLES),
        "channels": channels,
        "fft_samples": config.whole("audio", "n_fft"),
        "hop_samples": config.whole("audio", "hop_length"),
        "bins": config.whole("audio", "dim_f") or places * found["subbands"],
    }


def _tensors(
    state: Mapping[str, Tensor], config: Mapping[str, Any], msst: MsstConfig
) -> dict[str, Tensor]:
    """Return the tensors, whose names are partita's; with a target, only its outputs."""
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    head = head_of_target(msst, _networks(shapes))
    tensors = dict(state)
    if head is not None:
        outputs = 2 * config["channels"] * config["subbands"]
        tensors[_LAST] = state[_LAST].narrow(0, head * outputs, outputs)
    return tensors


MDX23C = MsstFamily("mdx23c", "MDX23C", _is_mdx23c, _missing, _config, _tensors)
