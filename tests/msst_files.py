"""Checkpoints as MSST writes them, and their YAML files, made of models of partita's."""

import re

import torch
import yaml

from partita.models import create_model

#: Ours → MSST's, of RoFormers.
_SETTINGS = {
    "features": "dim",
    "layers": "depth",
    "time_depth": "time_transformer_depth",
    "frequency_depth": "freq_transformer_depth",
    "linear_depth": "linear_transformer_depth",
    "heads": "heads",
    "head_features": "dim_head",
    "fft_samples": "stft_n_fft",
    "hop_samples": "stft_hop_length",
    "window_samples": "stft_win_length",
    "mask_layers": "mask_estimator_depth",
    "mask_expansion": "mlp_expansion_factor",
    "normalised": "stft_normalized",
    "zero_dc": "zero_dc",
    "skip_connections": "skip_connection",
    "shared_bias": "use_shared_bias",
    "bands": "num_bands",
    "band_bins": "freqs_per_bands",
}
#: MSST's → ours, of SCNet and MDX23C.
SCNET_KEYS = {
    "audio_channels": "channels",
    "nfft": "fft_samples",
    "win_size": "fft_samples",
    "hop_size": "hop_samples",
    "normalized": "normalised",
    "band_stride": "strides",
    "band_kernel": "kernels",
    "conv_depths": "convolutions",
    "compress": "compression",
    "conv_kernel": "conv_kernel",
    "num_dplayer": "dual_layers",
    "expand": "expansion",
}
MDX23C_KEYS = {
    "act": "activation",
    "bottleneck_factor": "bottleneck",
    "growth": "growth",
    "norm": "norm",
    "num_blocks_per_scale": "blocks",
    "num_channels": "width",
    "num_scales": "depth",
    "num_subbands": "subbands",
    "scale": "scale",
}
SMALL_BS = {
    "features": 8,
    "layers": 2,
    "time_depth": 1,
    "frequency_depth": 1,
    "heads": 2,
    "head_features": 4,
    "fft_samples": 256,
    "hop_samples": 64,
    "window_samples": 256,
    "band_bins": [2, 3, 4, 20, 100],
    "segment_samples": 12800,
    "overlap_samples": 9600,
}
SMALL_MEL = {key: value for key, value in SMALL_BS.items() if key != "band_bins"} | {"bands": 6}
SMALL_SCNET = {
    "fft_samples": 512,
    "hop_samples": 128,
    "widths": [8, 12],
    "dual_layers": 2,
    "segment_s": 12800 / 44100,
    "overlap": 0.75,
}
SMALL_MDX23C = {
    "fft_samples": 512,
    "hop_samples": 128,
    "bins": 240,
    "subbands": 2,
    "width": 8,
    "growth": 4,
    "depth": 2,
    "blocks": 2,
    "segment_s": 12800 / 44100,
    "overlap": 0.75,
}
SMALL = {
    "bs-roformer": SMALL_BS,
    "mel-band-roformer": SMALL_MEL,
    "scnet": SMALL_SCNET,
    "scnet-masked": SMALL_SCNET,
    "mdx23c": SMALL_MDX23C,
}


class _Dumper(yaml.SafeDumper):
    """Writes tuples as MSST's files have them."""


_Dumper.add_representer(
    tuple, lambda dumper, x: dumper.represent_sequence("tag:yaml.org,2002:python/tuple", list(x))
)


def small_model(name="bs-roformer", **config):
    torch.manual_seed(0)
    model = create_model(name, {**SMALL[name], "sources": ["vocals", "other"], **config}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def msst_state(model):
    """Return a model's tensors by the community's names."""
    if "roformer" not in model.registry_name:
        return {_scnet_name(name): tensor for name, tensor in model.state_dict().items()}
    places = {"time": int(model.config.linear_depth > 0)}
    places["frequency"] = places["time"] + 1
    sources = {source: index for index, source in enumerate(model.learned)}
    state = {}
    for name, tensor in model.state_dict().items():
        if match := re.match(r"(time|frequency)_positions\.(\w+)", name):
            kind = "rotary_embed" if match[2] == "freqs" else "pope_embed"
            depth = model.config.time_depth if match[1] == "time" else model.config.frequency_depth
            for layer in range(model.config.layers):
                for each in range(depth):
                    where = f"layers.{layer}.{places[match[1]]}.layers.{each}.0"
                    state[f"{where}.{kind}.{match[2]}"] = tensor
        elif name == "qkv_bias":
            state["linear_62_bias_0"] = tensor
        elif name == "out_bias":
            state["linear_64_bias_0"] = tensor
        elif match := re.match(r"networks\.(\w+)\.(.*)", name):
            state[f"mask_estimators.{sources[match[1]]}.{match[2]}"] = tensor
        else:
            state[name] = tensor
    return state


def _scnet_name(name):
    name = re.sub(r"^(encoder\.\d+)\.convs\.", r"\1.SDlayer.convs.", name)
    name = re.sub(r"^(decoder\.\d+)\.convtrs\.", r"\1.1.convtrs.", name)
    return re.sub(r"^(decoder\.\d+)\.fusion\.", r"\1.0.conv.", name)


def _spectra_config(model, values):
    """Return the sections of SCNet's and MDX23C's files that RoFormers' have otherwise."""
    sizes = {"num_channels": model.channels, "sample_rate": model.sample_rate, "chunk_size": 12800}
    if model.registry_name == "mdx23c":
        audio = {"n_fft": "fft_samples", "hop_length": "hop_samples", "dim_f": "bins"}
        return {
            "audio": sizes | {theirs: values[ours] for theirs, ours in audio.items()},
            "model": {theirs: values[ours] for theirs, ours in MDX23C_KEYS.items()},
        }
    low, middle = values["band_shares"]
    return {
        "audio": sizes,
        "model": {
            **{theirs: values[ours] for theirs, ours in SCNET_KEYS.items()},
            "sources": list(model.learned),
            "dims": [2 * model.channels, *values["widths"]],
            "band_SR": [low, middle, 1 - low - middle],
        },
    }


def msst_config(model, /, **changes):
    """Return what a YAML file says of a model; `changes` are of its sections."""
    values = model.config.to_dict()
    if "roformer" not in model.registry_name:
        return _changed(_spectra_config(model, values) | _sections(model, 4), changes)
    settings = {theirs: values[ours] for ours, theirs in _SETTINGS.items() if ours in values}
    if "freqs_per_bands" in settings:
        settings["freqs_per_bands"] = tuple(settings["freqs_per_bands"])
    hop = values["segment_samples"] - values["overlap_samples"]
    config = {
        "audio": {"chunk_size": values["segment_samples"], "sample_rate": model.sample_rate},
        "model": {
            **settings,
            "stereo": model.channels == 2,
            "num_stems": len(model.learned),
            "use_pope": values["positions"] == "polar",
            "flash_attn": True,
            "multi_stft_resolutions_window_sizes": (4096, 2048),
        },
        **_sections(model, values["segment_samples"] // hop),
    }
    return _changed(config, changes)


def _sections(model, num_overlap):
    residual = model.config.residual
    return {
        "training": {
            "instruments": list(model.sources),
            "target_instrument": model.sources[0] if residual else None,
        },
        "inference": {"batch_size": 1, "num_overlap": num_overlap},
    }


def _changed(config, changes):
    for section, change in changes.items():
        config[section] = {**config.get(section, {}), **change}
    return config


def write_yaml(path, config):
    path.write_text(yaml.dump(config, Dumper=_Dumper))
    return path


def write_msst(folder, model, name="model", /, *, state=None, **changes):
    """Write a checkpoint and its YAML file; return the checkpoint's path."""
    torch.save(msst_state(model) if state is None else state, folder / f"{name}.ckpt")
    write_yaml(folder / f"{name}.yaml", msst_config(model, **changes))
    return folder / f"{name}.ckpt"


def assert_same(found, expected):
    """Assert that two networks give exactly the same of noise."""
    generator = torch.Generator().manual_seed(1)
    mixture = 0.1 * torch.randn(1, expected.channels, 9000, generator=generator)
    with torch.inference_mode():
        assert torch.equal(found(mixture), expected(mixture))
