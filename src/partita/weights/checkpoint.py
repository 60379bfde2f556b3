"""partita's own file of weights: safetensors that say which model they belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from partita.errors import ModelError, WeightsCorruptError, one_line
from partita.files import whole_file
from partita.models import create_model
from partita.models._protocol import SeparationModel

_FORMAT = "partita-1"


def save_checkpoint(path: Path, model: SeparationModel, *, half: bool = False) -> None:
    """Write a model's weights, name and configuration to a safetensors file.

    The file appears under its name only when it is complete.

    Parameters
    ----------
    path : Path
    model : SeparationModel
    half : bool
        Store numbers in 16 bits, in half the room.

    Raises
    ------
    OSError
        It cannot be written.
    ModelError
        A weight is too large for 16 bits.
    """
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if half:
        tensors = {name: _halved(name, tensor) for name, tensor in tensors.items()}
    metadata = {
        "format": _FORMAT,
        "model": model.registry_name,
        "config": json.dumps(model.config.to_dict()),
        "sources": json.dumps(list(model.sources)),
        "sample_rate": str(model.sample_rate),
        "tensors_sha256": tensors_digest(tensors),
    }
    try:
        with whole_file(path) as partial:
            save_file(tensors, partial, metadata)
    except SafetensorError as error:
        raise OSError(one_line(error)) from error


def load_checkpoint(path: Path, *, expected_digest: str | None = None) -> SeparationModel:
    """Read a model from a file of `save_checkpoint`'s.

    Parameters
    ----------
    path : Path
    expected_digest : str, optional
        What `tensors_digest` must give; by default what it gave when the file was written, which
        finds damage.

    Returns
    -------
    SeparationModel
        In evaluation mode, on the CPU.

    Raises
    ------
    WeightsCorruptError
        The file is no checkpoint, is damaged, or has another digest.
    """
    name = one_line(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsCorruptError(f"{name}: not a readable safetensors file") from error
    digest = expected_digest or metadata.get("tensors_sha256")  # older files do not say it
    if digest and tensors_digest(tensors) != digest:
        raise WeightsCorruptError(f"{name}: the weights do not have the expected SHA-256")
    try:
        model = create_model(metadata["model"], json.loads(metadata["config"]), initialise=False)
        tensors = {key: t.float() if t.dtype == torch.float16 else t for key, t in tensors.items()}
        # Assigned, not copied: other tensors stay mapped from the file until they are used.
        model.load_state_dict(tensors, strict=True, assign=True)
    except (LookupError, ValueError, RuntimeError, ModelError) as error:
        raise WeightsCorruptError(
            f"{name}: not a partita checkpoint ({one_line(error)})"
        ) from error
    return model.eval()


def _halved(name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    halved = tensor.half()
    if not halved.isfinite().all():
        raise ModelError(f"{name} has values beyond what 16 bits can hold, or none at all")
    return halved


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and values, whatever file they stand in."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(_raw_bytes(tensor))
    return digest.hexdigest()


def _raw_bytes(tensor: Tensor) -> Any:
    return tensor.reshape(-1).view(torch.uint8).numpy().data
