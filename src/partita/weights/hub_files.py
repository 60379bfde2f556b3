"""Choice of a repository's checkpoint and configuration. Nothing here imports PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from partita.errors import WeightsUnavailableError, one_line
from partita.weights.external_checkpoints import chosen_config
from partita.weights.own_checkpoints import MODEL_FILE
from partita.weights.suffixes import CONFIGS, EXTERNAL, SAFETENSORS, UNREAD_PICKLES
from partita.weights.web_names import HubName

MIXIN_CONFIG = "config.json"
_MOST_SHOWN = 5


def choose_files(name: HubName, paths: Sequence[str]) -> list[str]:
    """Return the checkpoint of a repository, and its configuration if it has one.

    The checkpoint is ``model.safetensors``, else the only safetensors file, else the only external
    checkpoint with a YAML file in its folder. A pickle without a YAML file must be named.

    Parameters
    ----------
    name : HubName
    paths : sequence of str
        Paths of all files.

    Raises
    ------
    WeightsUnavailableError
        There is no checkpoint, only a pickle, or several and the name does not say which.
    WeightsCorruptError
        Several YAML files are beside it.
    """
    found = [PurePosixPath(path) for path in paths]
    checkpoint = _named(name, found) if name.file else _only(name, found)
    if name.config:
        return [str(checkpoint)]
    beside = [path for path in found if path.parent == checkpoint.parent]
    for described in (MIXIN_CONFIG, f"{checkpoint.stem}.json"):  # the latter is demucs's
        if checkpoint.suffix.lower() == SAFETENSORS and checkpoint.with_name(described) in beside:
            return [str(checkpoint), str(checkpoint.with_name(described))]
    configs = sorted(path for path in beside if path.suffix.lower() in CONFIGS)
    config = chosen_config(checkpoint, configs)
    return [str(checkpoint)] if config is None else [str(checkpoint), str(config)]


def _named(name: HubName, found: Sequence[PurePosixPath]) -> PurePosixPath:
    path = PurePosixPath(name.file)
    if path not in found or path.suffix.lower() not in (SAFETENSORS, *EXTERNAL):
        known = _listed([each for each in found if each.suffix.lower() in (SAFETENSORS, *EXTERNAL)])
        raise WeightsUnavailableError(
            f"{name.text}: the repository has no checkpoint {one_line(name.file)}; it has {known}"
        )
    return path


def _only(name: HubName, found: Sequence[PurePosixPath]) -> PurePosixPath:
    safe = [path for path in found if path.suffix.lower() == SAFETENSORS]
    usual = [path for path in safe if str(path) == MODEL_FILE]
    described = {path.parent for path in found if path.suffix.lower() in CONFIGS}
    others = [path for path in found if path.suffix.lower() in EXTERNAL]
    pickled = [path for path in others if path.suffix.lower() != ".onnx"]
    readable = [p for p in others if p.parent in described or name.config or p not in pickled]
    revision = f"@{name.revision}" if name.revision else ""
    for choice in (usual, safe, readable):
        if len(choice) == 1:
            return choice[0]
        if choice:
            raise WeightsUnavailableError(
                f"{name.text} holds several checkpoints: name one, "
                f"hf:{name.repository}/{one_line(choice[0])}{revision} ({_listed(choice)})"
            )
    pickles = pickled or [path for path in found if path.suffix.lower() in UNREAD_PICKLES]
    if pickles:
        raise WeightsUnavailableError(
            f"{name.text} holds only a pickle ({_listed(pickles)}), which could run code, and no "
            "YAML file that describes it: refused; ask its owner for safetensors"
        )
    raise WeightsUnavailableError(f"{name.text} holds no checkpoint (it has {_listed(found)})")


def _listed(paths: Sequence[PurePosixPath]) -> str:
    shown = ", ".join(one_line(path) for path in paths[:_MOST_SHOWN])
    more = len(paths) - _MOST_SHOWN
    return (shown or "none") + (f" and {more} more" if more > 0 else "")
