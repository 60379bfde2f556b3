"""What partita writes into the ONNX files that it exports, and reading it.

Nothing here imports PyTorch or ONNX Runtime.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import stat
from collections.abc import Mapping
from pathlib import Path

from partita.errors import WeightsCorruptError, WeightsUnavailableError, one_line
from partita.files import exists
from partita.stem_names import is_source_name
from partita.weights.hash_cache import cached_digest
from partita.weights.protobuf import bytes_field, fields, message

#: Of the metadata and of what the network's inputs and outputs mean.
FORMAT = "partita-onnx-1"
#: In the place of a method: the file holds the whole model, transform and masks included.
WHOLE = "whole"
#: In folders of exported models: how they are combined.
PLAN_FILE = "partita-model.json"
_GRAPH, _METADATA, _KEY, _VALUE = 7, 14, 1, 2  # fields of the model and of an entry
_FORMAT_KEY, _DIGEST_KEY = "format", "sha256"
_REQUIRED = (
    "model",
    "config",
    "sources",
    "sample_rate",
    "core",
    "least_samples",
    "digest",
    "weights",
)
_MOST_CHARS = 1_000_000
#: Names the file that holds a tensor's values, where the ONNX file does not.
_ELSEWHERE = b"location"


def with_metadata(graph: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return an ONNX file with metadata, and at its end a digest of everything else."""
    entries = {_FORMAT_KEY: FORMAT, **metadata}
    content = graph + b"".join(_entry(key, value) for key, value in entries.items())
    return content + _entry(_DIGEST_KEY, hashlib.sha256(content).hexdigest())


def _entry(key: str, value: str) -> bytes:
    pair = bytes_field(_KEY, key.encode()) + bytes_field(_VALUE, value.encode())
    return bytes_field(_METADATA, pair)


def read_metadata(path: Path) -> Mapping[str, str] | None:
    """Return what partita wrote into an ONNX file; None: another program wrote the file.

    Raises
    ------
    WeightsUnavailableError
        The file does not exist.
    WeightsCorruptError
        It is not a readable ONNX file, or another version of partita wrote it.
    """
    name = one_line(path)
    if not exists(path):
        raise WeightsUnavailableError(f"{name}: no such checkpoint")
    try:
        found = _entries(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise WeightsCorruptError(
            f"{name}: not a readable ONNX file ({reason or one_line(error)})"
        ) from error
    if _DIGEST_KEY not in found or not found.get(_FORMAT_KEY, "").startswith("partita-"):
        return None
    if found[_FORMAT_KEY] != FORMAT:
        raise WeightsCorruptError(
            f"{name}: another version of partita exported it ({one_line(found[_FORMAT_KEY][:40])}, "
            f"this one reads {FORMAT}): export it again"
        )
    if missing := [key for key in _REQUIRED if key not in found]:
        raise WeightsCorruptError(f"{name}: not an exported model (it lacks {missing[0]})")
    if not _are_names(found["sources"]):
        raise WeightsCorruptError(f"{name}: not an exported model (its sources are no names)")
    return found


def _entries(path: Path) -> dict[str, str]:
    """Read the metadata of an ONNX file; of the network only its length."""
    found, graphs = {}, 0
    _require(stat.S_ISREG(path.stat().st_mode), "it is not a regular file")
    _require(path.stat().st_size > 0, "it is empty")
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as content,
    ):
        for field, value in fields(content):
            graphs += field == _GRAPH
            kept = bytes(message(value)) if field == _METADATA else b""
            if isinstance(value, memoryview):
                value.release()  # a file that is looked at cannot be closed
            if field == _METADATA:
                entry = dict(fields(memoryview(kept)))
                _require(_KEY in entry and _VALUE in entry, "an entry of its metadata is empty")
                found[_text(entry[_KEY])] = _text(entry[_VALUE])
    _require(graphs == 1, "it holds no network")
    return found


def _require(condition: bool, fault: str) -> None:
    if not condition:
        raise ValueError(fault)


def _text(value: int | memoryview) -> str:
    data = message(value)
    _require(len(data) <= _MOST_CHARS, "a text in it is too long")
    return bytes(data).decode()


def verify(path: Path) -> None:
    """Check that an exported file is as it was written, and that it holds all of its weights.

    A large file is read again only after it has changed.

    Raises
    ------
    WeightsCorruptError
        It is damaged, or has weights in other files.
    """
    cached_digest(path, lambda: _checked_digest(path), kind="exported")


def _checked_digest(path: Path) -> str:
    content = path.read_bytes()
    digest = hashlib.sha256(content[: -len(_ANY_DIGEST)]).hexdigest()
    if not content.endswith(_entry(_DIGEST_KEY, digest)):
        raise WeightsCorruptError(f"{one_line(path)}: damaged: its SHA-256 is another one")
    if _ELSEWHERE in content:
        raise WeightsCorruptError(
            f"{one_line(path)}: some of its weights are in other files: partita never writes such"
        )
    return digest


_ANY_DIGEST = _entry(_DIGEST_KEY, 64 * "0")


def sources_of(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Return the stems of an exported model, as `read_metadata` has checked them."""
    return tuple(json.loads(metadata["sources"]))


def plan_file(name: str) -> Path | None:
    """Return the file that combines the models of a folder; None: the name is no such folder."""
    with contextlib.suppress(OSError, ValueError):
        path = Path(name) / PLAN_FILE
        return path if name and path.is_file() else None
    return None


def _are_names(text: str) -> bool:
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(names, list) and bool(names) and all(map(is_source_name, names))
