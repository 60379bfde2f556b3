"""Files of PyTorch's that hold a dict of tensors, as others publish them."""

from __future__ import annotations

import contextlib
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import torch
from torch import Tensor, nn

from partita.errors import WeightsCorruptError, one_line

_MOST_TENSORS = 20_000
_MOST_PACKED = 2  # PyTorch does not compress; numpy's arrays within pickles are not either


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
    except WeightsCorruptError:
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
    name = one_line(path)
    with corrupt_if_unreadable(path, "not a file of tensors"):
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait forever
            raise WeightsCorruptError(f"{name}: not a regular file")
        with path.open("rb") as file:
            check_archive(file, path.stat().st_size)
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(x, Tensor) for x in state.values()):
            raise WeightsCorruptError(f"{name}: not a dict of tensors")
        if len(state) > _MOST_TENSORS or not all(map(_is_plain, state.values())):
            raise WeightsCorruptError(f"{name}: holds tensors of another kind")
        return {str(key): tensor.detach() for key, tensor in state.items()}


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


def _is_plain(tensor: Tensor) -> bool:
    is_usual = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided
    return is_usual and tensor.device.type == "cpu" and not tensor.is_quantized
