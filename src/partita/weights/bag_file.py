"""Bags of demucs: YAML files with the names of networks beside them, and weights for each source.

Nothing here imports PyTorch.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from partita.errors import WeightsCorruptError, WeightsError, WeightsUnavailableError, one_line
from partita.files import exists
from partita.validation import shown, value_fault
from partita.weights.card import BagMember
from partita.weights.external_checkpoints import AT, external_checkpoint, is_config
from partita.weights.hash_cache import cached_sha256
from partita.weights.imported_checkpoints import imported_checkpoint
from partita.weights.msst_config import read_config
from partita.weights.suffixes import DEMUCS_PACKAGE
from partita.weights.web_names import is_web_name

_MODELS = "models"
_SIGNATURE = re.compile(r"[\w.-]{1,100}")
_MOST_MEMBERS = 64


def bag_file(name: str) -> Path | None:
    """Return the bag that a name stands for; None: it stands for something else.

    Parameters
    ----------
    name : str
        The path of a YAML file, which need not exist; or of a folder whose only YAML file is a bag.
        The name of an imported checkpoint is never taken for a folder.
    """
    if not name or "\0" in name or is_web_name(name) or imported_checkpoint(name) is not None:
        return None
    path = Path(name)
    with contextlib.suppress(OSError, WeightsError):
        if path.is_dir():
            found = [each for each in sorted(path.iterdir()) if is_config(each)]
            is_bag = len(found) == 1 and _MODELS in read_config(found[0]).values
            return found[0] if is_bag else None
        if is_config(path) and external_checkpoint(name) is None:
            return path
    return None


def read_bag(path: Path) -> tuple[BagMember, ...]:
    """Read a bag; a network that is named twice becomes one, with the sum of its weights.

    Returns
    -------
    tuple of BagMember
        With names of the form ``FILE@BAG``, as `external_checkpoint` takes them.

    Raises
    ------
    WeightsUnavailableError
        The file, or a network that it names, is missing.
    WeightsCorruptError
        It is not a bag; two files beside it have the name of one network.
    """
    name = one_line(path)
    if not exists(path):
        raise WeightsUnavailableError(f"{name}: no such bag of models")
    values = read_config(path).values
    signatures = _signatures(name, values)
    rows = _weights(name, values, len(signatures))
    segment_s(path)
    merged: dict[str, tuple[float, ...]] = {}
    for signature, row in zip(signatures, rows, strict=True):
        before = merged.get(signature)
        merged[signature] = row if before is None else _sums(before, row)
    files = {signature: _member_file(path, signature) for signature in merged}
    return tuple(BagMember(f"{files[key]}{AT}{path}", row) for key, row in merged.items())


def segment_s(path: Path) -> float | None:
    """Return the window length in a bag, in seconds; None: it has none.

    Raises
    ------
    WeightsUnavailableError, WeightsCorruptError
        It cannot be read, or the value is not a length.
    """
    found = read_config(path).values.get("segment")
    if found is None:
        return None
    fault = value_fault("segment (in seconds)", found, float, least=0.001, most=3600)
    if fault:
        raise WeightsCorruptError(f"{one_line(path)}: {fault}")
    return float(found)


def check_member(path: Path, bag: Path) -> None:
    """Check a network in a bag against the hash in its name, ``SIGNATURE-HASH.th``, as demucs does.

    Raises
    ------
    WeightsUnavailableError
        It cannot be read.
    WeightsCorruptError
        It has another hash.
    """
    if path.suffix.lower() != DEMUCS_PACKAGE or _MODELS not in read_config(bag).values:
        return
    _, dash, digits = path.stem.rpartition("-")
    try:
        if dash and not cached_sha256(path).startswith(digits):
            raise WeightsCorruptError(f"{one_line(path)}: does not have the SHA-256 in its name")
    except OSError as error:
        raise WeightsUnavailableError(
            f"{one_line(path)}: {one_line(error.strerror or error)}"
        ) from error


def _signatures(name: str, values: Mapping[str, Any]) -> list[str]:
    found = values.get(_MODELS)
    if found is None:
        raise WeightsCorruptError(
            f"{name}: names no models, as a bag does; what describes a checkpoint is named behind "
            f"it, CHECKPOINT{AT}{name}"
        )
    if fault := value_fault("models", found, tuple[str, ...]):
        raise WeightsCorruptError(f"{name}: {fault}")
    if not found:
        raise WeightsCorruptError(f"{name}: models is empty")
    if len(found) > _MOST_MEMBERS:
        raise WeightsCorruptError(f"{name}: names {len(found):,} models")
    for signature in found:
        if not _SIGNATURE.fullmatch(signature):
            raise WeightsCorruptError(f"{name}: a model is called {shown(signature)}")
    return list(found)


def _weights(name: str, values: Mapping[str, Any], count: int) -> list[tuple[float, ...]]:
    rows = values.get("weights")
    if rows is None:
        return [(1.0,)] * count
    if fault := value_fault("weights", rows, tuple[tuple[float, ...], ...], least=0):
        raise WeightsCorruptError(f"{name}: {fault}")
    if len(rows) != count:
        raise WeightsCorruptError(f"{name}: weights have {len(rows)} rows for {count} models")
    if len(set(map(len, rows))) > 1 or not rows[0]:
        raise WeightsCorruptError(f"{name}: the rows of weights differ in length")
    return [tuple(map(float, row)) for row in rows]


def _sums(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _member_file(path: Path, signature: str) -> Path:
    """Return the file of a network, ``SIGNATURE.th``, ``SIGNATURE-HASH.th`` or ``.safetensors``."""
    names = [f"{signature}.safetensors", f"{signature}.th", f"{signature}-*.th"]
    found = [each for name in names for each in sorted(path.parent.glob(name))]
    if not found:
        raise WeightsUnavailableError(
            f"{one_line(path)}: the model {signature} is missing: put {signature}.th or "
            f"{signature}.safetensors beside it"
        )
    if len(found) > 1:
        shown_names = ", ".join(one_line(each.name) for each in found[:3])
        raise WeightsCorruptError(
            f"{one_line(path)}: several files are the model {signature} ({shown_names}): leave one"
        )
    return found[0]
