"""Reader of Demucs's weights (version 2) as published: one state dict for all sources."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from partita.weights.state_dicts import read_state_dict

#: The layer at each position of a level; the other positions are activations.
_PARTS = {
    "encoder": {"0": "conv", "2": "rewrite"},
    "decoder": {"0": "rewrite", "2": "conv"},
}


def tensors_from_files(files: Mapping[str, Path]) -> dict[str, Tensor]:
    """Read the file and return its tensors with partita's names.

    Nothing but tensors is unpickled. The caller checks that they are complete; unknown tensors keep
    their names.

    Parameters
    ----------
    files : mapping of str to Path
        One file, for all sources.

    Raises
    ------
    WeightsCorruptError
        The file is not a dict of tensors.
    """
    (path,) = files.values()
    return {_renamed(name): tensor for name, tensor in read_state_dict(path).items()}


def _renamed(name: str) -> str:
    """Return partita's name of ``encoder.LEVEL.PLACE.KIND``, ``decoder.…`` or ``lstm.…``."""
    match name.split("."):
        case ["lstm", *rest]:
            return ".".join(["recurrence", *rest])
        case ["encoder" | "decoder" as side, level, place, kind] if place in _PARTS[side]:
            return f"{side}.{level}.{_PARTS[side][place]}.{kind}"
    return name
