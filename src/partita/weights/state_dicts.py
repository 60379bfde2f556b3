"""Reader of PyTorch files with a dict of tensors."""

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
_MOST_PACKED = 2  # PyTorch does not compress, nor does NumPy in pickles
_MOST_LEVELS = 4
#: Tensors may share storage (tied weights), within a limit that copies cannot exceed.
_MOST_SHARED = 4
_SMALL_BYTES = 10_000_000
#: Keys of a model's tensors in checkpoints, in order of search.
_STATES = ("state", "state_dict", "model_state_dict", "model", "module", "net", "network")
_EMA = re.compile(r"ema|.*_ema$")
#: Prefixes and counters of module wrappers.
_PREFIXES = ("module.", "_orig_mod.", "ema_model.", "model.", "net.", "network.")
_COUNTERS = ("n_averaged", "initted", "step")
#: Scores in checkpoints are often NumPy numbers: plain data.
_SCALAR = np.float64(0).__reduce__()[0]
_NUMPY_SCALARS: list[Any] = [
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")),
]
_GLOBAL = re.compile(r"GLOBAL ([\w.]+\w)")


@contextlib.contextmanager
def corrupt_if_unreadable(name: object, fault: str) -> Iterator[None]:
    """Turn any exception of a reader into one line: damaged files raise many kinds.

    Parameters
    ----------
    name : object
        The file's name, for the message.
    fault : str
        The message.

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

    A small file may declare a large expanded tensor: check shapes before copying anything.

    Raises
    ------
    WeightsCorruptError
        The file holds anything else, or tensors that are sparse, quantised or meta tensors.
    """
    with corrupt_if_unreadable(path, "not a file of tensors"):
        return checked_tensors(path, load_restricted(path))


def read_nested_state_dict(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors of a model from a checkpoint of its training.

    They are at the top level, or under ``state``, ``state_dict``, ``model_state_dict``, ``model``,
    else under a key that begins or ends with ``ema``. Prefixes of module wrappers (``module.``,
    ``_orig_mod.``, ``model.``) are removed.

    Returns
    -------
    tensors : dict of str to Tensor
    facts : dict of str to any
        The checkpoint's entry ``meta``; empty: none.

    Raises
    ------
    WeightsUnavailableError
        The file does not exist.
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
    """Unpickle a PyTorch file: tensors and plain values, no code.

    Raises
    ------
    WeightsCorruptError
        It is not a regular file, or names something that could be code.
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
                f"{name}: not a file of tensors: it holds {one_line(wanted[1])[:100]}, which could "
                "be code: refused, nothing was run"
            ) from error
        raise


def checked_tensors(path: Path, state: Any) -> dict[str, Tensor]:
    """Return a checked dict of tensors.

    Raises
    ------
    WeightsCorruptError
        It is anything else, or has tensors that are sparse, quantised or meta tensors.
    """
    name = one_line(path)
    if not isinstance(state, dict) or not all(isinstance(x, Tensor) for x in state.values()):
        raise WeightsCorruptError(f"{name}: not a dict of tensors")
    if len(state) > _MOST_TENSORS or not all(map(is_plain, state.values())):
        raise WeightsCorruptError(f"{name}: holds tensors of another kind")
    return {str(key): tensor.detach() for key, tensor in state.items()}


def check_size(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Check that tensors are not much larger than their file (shared storage).

    If the file itself states its model, nothing else bounds them.

    Raises
    ------
    WeightsCorruptError
        They are larger.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if size > _MOST_SHARED * path.stat().st_size + _SMALL_BYTES:
        raise WeightsCorruptError(f"{one_line(path)}: its tensors are much larger than the file")


def _unwrapped(loaded: Any) -> Any:
    """Return the dict of tensors within the dict of a training's state."""
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
    """Remove the prefixes of module wrappers from all names."""
    state = {key: tensor for key, tensor in state.items() if key not in _COUNTERS}
    while state:
        prefix = next((p for p in _PREFIXES if all(key.startswith(p) for key in state)), "")
        if not prefix:
            break
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state


def check_archive(file: IO[bytes], size: int) -> None:
    """Check that a file, if it is an archive, does not unpack to much more than its size.

    Parameters
    ----------
    file : binary file
        At its beginning; its position is kept.
    size : int
        In bytes.

    Raises
    ------
    ValueError
        It unpacks to more.
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if sum(info.file_size for info in archive.infolist()) > _MOST_PACKED * size:
                raise ValueError("it unpacks to much more than its size")
    file.seek(0)


def is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor is dense and in memory: not sparse, quantised or of a subclass."""
    is_usual = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided
    return is_usual and tensor.device.type == "cpu" and not tensor.is_quantized
