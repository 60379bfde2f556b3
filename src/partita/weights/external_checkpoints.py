"""Names that stand for checkpoints of other programs, with their YAML files.

Nothing here imports PyTorch.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, TypeVar

from partita.errors import (
    UsageError,
    WeightsCorruptError,
    WeightsUnavailableError,
    one_line,
)
from partita.files import exists
from partita.weights.cards import CARDS
from partita.weights.own_checkpoints import own_checkpoint
from partita.weights.safetensors_header import Header, read_header
from partita.weights.suffixes import (
    CONFIGS,
    DEMUCS_PACKAGE,
    EXTERNAL,
    SAFETENSORS,
    SELF_DESCRIBED,
    TRAINING_STATES,
)
from partita.weights.web_names import is_web_name, web_name

#: Separates a checkpoint and its configuration in a name.
AT = "@"
#: demucs's metadata key for a network's class.
DEMUCS_CLASS = "klass"
_MOST_JSON_BYTES = 4_000_000
_PathType = TypeVar("_PathType", bound=PurePath)
#: Reads the header of a safetensors file, or remembers it.
ReadHeader = Callable[[Path], Header]


@dataclass(frozen=True)
class ExternalCheckpoint:
    """A checkpoint file and its configuration.

    Attributes
    ----------
    path : Path
    config : Path or None
    """

    path: Path
    config: Path | None


def external_checkpoint(name: str, read: ReadHeader = read_header) -> ExternalCheckpoint | None:
    """Return the external checkpoint that a name stands for; None: it stands for something else.

    Parameters
    ----------
    name : str
        The path of a checkpoint (``.ckpt``, ``.chpt``, ``.pt``, ``.pth``, ``.th``, ``.onnx``, or
        ``.safetensors`` that partita did not write); the same with ``@`` and the path of its
        configuration; or a folder that holds one of each. The configuration of a checkpoint is the
        file of the same name beside it, else the only one in its folder; demucs's checkpoints need
        none.
    read : callable
        Returns the header of a safetensors file.

    Raises
    ------
    WeightsCorruptError
        A folder or a checkpoint has several possible configurations.
    """
    if not name or "\0" in name or name in CARDS or is_web_name(name):
        return None
    own = own_checkpoint(name)
    if own is not None and (not exists(own) or _is_ours(own, read)):
        return None
    whole = Path(name)
    with contextlib.suppress(OSError):
        if whole.is_dir():
            return _in_folder(whole, read)
    checkpoint, at, config = name.rpartition(AT)
    if at and checkpoint and config.lower().endswith(CONFIGS) and not exists(whole):
        return ExternalCheckpoint(Path(checkpoint), Path(config))
    if not _may_be_external(whole, read):
        return None
    return ExternalCheckpoint(whole, _beside(whole, read))


def checkpoint_file(name: str) -> Path | None:
    """Return the checkpoint file, partita's or external, that a name stands for; None: no file.

    Raises
    ------
    WeightsCorruptError
        As `external_checkpoint`.
    """
    external = external_checkpoint(name)
    return own_checkpoint(name) if external is None else external.path


def check_folder(name: str) -> None:
    """Refuse a folder that does not hold exactly one checkpoint; accept other names.

    Raises
    ------
    WeightsUnavailableError
        It holds no or several checkpoints.
    """
    with contextlib.suppress(OSError, ValueError):  # not a valid path
        folder = Path(name)
        if not name or not folder.is_dir() or checkpoint_file(name) is not None:
            return
        found = _checkpoints(folder)
        if not found:
            raise WeightsUnavailableError(f"{one_line(name)}: no checkpoint in this folder")
        shown = ", ".join(one_line(each.name) for each in found[:3])
        raise WeightsUnavailableError(
            f"{one_line(name)}: several checkpoints in this folder ({shown}): name one of them"
        )


def name_with_config(name: str, config: Path) -> str:
    """Return the name that joins a checkpoint and its configuration.

    Raises
    ------
    UsageError
        `config` is not a YAML file, or the name does not stand for an external checkpoint.
    """
    if not is_config(config):
        raise UsageError(f"`config` {one_line(config)} is not a YAML file (.yaml, .yml)")
    if (found_there := web_name(name)) is not None:
        if found_there.config:
            raise UsageError(f"`config`: {one_line(name)} names a YAML file already")
        return f"{name}{AT}{config}"
    path = Path(name)
    if path.is_dir():
        found = [each for each in _checkpoints(path) if _may_be_external(each)]
        if len(found) != 1:
            raise UsageError(f"`config`: {one_line(name)} holds {len(found)} checkpoints, not one")
        path = found[0]
    if set(name) & set("+,") and not exists(path):
        raise UsageError(
            f"`config` describes one checkpoint, not those of {one_line(name)}: "
            f"write CHECKPOINT{AT}FILE.yaml for each"
        )
    if path.suffix.lower() not in (*EXTERNAL, SAFETENSORS):
        raise UsageError(
            f"`config` describes a checkpoint file ({', '.join(EXTERNAL)}, {SAFETENSORS}), "
            f"which {one_line(name)} is not"
        )
    return f"{path}{AT}{config}"


def is_config(path: Path) -> bool:
    """Return whether a file is a configuration, judging by its name."""
    return path.suffix.lower() in CONFIGS


def external_label(name: str, found: ExternalCheckpoint) -> str:
    """Return the label of a checkpoint's stems: the name of its file or folder."""
    return Path(name).resolve().name if Path(name).is_dir() else found.path.stem


def _may_be_external(path: Path, read: ReadHeader = read_header) -> bool:
    suffix = path.suffix.lower()
    return suffix in EXTERNAL or (
        suffix == SAFETENSORS and exists(path) and not _is_ours(path, read)
    )


def is_demucs(path: Path, read: ReadHeader = read_header) -> bool:
    """Return whether a checkpoint is demucs's: a ``.th`` package, or safetensors with its metadata.

    demucs 4.1.0 stores a network's constructor arguments in the metadata of a safetensors file, and
    in a JSON file beside it.
    """
    if path.suffix.lower() != SAFETENSORS:
        return path.suffix.lower() == DEMUCS_PACKAGE
    with contextlib.suppress(WeightsCorruptError):
        metadata = read(path).metadata
        return DEMUCS_CLASS in metadata or (
            "model" not in metadata and DEMUCS_CLASS in read_sidecar(path)
        )
    return False


def read_sidecar(path: Path) -> Mapping[str, Any]:
    """Return the JSON file beside a safetensors file; empty if there is none."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        beside = path.with_suffix(".json")
        if beside.is_file() and beside.stat().st_size <= _MOST_JSON_BYTES:
            found = json.loads(beside.read_bytes())
            return found if isinstance(found, dict) else {}
    return {}


def _is_ours(path: Path, read: ReadHeader) -> bool:
    """Return whether partita wrote a file; True for unreadable ones, whose reader reports why."""
    try:
        metadata = read(path).metadata
    except WeightsCorruptError:
        return True
    return "model" in metadata or not (is_demucs(path, read) or _configs(path.parent))


def _in_folder(folder: Path, read: ReadHeader) -> ExternalCheckpoint | None:
    found = [path for path in _checkpoints(folder) if _may_be_external(path, read)]
    return ExternalCheckpoint(found[0], _beside(found[0], read)) if len(found) == 1 else None


def _checkpoints(folder: Path) -> list[Path]:
    """Return the files of a folder that may be checkpoints, judging by their names."""
    files = (path for path in folder.iterdir() if path.name not in TRAINING_STATES)
    return sorted(path for path in files if path.suffix.lower() in (*EXTERNAL, SAFETENSORS))


def _beside(path: Path, read: ReadHeader) -> Path | None:
    if path.suffix.lower() in SELF_DESCRIBED or not exists(path) or is_demucs(path, read):
        return None
    return chosen_config(path, _configs(path.parent))


def _configs(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted(path for path in folder.iterdir() if is_config(path))
    return []


def chosen_config(checkpoint: _PathType, configs: Sequence[_PathType]) -> _PathType | None:
    """Return the configuration of a checkpoint among those in its folder; None: no configuration.

    Raises
    ------
    WeightsCorruptError
        There are several, and none has the checkpoint's name.
    """
    stem = checkpoint.stem
    for name in (stem, f"config_{stem}", f"{stem}_config"):
        for path in configs:
            if path.stem == name:
                return path
    if len(configs) > 1:
        names = ", ".join(one_line(path.name) for path in configs[:3])
        raise WeightsCorruptError(
            f"{one_line(checkpoint)}: several configurations are beside it ({names}): "
            "choose one with `config`"
        )
    return configs[0] if configs else None
