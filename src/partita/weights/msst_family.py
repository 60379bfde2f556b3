"""What a family of models tells the reader of MSST's checkpoints."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from partita.validation import shown, value_fault
from partita.weights.msst_config import MsstConfig

_MOST_SHOWN = 3

#: Of the tensors of a checkpoint, by their names there.
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class MsstFamily:
    """How checkpoints of one architecture become a model of partita's.

    Attributes
    ----------
    model : str
        Name in the model registry.
    title : str
        What people call it.
    recognises : callable
        Tells by the tensors whether a checkpoint is one of these.
    missing : callable
        Names the settings that neither the YAML file nor the tensors say, as ``section.key``.
    config : callable
        Gives the model's configuration; `missing` is empty by then.
    tensors : callable
        Gives the tensors partita's names, for that configuration of the model and the YAML file's.
        Those that have no place in the model keep theirs.
    """

    model: str
    title: str
    recognises: Callable[[Shapes], bool]
    missing: Callable[[MsstConfig, Shapes], list[str]]
    config: Callable[[MsstConfig, Shapes], dict[str, Any]]
    tensors: Callable[[Mapping[str, Tensor], Mapping[str, Any], MsstConfig], dict[str, Tensor]]


def stems_missing(config: MsstConfig) -> list[str]:
    """Return what is missing to know the stems, for `MsstFamily.missing`."""
    return [] if config.instruments or config.target else ["training.instruments"]


def stem_settings(config: MsstConfig, networks: int, said: int | None = None) -> dict[str, Any]:
    """Return ``sources`` and ``residual`` of a model.

    Parameters
    ----------
    config : MsstConfig
    networks : int
        How many networks or heads the checkpoint has.
    said : int, optional
        How many the file says. Where it agrees with its instruments, the checkpoint is another
        one: its tensors will say so.

    Raises
    ------
    WeightsCorruptError
        The file has more stems than the checkpoint, and no target says which one it separates.
    """
    count = len(config.sources)
    if config.has_residual or count in (networks, said):
        return {"sources": list(config.sources), "residual": config.has_residual}
    raise config.error(
        f"training.instruments are {count}, the checkpoint separates {networks}: "
        "training.target_instrument must say which"
    )


def head_of_target(config: MsstConfig, networks: int) -> int | None:
    """Return which of several heads is the target's; None: all are wanted."""
    if config.target is not None and networks == len(config.instruments) > 1:
        return config.instruments.index(config.target)
    return None


def axis_size(shapes: Shapes, name: str, axis: int, default: int = 1) -> int:
    """Return the size of one axis of a tensor; the default where there is none."""
    shape = shapes.get(name, ())
    return shape[axis] if axis < len(shape) and shape[axis] > 0 else default


def common_settings(
    config: MsstConfig, networks: int, segment: int, said: int | None = None
) -> dict[str, Any]:
    """Return the settings of stems, sample rate, level and window.

    Parameters
    ----------
    config : MsstConfig
    networks : int
        How many sources the tensors give.
    segment : int
        Samples of a window where the file states none.
    said : int, optional
        How many sources the file says.
    """
    length, shared = config.window(segment)
    return {
        **stem_settings(config, networks, said),
        "sample_rate": config.sample_rate,
        "normalise_level": config.section("inference").get("normalize") is True,
        "segment_s": length / config.sample_rate,
        "overlap": shared / length,
    }


def count_numbers(shapes: Shapes, pattern: str) -> int:
    """Return how many different numbers a pattern's first group stands for in tensors' names."""
    compiled = re.compile(pattern)
    return len({match[1] for match in map(compiled.match, shapes) if match})


def plain_values(
    config: MsstConfig,
    kinds: Mapping[str, Any],
    ignored: Sequence[str],
    title: str,
) -> dict[str, Any]:
    """Return what the YAML file's ``model`` says, by its own keys.

    Parameters
    ----------
    config : MsstConfig
    kinds : mapping of str to annotation
        The settings that the model has, and the types of their values.
    ignored : sequence of str
        Settings of training or of the other program's speed.
    title : str
        What people call the architecture.

    Raises
    ------
    WeightsCorruptError
        A value of another type; a setting that is in use and that partita does not know: the
        model would be another one.
    """
    found: dict[str, Any] = {}
    unknown: list[str] = []
    for key, value in config.section("model").items():
        if key in ignored or value is None:
            continue
        if key not in kinds:
            if value not in (False, 0, ""):
                unknown.append(f"model.{key} ({shown(value)})")
            continue
        if fault := value_fault(f"model.{key}", value, kinds[key]):
            raise config.error(fault)
        found[key] = value
    if unknown:
        more = len(unknown) - _MOST_SHOWN
        listed = ", ".join(unknown[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
        said = "is no setting" if len(unknown) == 1 else "are no settings"
        raise config.error(
            f"{listed} {said} that partita knows of {title}, which the checkpoint is"
        )
    return found
