"""Reader of demucs 3 and 4 files: class, arguments and state of a network, without running code.

demucs unpickles its packages (``.th``) with their classes. Here PyTorch's restricted unpickler
reads them: tensors, numbers, texts, lists and dicts, and besides these `Fraction`, NumPy's numbers,
and the names of demucs's and DiffQ's classes, for which empty classes stand in. No code is run.
demucs 4.1.0 publishes safetensors files, with the class and its arguments as JSON in their
metadata.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from partita.errors import ModelError, WeightsCorruptError, WeightsUnavailableError, one_line
from partita.files import exists
from partita.models import config_type
from partita.models._protocol import SeparationModel
from partita.weights.demucs_networks import demucs_config, demucs_network, empty_demucs_network
from partita.weights.diffq import Kind, Quantiser, restored_state
from partita.weights.external_checkpoints import DEMUCS_CLASS, read_sidecar
from partita.weights.safetensors_header import read_header
from partita.weights.state_dicts import (
    check_size,
    checked_tensors,
    corrupt_if_unreadable,
    load_restricted,
)
from partita.weights.suffixes import DEMUCS_PACKAGE

_QUANTISED = "__quantized"
_NO_PACKAGE = "not a package of demucs"
_NO_SAFETENSORS = "not a safetensors file of demucs"
_DEFAULT_SEGMENT_S = 10  # of HTDemucs
_MOST_WEIGHTS_PER_BYTE = 8  # of a quantised file: one bit each


class _Demucs:
    """Stand-in for demucs's class of waveform networks; it cannot be instantiated."""

    def __new__(cls, *_: Any) -> _Demucs:
        raise TypeError("a class of demucs, not a network")


class _HDemucs(_Demucs):
    """Stand-in for the hybrid networks."""


class _HTDemucs(_Demucs):
    """Stand-in for the hybrid networks with transformers."""


class _DiffQuantizer(_Demucs):
    """Stand-in for DiffQ's quantiser."""


class _UniformQuantizer(_Demucs):
    """Stand-in for DiffQ's quantiser with the same bits for all weights."""


_CLASSES: dict[str, type] = {
    "demucs.demucs.Demucs": _Demucs,
    "demucs.hdemucs.HDemucs": _HDemucs,
    "demucs.htdemucs.HTDemucs": _HTDemucs,
}
_NAMES = {marker: name.rpartition(".")[2] for name, marker in _CLASSES.items()}
_QUANTISERS: dict[type, tuple[str, Kind]] = {
    _DiffQuantizer: ("diffq.diffq.DiffQuantizer", "DiffQuantizer"),
    _UniformQuantizer: ("diffq.uniform.UniformQuantizer", "UniformQuantizer"),
}


@dataclass(frozen=True)
class DemucsPackage:
    """The content of a package.

    Attributes
    ----------
    klass : str
        ``Demucs``, ``HDemucs`` or ``HTDemucs``.
    args : tuple
    kwargs : mapping
        Constructor arguments.
    state : mapping of str to Tensor
        Dequantised, if DiffQ had quantised it.
    """

    klass: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    state: Mapping[str, Tensor]


def read_package(path: Path) -> DemucsPackage:
    """Read a package without running any of it.

    Raises
    ------
    WeightsCorruptError
        It is not a package, is damaged, or names classes that a package does not need.
    """
    klass, args, kwargs, state = _unpickled(path)
    with corrupt_if_unreadable(path, _NO_PACKAGE):
        if isinstance(state, dict) and state.get(_QUANTISED):
            state = _restored(path, klass, args, kwargs, state)
        else:
            state = checked_tensors(path, state)
            check_size(path, state)
        return DemucsPackage(klass, args, kwargs, state)


def _unpickled(path: Path) -> tuple[str, tuple[Any, ...], dict[str, Any], Any]:
    """Return class, arguments and unconverted state of a package."""
    with corrupt_if_unreadable(path, _NO_PACKAGE):
        with torch.serialization.safe_globals(_admitted()):
            package = load_restricted(path)
        if not isinstance(package, dict) or not {"klass", "state"} <= package.keys():
            raise WeightsCorruptError(f"{one_line(path)}: {_NO_PACKAGE} (no class, no state)")
        klass, args, kwargs = _NAMES[package["klass"]], package["args"], package["kwargs"]
        if not isinstance(kwargs, dict) or not all(isinstance(key, str) for key in kwargs):
            raise TypeError
        return klass, tuple(args), kwargs, package["state"]


def _restored(
    path: Path,
    klass: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    state: Mapping[str, Any],
) -> dict[str, Tensor]:
    """Return the tensors of a quantised state, which has no names."""
    name = one_line(path)
    meta = state["meta"]
    _, kind = _QUANTISERS[meta["klass"]]
    network = empty_demucs_network(klass, kwargs, args=args, name=name)
    shapes = {key: parameter.shape for key, parameter in network.named_parameters()}
    if sum(map(math.prod, shapes.values())) > _MOST_WEIGHTS_PER_BYTE * path.stat().st_size:
        raise WeightsCorruptError(f"{name}: its network has more weights than the file has bits")
    try:
        packed = bool(meta.get("packed"))
        quantiser = Quantiser.from_settings(kind, meta["init_kwargs"], packed=packed)
        return restored_state(state, shapes, quantiser)
    except ValueError as error:
        raise WeightsCorruptError(f"{name}: quantised by DiffQ: {one_line(error)}") from error


def read_safetensors(path: Path) -> DemucsPackage:
    """Read a safetensors file as demucs 4.1.0 writes and reads it.

    If its metadata are lost, the JSON file that demucs writes beside it has the same content.

    Raises
    ------
    WeightsCorruptError
        It is not such a file, or is damaged.
    """
    klass, args, kwargs, structure = _said(path)
    with corrupt_if_unreadable(path, _NO_SAFETENSORS):
        state: Mapping[str, Any] = load_file(path)
        if structure:
            state = _nested(json.loads(structure), state)
        if state.get(_QUANTISED) is True:
            state = _restored(path, klass, args, kwargs, state)
        return DemucsPackage(klass, args, kwargs, checked_tensors(path, state))


def _said(path: Path) -> tuple[str, tuple[Any, ...], dict[str, Any], str]:
    """Return class and arguments of a safetensors file, and the nesting of its state, if any."""
    said: Mapping[str, Any] = read_header(path).metadata
    said = said if DEMUCS_CLASS in said else read_sidecar(path)
    with corrupt_if_unreadable(path, _NO_SAFETENSORS):
        klass = said[DEMUCS_CLASS]
        if klass not in _CLASSES:
            shown = one_line(str(klass))[:60]
            raise WeightsCorruptError(
                f"{one_line(path)}: a network of the class {shown}, not {', '.join(_CLASSES)}"
            )
        args, kwargs = (_decoded(json.loads(said[key])) for key in ("args", "kwargs"))
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise TypeError
        return _NAMES[_CLASSES[klass]], tuple(args), kwargs, said.get("structure", "")


def package_sources(path: Path) -> tuple[str, ...]:
    """Return the sources of a demucs file's network without building it.

    Raises
    ------
    WeightsCorruptError
        As `model_from_package`, as far as class and arguments show.
    """
    is_package = path.suffix.lower() == DEMUCS_PACKAGE
    klass, args, kwargs, _ = _unpickled(path) if is_package else _said(path)
    name = one_line(path)
    model, config = demucs_config(klass, kwargs, args=args, name=name)
    try:
        return config_type(model).from_dict(config).sources
    except ModelError as error:
        raise WeightsCorruptError(f"{name}: {one_line(error)}") from error


def _decoded(value: Any) -> Any:
    """Convert JSON values: fractions are written as tables."""
    if isinstance(value, dict):
        if value.get("_type") == "fraction":
            return Fraction(value["numerator"], value["denominator"])
        return {key: _decoded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value


def _nested(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return a nested state, from the nesting stored as JSON."""
    if not isinstance(node, dict):
        return node
    ((kind, value),) = node.items()
    match kind:
        case "_tensor":
            return tensors[value]
        case "_dict":
            return {key: _nested(item, tensors) for key, item in value}
        case "_list" | "_tuple":
            return [_nested(item, tensors) for item in value]
        case "_class":
            return next(marker for marker, (name, _) in _QUANTISERS.items() if name == value)
    raise ValueError(kind)


def model_from_package(path: Path, segment_s: float | None = None) -> SeparationModel:
    """Read a package or a safetensors file of demucs as one of our models.

    Parameters
    ----------
    path : Path
    segment_s : float, optional
        Window length in seconds that a bag sets. Networks with a transformer limit it to the length
        that they were trained with.

    Raises
    ------
    WeightsUnavailableError
        The file does not exist.
    WeightsCorruptError
        As `read_package` and `read_safetensors`; or the network is not supported.
    """
    if not exists(path):
        raise WeightsUnavailableError(f"{one_line(path)}: no such checkpoint")
    is_package = path.suffix.lower() == DEMUCS_PACKAGE
    found = read_package(path) if is_package else read_safetensors(path)
    kwargs = dict(found.kwargs)
    if segment_s is not None and _takes_segment(found, segment_s):
        kwargs["segment"] = segment_s
    return demucs_network(found.klass, kwargs, found.state, args=found.args, name=one_line(path))


def _takes_segment(package: DemucsPackage, segment_s: float) -> bool:
    own = package.kwargs.get("segment", _DEFAULT_SEGMENT_S)
    has_transformer = package.klass == _NAMES[_HTDemucs]
    return not has_transformer or (isinstance(own, Real) and segment_s <= float(own))


def tensors_from_files(files: Mapping[str, Path]) -> dict[str, Tensor]:
    """Read the package; its tensors have partita's names.

    Raises
    ------
    WeightsCorruptError
        As `model_from_package`.
    """
    (path,) = files.values()
    return dict(model_from_package(path).state_dict())


def _admitted() -> list[Any]:
    """Return the classes that the unpickler accepts, besides PyTorch's tensors."""
    scalar = np.float64(0).__reduce__()[0]
    kinds = (np.float64, np.float32, np.int64, np.int32, np.bool_)
    return [
        *((marker, name) for name, marker in _CLASSES.items()),
        *((marker, name) for marker, (name, _) in _QUANTISERS.items()),
        Fraction,
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        (np.dtype, "numpy.dtype"),
        *(type(np.dtype(kind)) for kind in kinds),
    ]
