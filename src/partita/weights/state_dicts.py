"""Files of PyTorch's that hold a dict of tensors, as others publish them."""

from __future__ import annotations

import contextlib
import pickle
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, nn

from partita.errors import WeightsCorruptError, WeightsError, WeightsUnavailableError, one_line
from partita.files import exists

_MOST_TENSORS = 20_000
_MOST_PACKED = 2  # PyTorch does not compress; numpy's arrays within pickles are not either
_MOST_LEVELS = 4
#: Tensors may share their numbers, as tied weights do, but not so that copies would fill memory.
_MOST_SHARED = 4
_SMALL_BYTES = 10_000_000
#: Where trainings keep the tensors of a model, in the order in which they are looked for.
_STATES = ("state", "state_dict", "model_state_dict", "model", "module", "net", "network")
_EMA = re.compile(r"ema|.*_ema$")
#: What wrappers of modules put before names, and what they count.
_PREFIXES = ("module.", "_orig_mod.", "ema_model.", "model.", "net.", "network.")
_COUNTERS = ("n_averaged", "initted", "step")
#: Scores of a training are often numbers of numpy's: plain data, like Python's.
_SCALAR = np.float64(0).__reduce__()[0]
_NUMPY_SCALARS: list[Any] = [
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")),
]
_GLOBAL = re.compile(r"GLOBAL ([\w.]+\w)")


@contextlib.contextmanager
def corrupt_if_unreadable(name: object, fault: str) -> Iterator[None]:
    """Turn whatever a reader raises into one line: broken files break readers in many ways.

    Parameters
    ----------
    name : object
        What is read.
    fault : str
        What to say of it.

    Raises
    ------
    WeightsCorruptError
    """
    try:
        yield
    except WeightsError:
        raise
    except Exception as error:
        raise WeightsCorruptError(f"{one_line(name)}: {fault}") from error


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a dict of tensors; nothing else is unpickled.

    A small file may declare a large tensor whose numbers are all the same one in memory: look at
    shapes before anything is copied.

    Raises
    ------
    WeightsCorruptError
        The file holds something else, or tensors that are sparse, quantised, or without numbers.
    """
    with corrupt_if_unreadable(path, "not a file of tensors"):
        return checked_tensors(path, load_restricted(path))


def read_nested_state_dict(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors of a model from a checkpoint of its training.

    They stand at the top, or under ``state``, ``state_dict``, ``model_state_dict``, ``model``, or
    what begins or ends with ``ema``, which is taken where there is no other. What wrappers put
    before all names (``module.``, ``_orig_mod.``, ``model.``) is taken off.

    Returns
    -------
    tensors : dict of str to Tensor
    facts : dict of str to any
        What the checkpoint says of its model under ``meta``; empty: nothing.

    Raises
    ------
    WeightsUnavailableError
        There is no such file.
    WeightsCorruptError
        As `read_state_dict`; or the tensors are much larger than the file.
    """
    if not exists(path):
        raise WeightsUnavailableError(f"{one_line(path)}: no such checkpoint")
    with corrupt_if_unreadable(path, "not a file of tensors"):
        with torch.serialization.safe_globals(_NUMPY_SCALARS):
            loaded = load_restricted(path)
        facts = loaded.get("meta") if isinstance(loaded, dict) else None
        state = checked_tensors(path, _unwrapped(loaded))
        check_size(path, state)
        return _without_prefixes(state), facts if isinstance(facts, dict) else {}


def load_restricted(path: Path) -> Any:
    """Unpickle a file of PyTorch's: tensors and plain values, nothing that could run.

    Raises
    ------
    WeightsCorruptError
        It is no regular file, or names what could be code.
    Exception
        It is damaged.
    """
    name = one_line(path)
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait forever
        raise WeightsCorruptError(f"{name}: not a regular file")
    with path.open("rb") as file:
        check_archive(file, path.stat().st_size)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if wanted := _GLOBAL.search(str(error)):
            raise WeightsCorruptError(
                f"{name}: not a file of tensors alone: it holds {one_line(wanted[1])[:100]}, which "
                "could be code; it is refused, nothing of it was run"
            ) from error
        raise


def checked_tensors(path: Path, state: Any) -> dict[str, Tensor]:
    """Return a dict of tensors, once it is one.

    Raises
    ------
    WeightsCorruptError
        It is something else, or has tensors that are sparse, quantised, or without numbers.
    """
    name = one_line(path)
    if not isinstance(state, dict) or not all(isinstance(x, Tensor) for x in state.values()):
        raise WeightsCorruptError(f"{name}: not a dict of tensors")
    if len(state) > _MOST_TENSORS or not all(map(is_plain, state.values())):
        raise WeightsCorruptError(f"{name}: holds tensors of another kind")
    return {str(key): tensor.detach() for key, tensor in state.items()}


def check_size(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Check that tensors are not much larger than their file: numbers may be shared.

    Where the file itself says which model it holds, nothing else bounds them.

    Raises
    ------
    WeightsCorruptError
        They are.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if size > _MOST_SHARED * path.stat().st_size + _SMALL_BYTES:
        raise WeightsCorruptError(f"{one_line(path)}: its tensors are much larger than the file")


def _unwrapped(loaded: Any) -> Any:
    """Return the dict of tensors within a dict of everything that a training remembers."""
    for _ in range(_MOST_LEVELS):
        if not isinstance(loaded, dict):
            return loaded
        named = [key for key in _STATES if isinstance(loaded.get(key), dict)]
        averages = [
            key for key, value in loaded.items() if isinstance(value, dict) and _EMA.match(str(key))
        ]
        if not (named or averages):
            break
        loaded = loaded[(named or averages)[0]]
    return loaded


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take off what wrappers of modules put before all names."""
    state = {key: tensor for key, tensor in state.items() if key not in _COUNTERS}
    while state:
        prefix = next((p for p in _PREFIXES if all(key.startswith(p) for key in state)), "")
        if not prefix:
            break
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state


def check_archive(file: IO[bytes], size: int) -> None:
    """Check that an archive, if it is one, does not unpack to much more than it has.

    Parameters
    ----------
    file : binary file
        At its beginning, where it is left as well.
    size : int
        Its bytes.

    Raises
    ------
    ValueError
        It would.
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if sum(info.file_size for info in archive.infolist()) > _MOST_PACKED * size:
                raise ValueError("it unpacks to much more than it has")
    file.seek(0)


def is_plain(tensor: Tensor) -> bool:
    """Tell whether a tensor is one of numbers in memory: not sparse, quantised or of a subclass."""
    is_usual = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided
    return is_usual and tensor.device.type == "cpu" and not tensor.is_quantized
