"""partita's own checkpoints: safetensors with the model's name and configuration."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from partita.devices import intra_op_threads
from partita.errors import ModelError, WeightsCorruptError, one_line
from partita.files import whole_file
from partita.models import create_model
from partita.models._protocol import SeparationModel
from partita.models._registry import find_model
from partita.weights.hash_cache import cached_digest
from partita.weights.hub_mixin import mixin_metadata
from partita.weights.safetensors_header import Header, read_header

_FORMAT = "partita-1"
_FLOATS = ("F16", "BF16", "F32", "F64")
_MOST_SHOWN = 100


def save_checkpoint(
    path: Path,
    model: SeparationModel,
    *,
    half: bool = False,
    origin: str = "",
    licence: str = "",
) -> None:
    """Write a model's weights, name and configuration to a safetensors file.

    The file appears under its name only when it is complete.

    Parameters
    ----------
    path : Path
    model : SeparationModel
    half : bool
        Store weights as float16, at half the size.
    origin : str
        The files that the weights were made from; `partita.weights.store` compares it.
    licence : str
        Of the weights, if others own them; `partita.weights.licences` reads it.

    Raises
    ------
    OSError
        The file cannot be written.
    ModelError
        A weight is beyond the range of float16.
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
    if origin:
        metadata["origin"] = origin
    if licence:
        metadata["licence"] = licence
    try:
        with whole_file(path) as partial:
            save_file(tensors, partial, metadata)
    except SafetensorError as error:
        raise _os_error(error) from error


def _os_error(error: SafetensorError) -> OSError:
    """Return the operating system's error, whose number safetensors puts into its message."""
    number = re.search(r"os error (\d+)", str(error))
    if number is None:
        return OSError(one_line(error))
    return OSError(int(number[1]), os.strerror(int(number[1])))


def load_checkpoint(
    path: Path, *, expected_digest: str | None = None, header: Header | None = None
) -> SeparationModel:
    """Read a model from a file of `save_checkpoint`, or from one with a ``config.json`` beside it.

    Everything in the file is validated first: the configuration by `ModelConfig`, then the names
    and shapes of the tensors against that model, before memory is allocated for them.

    Parameters
    ----------
    path : Path
    expected_digest : str, optional
        The expected `tensors_digest`; by default the one that was stored when the file was written,
        which detects damage.

    header : Header, optional
        The file's, where it has been read before.

    Returns
    -------
    SeparationModel
        In evaluation mode, on the CPU, its weights float32.

    Raises
    ------
    WeightsCorruptError
        The file is not a checkpoint, is damaged, has another digest, or has weights that are NaN or
        infinite.
    """
    with intra_op_threads(1):  # for so little, threads wait longer for each other than they work
        return _loaded(path, expected_digest, header or read_header(path))


def _loaded(path: Path, expected_digest: str | None, header: Header) -> SeparationModel:
    name = one_line(path)
    said = header.metadata if "model" in header.metadata else mixin_metadata(path, header)
    model = _described_model(name, said, header)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise WeightsCorruptError(
            f"{name}: not a readable safetensors file ({one_line(error)})"
        ) from error
    digest = expected_digest or header.metadata.get("tensors_sha256")  # older files lack it
    if digest and _cached_tensors_digest(path, tensors) != digest:
        raise WeightsCorruptError(f"{name}: the weights differ from the expected SHA-256")
    wanted = {key: tensor.dtype for key, tensor in model.state_dict().items()}
    tensors = {key: tensor.to(wanted[key]) for key, tensor in tensors.items()}
    check_finite(name, tensors)
    # Assigned, not copied: float32 tensors stay memory-mapped until they are used.
    model.load_state_dict(tensors, strict=True, assign=True)
    return model.eval()


def check_finite(name: str, tensors: Mapping[str, Tensor]) -> None:
    """Check that no weight is NaN or infinite.

    Raises
    ------
    WeightsCorruptError
        A weight is.
    """
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.numel():
            low, high = tensor.aminmax()  # NaN if any is
            if not (low.isfinite() and high.isfinite()):
                raise WeightsCorruptError(f"{name}: weights in {one_line(key)} are NaN or infinite")


def tensors_fault(found: Mapping[str, str], expected: Mapping[str, str]) -> str | None:
    """Return the first difference between tensors and those of a model; None: they are equal.

    Parameters
    ----------
    found, expected : mapping of str to str
        Tensor name → a text for its shape and type.
    """
    return next(iter(tensors_faults(found, expected)), None)


def tensors_faults(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """Return all differences between tensors and those of a model, ordered by name.

    Parameters
    ----------
    found, expected : mapping of str to str
        As for `tensors_fault`.
    """
    faults = []
    for name in sorted(found.keys() | expected.keys()):
        shown = one_line(name[:_MOST_SHOWN])
        if name not in found:
            faults.append(f"lacks {shown}")
        elif name not in expected:
            faults.append(f"has an unexpected tensor {shown}")
        elif found[name] != expected[name]:
            faults.append(
                f"has another shape or type for {shown}: {found[name]}, not {expected[name]}"
            )
    return faults


def _described_model(name: str, said: Mapping[str, str], header: Header) -> SeparationModel:
    """Build the model that a file declares, without storage."""
    try:
        if said.get("format", _FORMAT) != _FORMAT:
            raise ValueError("another version of partita wrote it")
        config, model_name = json.loads(said["config"]), said["model"][:_MOST_SHOWN]
        if find_model(model_name) is None:
            raise WeightsCorruptError(
                f"{name}: weights of an unknown model {model_name!r}: import the module that "
                "registers it, or install its plug-in"
            )
        model = create_model(model_name, config, initialise=False)
        facts = {"sources": list(model.sources), "sample_rate": model.sample_rate}
        for key, value in facts.items():
            if json.loads(said.get(key, json.dumps(value))) != value:
                raise ValueError(f"the {key} of its configuration and of its metadata differ")
        found = {
            key: _kind(shape, header.types[key] in _FLOATS) for key, shape in header.shapes.items()
        }
        expected = {
            key: _kind(tensor.shape, tensor.is_floating_point())
            for key, tensor in model.state_dict().items()
        }
        if fault := tensors_fault(found, expected):
            raise ValueError(f"it {fault}")
    except KeyError as error:
        raise WeightsCorruptError(
            f"{name}: not a partita checkpoint (its metadata lack {one_line(error)})"
        ) from error
    except (LookupError, ValueError, RecursionError, ModelError) as error:
        raise WeightsCorruptError(
            f"{name}: not a partita checkpoint ({one_line(error)})"
        ) from error
    return model


def _kind(shape: Sequence[int], is_float: bool) -> str:
    return f"{list(shape)} of {'numbers' if is_float else 'whole numbers'}"


def _halved(name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    halved = tensor.half()
    if not halved.isfinite().all():
        raise ModelError(f"{name} has values that are NaN or beyond the range of float16")
    return halved


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and values, independent of the file format."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(_raw_bytes(tensor))
    return digest.hexdigest()


def _cached_tensors_digest(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Return the digest of all tensors of a file, which is not read again until it changes."""
    try:
        return cached_digest(path, lambda: tensors_digest(tensors), kind="tensors")
    except OSError:  # the file is gone; its tensors are mapped
        return tensors_digest(tensors)


def _raw_bytes(tensor: Tensor) -> Any:
    return tensor.reshape(-1).view(torch.uint8).numpy().data
