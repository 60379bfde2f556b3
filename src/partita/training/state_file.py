"""The state of a training, in a file behind a checksum."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch

from partita.errors import TrainingError, one_line

_MAGIC = b"partita training state 2\n"
_DIGEST_BYTES = hashlib.sha256().digest_size


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state of numbers, texts, tensors, and lists and mappings of them.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    try:
        with path.open("wb") as file:
            file.write(_MAGIC + bytes(_DIGEST_BYTES))
            content = _Hashed(file)
            torch.save(dict(state), content)  # type: ignore[arg-type]
            file.seek(len(_MAGIC))
            file.write(content.digest())
    except RuntimeError as error:  # torch's writer raises it where the file raises an OSError
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


def read_state(path: Path) -> dict[str, Any]:
    """Read what `write_state` wrote.

    Raises
    ------
    TrainingError
        The file cannot be read, is damaged, or something else wrote it.
    """
    name = one_line(path)
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise TrainingError(f"{name}: is no training state of this version of partita")
            expected = file.read(_DIGEST_BYTES)
            start = file.tell()
            if hashlib.file_digest(file, "sha256").digest() != expected:
                raise TrainingError(f"{name}: is damaged, its checksum does not fit")
            _require_uncompressed(file)
            file.seek(start)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise TrainingError(f"{name}: cannot be read: {error.strerror or error}") from error
    except TrainingError:
        raise
    except Exception as error:  # whatever torch's readers meet in a file that is none
        raise TrainingError(f"{name}: is no training state") from error
    if not isinstance(state, dict):
        raise TrainingError(f"{name}: is no training state")
    return state


class _Hashed:
    """A file that computes the checksum of what is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._hash = file, hashlib.sha256()
        self.digest = self._hash.digest

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def _require_uncompressed(file: IO[bytes]) -> None:
    """Raise ValueError for a compressed file; torch compresses nothing."""
    with zipfile.ZipFile(file) as archive:
        if sum(each.file_size for each in archive.infolist()) > file.seek(0, 2):
            raise ValueError("compressed")
