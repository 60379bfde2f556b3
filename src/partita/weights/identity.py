"""What tells one model's weights from another's, without loading them.

Nothing here imports PyTorch.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from partita.errors import WeightsCorruptError, WeightsUnavailableError, one_line
from partita.weights.card import UrlSource, WheelSource
from partita.weights.cards import get_card
from partita.weights.chain import parse_chain
from partita.weights.own import own_checkpoint

_LONGEST_HEADER = 100_000_000  # bytes; what safetensors itself takes


@dataclass(frozen=True)
class CheckpointHeader:
    """What a checkpoint says of itself.

    Attributes
    ----------
    sources : tuple of str
    digest : str
        SHA-256 of model, configuration and tensors.
    """

    sources: tuple[str, ...]
    digest: str


def read_header(path: Path) -> CheckpointHeader:
    """Read what a checkpoint says of itself, in a few milliseconds whatever its size.

    Raises
    ------
    WeightsUnavailableError
        There is no such file, or it cannot be read.
    WeightsCorruptError
        It is not a checkpoint of partita's.
    """
    name = one_line(path)
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _LONGEST_HEADER:
                raise ValueError
            metadata = json.loads(file.read(length))["__metadata__"]
            tensors = metadata.get("tensors_sha256")
            if not tensors:  # older files do not say it: what follows the header stands for it
                tensors = hashlib.file_digest(file, "sha256").hexdigest()
        sources = tuple(map(str, json.loads(metadata["sources"])))
        return CheckpointHeader(sources, _digest(metadata["model"], metadata["config"], tensors))
    except FileNotFoundError as error:
        raise WeightsUnavailableError(f"{name}: no such checkpoint") from error
    except OSError as error:
        raise WeightsUnavailableError(f"{name}: {one_line(error.strerror or error)}") from error
    except (
        struct.error, ValueError, LookupError, TypeError, AttributeError, RecursionError
    ) as error:  # fmt: skip
        raise WeightsCorruptError(f"{name}: not a partita checkpoint") from error


def model_digest(name: str) -> str:
    """Return a SHA-256 of what a name stands for: models, configurations, weights.

    Parameters
    ----------
    name : str
        As for `partita.weights.chain.parse_chain`.

    Raises
    ------
    UsageError
        As `parse_chain`; no such card.
    WeightsError
        A checkpoint that is not there, or is none.
    """
    links = parse_chain(name)
    if len(links) == 1:
        return _link_digest(links[0].model)
    return _digest(*(part for link in links for part in (link.stem, _link_digest(link.model))))


def _link_digest(model: str) -> str:
    own = own_checkpoint(model)
    if own is not None:
        return read_header(own).digest
    card = get_card(model)
    tensors: Any = card.tensors_sha256
    if not tensors and isinstance(card.source, WheelSource | UrlSource):
        tensors = {name: file.sha256 for name, file in card.source.files.items()}
    return _digest(card.model, dict(card.config), tensors)


def _digest(*facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=list).encode()).hexdigest()
