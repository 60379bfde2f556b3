"""Conversion of demucs 3 and 4 networks (constructor arguments and weights) to our models.

The package demucs 4.1.0 stores a network as class name, constructor arguments and state dict.
The readers of its files call `demucs_network`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

from torch import Tensor

from partita.errors import ModelError, WeightsCorruptError, one_line
from partita.models import create_model
from partita.models._protocol import SeparationModel
from partita.weights.checkpoint import check_finite, tensors_fault

#: An argument's counterpart: our field, and the function that converts its value.
_Field = tuple[str, Callable[[Any], Any]]

_DCONV = ("none", "encoder", "decoder", "both")


class _RefusedError(ValueError):
    """An argument that our networks do not support."""


def _text(value: Any) -> str:
    return str(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise _RefusedError("is not a number")
    return float(value)


def _whole(value: Any) -> int:
    number = _number(value)
    if not math.isfinite(number) or number != int(number):
        raise _RefusedError("is not a whole number")
    return int(number)


def _true(value: Any) -> bool:
    return bool(value)


def _groups(value: Any) -> int:
    return int(value) if isinstance(value, bool) else _whole(value)


def _or_nothing(value: Any) -> int:
    return 0 if value is None else _whole(value)


def _names(value: Any) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _RefusedError("is not a list")
    return [str(name) for name in value]


def _numbers(value: Any) -> list[float]:
    if value is None:
        return []
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _RefusedError("is not a list")
    return [_number(each) for each in value]


def _side(value: Any) -> str:
    return _DCONV[_whole(value) & 3]


def _only(wanted: bool) -> Callable[[Any], Any]:
    """Return a check for arguments that partita's networks support with one value only."""

    def check(value: Any) -> None:
        if bool(value) != wanted:
            raise _RefusedError(f"must be {wanted}")

    return check


_ENDS: dict[str, _Field] = {
    "sources": ("sources", _names),
    "audio_channels": ("channels", _whole),
    "channels": ("hidden", _whole),
    "growth": ("growth", _number),
    "depth": ("depth", _whole),
    "norm_starts": ("norm_from", _whole),
    "norm_groups": ("norm_groups", _whole),
    "dconv_mode": ("dconv", _side),
    "dconv_depth": ("dconv_depth", _whole),
    "dconv_comp": ("dconv_compress", _number),
    "dconv_init": ("dconv_scale", _number),
    "stride": ("stride", _whole),
    "context": ("context", _whole),
    "rescale": ("rescale", _number),
    "samplerate": ("sample_rate", _whole),
    "segment": ("segment_s", _number),
}
_HYBRID: dict[str, _Field] = {
    **_ENDS,
    "channels_time": ("hidden_time", _or_nothing),
    "nfft": ("fft_samples", _whole),
    "wiener_iters": ("wiener_iterations", _whole),
    "wiener_residual": ("wiener_residual", _true),
    "cac": ("complex_as_channels", _true),
    "rewrite": ("", _only(True)),
    "multi_freqs": ("bands", _numbers),
    "multi_freqs_depth": ("band_levels", _whole),
    "freq_emb": ("embedding", _number),
    "emb_scale": ("embedding_scale", _number),
    "emb_smooth": ("embedding_smooth", _true),
    "time_stride": ("time_stride", _whole),
    "context_enc": ("encoder_context", _whole),
}
_ATTENTION_LSTM: dict[str, _Field] = {
    "dconv_attn": ("dconv_attention", _whole),
    "dconv_lstm": ("dconv_lstm", _whole),
}
#: For each class: our model, its arguments, and their default values. Arguments of training and
#: those that demucs 4.1.0 does not know either are omitted.
_CLASSES: dict[str, tuple[str, dict[str, _Field], dict[str, Any]]] = {
    "Demucs": (
        "demucs-v3",
        {
            **_ENDS,
            **_ATTENTION_LSTM,
            "rewrite": ("rewrite", _true),
            "lstm_layers": ("lstm_layers", _whole),
            "kernel_size": ("kernel", _whole),
            "gelu": ("gelu", _true),
            "glu": ("glu", _true),
            "normalize": ("normalise", _true),
            "resample": ("resample", _true),
        },
        {},
    ),
    "HDemucs": (
        "hdemucs",
        {
            **_HYBRID,
            **_ATTENTION_LSTM,
            "hybrid": ("", _only(True)),
            "hybrid_old": ("delayed", _true),
        },
        {},
    ),
    "HTDemucs": (
        "htdemucs",
        {
            **_HYBRID,
            "bottom_channels": ("bottom_channels", _whole),
            "t_layers": ("layers", _whole),
            "t_emb": ("positions", _text),
            "t_hidden_scale": ("hidden_scale", _number),
            "t_heads": ("heads", _whole),
            "t_dropout": ("dropout", _number),
            "t_max_positions": ("most_positions", _whole),
            "t_norm_in": ("norm_in", _true),
            "t_norm_in_group": ("norm_in_groups", _groups),
            "t_group_norm": ("norm_groups_inside", _groups),
            "t_norm_first": ("norm_first", _true),
            "t_norm_out": ("norm_out_groups", _groups),
            "t_max_period": ("longest_period", _number),
            "t_layer_scale": ("layer_scale", _true),
            "t_gelu": ("gelu", _true),
            "t_weight_pos_embed": ("position_weight", _number),
            "t_sin_random_shift": ("most_shift", _whole),
            "t_cape_mean_normalize": ("cape_centred", _true),
            "t_cape_augment": ("cape_augmented", _true),
            "t_cape_glob_loc_scale": ("cape_shifts", _numbers),
            "t_sparse_self_attn": ("", _only(False)),
            "t_sparse_cross_attn": ("", _only(False)),
            "t_cross_first": ("cross_first", _true),
            "use_train_segment": ("pad_to_segment", _true),
        },
        {"bottom_channels": 0, "dconv_mode": 1, "segment": 10},
    ),
}


def demucs_network(
    klass: str,
    kwargs: Mapping[str, Any],
    state: Mapping[str, Tensor],
    *,
    args: Sequence[Any] = (),
    name: str = "demucs's network",
) -> SeparationModel:
    """Convert a network of the package demucs 4.1.0 to a model.

    Parameters
    ----------
    klass : str
        ``Demucs``, ``HDemucs`` or ``HTDemucs``; a module name before it is ignored.
    kwargs : mapping
        Constructor arguments, `Fraction` included; arguments unknown to demucs 4.1.0 are ignored,
        as demucs does.
    state : mapping of str to Tensor
        Its state dict, in any precision; float16 becomes float32. Names, shapes and order are those
        of our model's ``state_dict()``, except for names in older files of version 3.
    args : sequence
        Positional constructor arguments; the first one is ``sources``.
    name : str
        Its name in messages.

    Returns
    -------
    SeparationModel
        ``demucs-v3``, ``hdemucs`` or ``htdemucs``, in evaluation mode.

    Raises
    ------
    WeightsCorruptError
        Arguments or tensors that contradict each other or that our networks do not support.
    """
    model = empty_demucs_network(klass, kwargs, args=args, name=name)
    expected = model.state_dict()
    tensors = _renamed(state) if model.registry_name == "demucs-v3" else dict(state)
    fault = tensors_fault(_shapes(tensors), _shapes(expected))
    if fault:
        raise WeightsCorruptError(f"{name}: it {fault}")
    tensors = {key: tensor.detach().float() for key, tensor in tensors.items()}
    check_finite(name, tensors)
    model.load_state_dict(tensors, strict=True, assign=True)
    return model.eval()


def empty_demucs_network(
    klass: str,
    kwargs: Mapping[str, Any],
    *,
    args: Sequence[Any] = (),
    name: str = "demucs's network",
) -> SeparationModel:
    """Return the model of `demucs_network` without storage for its weights.

    Quantised states need the names, shapes and order of its ``named_parameters()``, which are
    demucs's.
    """
    model, config = demucs_config(klass, kwargs, args=args, name=name)
    try:
        return create_model(model, config, initialise=False)
    except ModelError as error:
        raise WeightsCorruptError(f"{name}: {one_line(error)}") from error


def demucs_config(
    klass: str,
    kwargs: Mapping[str, Any],
    *,
    args: Sequence[Any] = (),
    name: str = "demucs's network",
) -> tuple[str, dict[str, Any]]:
    """Return our model's name and configuration; see `demucs_network`."""
    short = klass.rpartition(".")[2]
    if short not in _CLASSES:
        known = ", ".join(_CLASSES)
        raise WeightsCorruptError(
            f"{name}: a network of the class {one_line(short)[:60]}, not {known}"
        )
    model, fields, defaults = _CLASSES[short]
    if len(args) > 1:
        raise WeightsCorruptError(f"{name}: positional arguments after sources")
    given = {**defaults, **dict(zip(("sources",), args, strict=False)), **kwargs}
    if "sources" not in given:
        raise WeightsCorruptError(f"{name}: does not state its sources")
    config: dict[str, Any] = {}
    for key, value in given.items():
        if key not in fields:
            continue
        field, convert = fields[key]
        try:
            found = convert(value)
        except _RefusedError as error:
            raise WeightsCorruptError(f"{name}: {key} {error}") from error
        if field:
            config[field] = found
    if model != "demucs-v3" and given.get("kernel_size", 8) != 2 * config.get("stride", 4):
        raise WeightsCorruptError(f"{name}: kernel_size must be twice stride")
    return model, config


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of files that are older than group normalisation.

    In these, the layer at position 3 of a level without residual branches was at position 2.
    """
    renamed: dict[str, Tensor] = {}
    for key, tensor in state.items():
        match = re.fullmatch(r"((?:en|de)coder\.\d+\.)2(\.(?:weight|bias))", key)
        new = f"{match[1]}3{match[2]}" if match else key
        renamed[key if new in state else new] = tensor
    return renamed


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    return {key: str(list(tensor.shape)) for key, tensor in tensors.items()}
