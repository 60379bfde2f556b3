"""Checkpoints of BS-RoFormer and Mel-Band RoFormer, of MSST and of `bs-roformer`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from partita.weights.msst_config import MsstConfig
from partita.weights.msst_family import (
    MsstFamily,
    Shapes,
    count_numbers,
    head_of_target,
    plain_values,
    stem_settings,
    stems_missing,
)

_Value = TypeVar("_Value")
#: MSST's settings → ours, and their types.
_SETTINGS: Mapping[str, tuple[str, Any]] = {
    "dim": ("features", int),
    "depth": ("layers", int),
    "time_transformer_depth": ("time_depth", int),
    "freq_transformer_depth": ("frequency_depth", int),
    "linear_transformer_depth": ("linear_depth", int),
    "heads": ("heads", int),
    "dim_head": ("head_features", int),
    "attn_dropout": ("attention_dropout", float),
    "ff_dropout": ("dropout", float),
    "stft_n_fft": ("fft_samples", int),
    "stft_hop_length": ("hop_samples", int),
    "stft_win_length": ("window_samples", int),
    "stft_normalized": ("normalised", bool),
    "zero_dc": ("zero_dc", bool),
    "mask_estimator_depth": ("mask_layers", int),
    "mlp_expansion_factor": ("mask_expansion", int),
    "skip_connection": ("skip_connections", bool),
    "use_shared_bias": ("shared_bias", bool),
}
#: Defaults of the reference.
_DEFAULTS: Mapping[str, Any] = {
    "time_depth": 2,
    "frequency_depth": 2,
    "linear_depth": 0,
    "heads": 8,
    "head_features": 64,
    "fft_samples": 2048,
    "hop_samples": 512,
    "mask_expansion": 4,
}
#: Settings of training and speed, and those that are read elsewhere.
_IGNORED = (
    *("flash_attn", "linear_flash_attn", "sage_attention", "sage_attention_mode"),
    *("use_torch_checkpoint", "attention_layout", "debug", "model_type", "name"),
    *("dim_freqs_in", "match_input_audio_length", "multi_stft_resolution_loss_weight"),
    *("multi_stft_resolutions_window_sizes", "multi_stft_hop_size", "multi_stft_normalized"),
    *("multi_stft_window_fn", "stft_window_fn", "num_stems", "mc_hyper_conn_sinkhorn_iters"),
)
_DEFAULT_SEGMENT = 352_800
_QKV = "layers.0.{place}.layers.0.0.to_qkv.weight"
_POSITIONS = re.compile(
    r"layers\.\d+\.(\d+)\.layers\.\d+\.0\.(?:rotary_embed|pope_embed)\.(freqs|inv_freqs|bias)$"
)
_BIASES = {"linear_62_bias_0": "qkv_bias", "linear_64_bias_0": "out_bias"}
_COPY = re.compile(r"layers\.\d+\.\d+\.layers\.\d+\.0\.(to_qkv|to_out\.0)\.bias$")
#: `bs-roformer` wraps each layer in a module, and its Mel-Band RoFormer leaves the first of three
#: positions empty without linear attention.
_BRANCH = re.compile(r"(layers\.\d+\.\d+\.layers\.\d+\.\d+)\.branch\.")
_PLACE = re.compile(r"(layers\.\d+\.)([12])(\.)")
_ESTIMATOR = re.compile(r"mask_estimators\.(\d+)\.(.*)$")


def _is_roformer(shapes: Shapes) -> bool:
    has_bands = "band_split.to_features.0.0.gamma" in shapes
    return has_bands and "mask_estimators.0.to_freqs.0.0.0.weight" in shapes


def _is_bs(shapes: Shapes) -> bool:
    return _is_roformer(shapes) and "final_norm.gamma" in shapes


def _is_mel(shapes: Shapes) -> bool:
    return _is_roformer(shapes) and "final_norm.gamma" not in shapes


def _missing(config: MsstConfig, shapes: Shapes) -> list[str]:
    del shapes
    hop = [] if "model" in config.values else ["model.stft_hop_length"]
    return [*hop, *stems_missing(config)]


def _msst_names(values: Mapping[str, _Value]) -> dict[str, _Value]:
    """Rename tensors from `bs-roformer`'s names to MSST's."""
    named = {_BRANCH.sub(r"\1.", name): value for name, value in values.items()}
    if any(name.startswith("layers.0.0.") for name in named):
        return named
    return {
        _PLACE.sub(lambda match: f"{match[1]}{int(match[2]) - 1}{match[3]}", name, count=1): value
        for name, value in named.items()
    }


def _of_shapes(shapes: Shapes) -> dict[str, Any]:
    """Return the settings that names and shapes determine, by our keys."""
    shapes = _msst_names(shapes)
    places = count_numbers(shapes, r"layers\.0\.(\d+)\.layers\.")
    time = places - 2
    found: dict[str, Any] = {
        "layers": count_numbers(shapes, r"layers\.(\d+)\."),
        "time_depth": count_numbers(shapes, rf"layers\.0\.{time}\.layers\.(\d+)\."),
        "frequency_depth": count_numbers(shapes, rf"layers\.0\.{time + 1}\.layers\.(\d+)\."),
        "linear_depth": count_numbers(shapes, r"layers\.0\.0\.layers\.(\d+)\.")
        if places == 3
        else 0,
    }
    qkv = shapes.get(_QKV.format(place=time), ())
    gates = shapes.get(_QKV.format(place=time).replace("to_qkv", "to_gates"), ())
    if len(qkv) == 2 and len(gates) == 2 and gates[0] > 0:
        found["features"], found["heads"] = qkv[1], gates[0]
        found["head_features"] = qkv[0] // (3 * gates[0])
    return {**found, **_masks_of(shapes)}


def _masks_of(shapes: Shapes) -> dict[str, Any]:
    """Return the settings of the mask estimators: number and width of their dense layers."""
    layers = count_numbers(shapes, r"mask_estimators\.0\.to_freqs\.0\.0\.(\d+)\.weight")
    first = shapes.get("mask_estimators.0.to_freqs.0.0.0.weight", ())
    found: dict[str, Any] = {"mask_layers": layers if _is_bs(shapes) else layers - 1}
    if layers > 1 and len(first) == 2 and first[1] > 0:
        found["mask_expansion"] = first[0] // first[1]
    return found


def _settings(
    config: MsstConfig, shapes: Shapes, title: str, bands: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the model's settings: from the file, else from the shapes, else the defaults."""
    kinds = {key: kind for key, (_, kind) in _SETTINGS.items()}
    extra: dict[str, Any] = {
        "stereo": bool, "use_pope": bool,
        "sample_rate": int, "num_residual_streams": int, "num_residual_fracs": int,
        "add_value_residual": bool,
    }  # fmt: skip
    said = plain_values(config, {**kinds, **extra, **bands}, _IGNORED, title)
    for key in ("num_residual_streams", "num_residual_fracs"):
        if said.get(key, 1) != 1:
            raise config.error(f"model.{key} {said[key]}: hyper-connections are not supported")
    settings = {_SETTINGS[key][0]: value for key, value in said.items() if key in _SETTINGS}
    found = {**_of_shapes(shapes), **settings}
    for key, value in _DEFAULTS.items():
        found.setdefault(key, value)
    found.setdefault("window_samples", found["fft_samples"])
    said_networks = config.whole("model", "num_stems", 1)
    window, shared = config.window(_DEFAULT_SEGMENT)
    return {
        **found,
        **stem_settings(config, _networks(shapes), said_networks),
        "channels": 2 if said.get("stereo", _is_stereo(shapes, found["fft_samples"])) else 1,
        "sample_rate": config.sample_rate,
        "positions": "polar" if said.get("use_pope", _has_polar(shapes)) else "rotary",
        "segment_samples": window,
        "overlap_samples": shared,
    }


def _networks(shapes: Shapes) -> int:
    return count_numbers(shapes, r"mask_estimators\.(\d+)\.")


def _has_polar(shapes: Shapes) -> bool:
    return any("pope_embed" in name for name in shapes)


def _inputs(shapes: Shapes) -> list[int]:
    """Return the number of values in each band."""
    names = (f"band_split.to_features.{band}.0.gamma" for band in range(len(shapes)))
    sizes: list[int] = []
    for name in names:
        if name not in shapes or len(shapes[name]) != 1:
            break
        sizes.append(shapes[name][0])
    return sizes


def _is_stereo(shapes: Shapes, fft_samples: int) -> bool:
    """Return whether the bands, which cover all bins, have the values of two channels."""
    return sum(_inputs(shapes)) >= 4 * (fft_samples // 2 + 1)


def _bs_config(config: MsstConfig, shapes: Shapes) -> dict[str, Any]:
    settings = _settings(config, shapes, "BS-RoFormer", {"freqs_per_bands": tuple[int, ...]})
    said = config.section("model").get("freqs_per_bands")
    bands = [size // (2 * settings["channels"]) for size in _inputs(shapes)]
    settings["band_bins"] = bands if said is None else list(said)
    settings["value_residual"] = any("to_value_residual_mix" in name for name in shapes)
    return settings


def _mel_config(config: MsstConfig, shapes: Shapes) -> dict[str, Any]:
    settings = _settings(config, shapes, "Mel-Band RoFormer", {"num_bands": int})
    settings["bands"] = config.whole("model", "num_bands") or len(_inputs(shapes))
    settings["bands_rate"] = config.whole("model", "sample_rate") or 44100
    return settings


def _tensors(
    state: Mapping[str, Tensor], config: Mapping[str, Any], msst: MsstConfig
) -> dict[str, Tensor]:
    """Rename tensors to partita's names; shared positions and biases are kept once.

    With a target, only its mask estimator is kept.
    """
    linear = bool(config["linear_depth"])
    networks = _networks({name: tuple(tensor.shape) for name, tensor in state.items()})
    head = head_of_target(msst, networks)
    names = dict(enumerate(config["sources"][: -1 if config["residual"] else None]))
    if head is not None:
        names = {head: config["sources"][0]}
    tensors: dict[str, Tensor] = {}
    for name, tensor in _msst_names(state).items():
        if match := _POSITIONS.match(name):
            axis = "time" if int(match[1]) == linear else "frequency"
            kept = f"{axis}_positions.{match[2]}"
            if kept in tensors and not torch.equal(tensors[kept], tensor):
                kept = name  # layers that differ: partita has no such model
            tensors[kept] = tensor
        elif name in _BIASES:
            tensors[_BIASES[name]] = tensor
        elif not (config["shared_bias"] and _COPY.match(name)):
            match = _ESTIMATOR.match(name)
            source = names.get(int(match[1])) if match else None
            if match and source:
                tensors[f"networks.{source}.{match[2]}"] = tensor
            elif not match or head is None:
                tensors[name] = tensor
    return tensors


BS_ROFORMER = MsstFamily("bs-roformer", "BS-RoFormer", _is_bs, _missing, _bs_config, _tensors)
MEL_BAND_ROFORMER = MsstFamily(
    "mel-band-roformer", "Mel-Band RoFormer", _is_mel, _missing, _mel_config, _tensors
)
