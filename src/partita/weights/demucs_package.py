"""Packages of demucs 3 and 4 (``.th``): a network's class, arguments and state, unpickled safely.

demucs unpickles them as they are, classes and all. Here PyTorch's restricted unpickler reads them,
which builds tensors, numbers, texts, lists and dicts. Beyond those it knows `Fraction`, NumPy's
numbers, and the names of demucs's and DiffQ's classes, which stand for themselves: no code is run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from partita.errors import WeightsCorruptError, WeightsUnavailableError, one_line
from partita.models._protocol import SeparationModel
from partita.weights.demucs_networks import demucs_network, empty_demucs_network
from partita.weights.diffq import Kind, Quantiser, restored_state
from partita.weights.home import is_there
from partita.weights.state_dicts import (
    check_size,
    checked_tensors,
    corrupt_if_unreadable,
    load_restricted,
)

PACKAGE_SUFFIX = ".th"
_QUANTISED = "__quantized"
_MOST_WEIGHTS_PER_BYTE = 8  # of a quantised file: one bit each


class _Demucs:
    """Stands for demucs's class of waveform networks; nobody can make one."""

    def __new__(cls, *_: Any) -> _Demucs:
        raise TypeError("a class of demucs, not a network")


class _HDemucs(_Demucs):
    """Stands for the hybrid networks."""


class _HTDemucs(_Demucs):
    """Stands for the hybrid networks with transformers."""


class _DiffQuantizer(_Demucs):
    """Stands for DiffQ's quantiser."""


class _UniformQuantizer(_Demucs):
    """Stands for DiffQ's quantiser with the same bits for all weights."""


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
    """What a package says of its network.

    Attributes
    ----------
    klass : str
        ``Demucs``, ``HDemucs`` or ``HTDemucs``.
    args : tuple
    kwargs : mapping
        What the class was called with.
    state : mapping of str to Tensor
        Restored, where DiffQ had quantised it.
    """

    klass: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    state: Mapping[str, Tensor]


def read_package(path: Path) -> DemucsPackage:
    """Read a package; nothing of it is run.

    Raises
    ------
    WeightsCorruptError
        It is no package, damaged, names anything but what a package needs.
    """
    name = one_line(path)
    with corrupt_if_unreadable(path, "not a package of demucs"):
        with torch.serialization.safe_globals(_admitted()):
            package = load_restricted(path)
        if not isinstance(package, dict) or not {"klass", "state"} <= package.keys():
            raise WeightsCorruptError(f"{name}: not a package of demucs (no class, no state)")
        klass = _NAMES[package["klass"]]
        args, kwargs, state = package["args"], package["kwargs"], package["state"]
        if not isinstance(kwargs, dict) or not all(isinstance(key, str) for key in kwargs):
            raise TypeError
        if isinstance(state, dict) and state.get(_QUANTISED):
            state = _restored(path, klass, tuple(args), kwargs, state)
        else:
            state = checked_tensors(path, state)
            check_size(path, state)
        return DemucsPackage(klass, tuple(args), kwargs, state)


def _restored(
    path: Path,
    klass: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    state: Mapping[str, Any],
) -> dict[str, Tensor]:
    """Return the tensors of a quantised state, which go without names."""
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


def model_from_package(path: Path) -> SeparationModel:
    """Read a package and make our model of it.

    Raises
    ------
    WeightsUnavailableError
        There is no such file.
    WeightsCorruptError
        As `read_package`; or its network is none that we have.
    """
    if not is_there(path):
        raise WeightsUnavailableError(f"{one_line(path)}: no such checkpoint")
    found = read_package(path)
    return demucs_network(
        found.klass, found.kwargs, found.state, args=found.args, name=one_line(path)
    )


def tensors_from_files(files: Mapping[str, Path]) -> dict[str, Tensor]:
    """Read the one package there is; the tensors have partita's names.

    Raises
    ------
    WeightsCorruptError
        As `model_from_package`.
    """
    (path,) = files.values()
    return dict(model_from_package(path).state_dict())


def _admitted() -> list[Any]:
    """Return what the unpickler may name, beside PyTorch's own tensors."""
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
