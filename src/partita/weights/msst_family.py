"""`MsstFamily`: how MSST's checkpoints of one architecture become a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from partita.validation import shown, value_fault
from partita.weights.msst_config import MsstConfig

_MOST_SHOWN = 3

#: Tensor name in a checkpoint → shape.
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class MsstFamily:
    """Conversion of one architecture's checkpoints to a model of partita.

    Attributes
    ----------
    model : str
        Name in the model registry.
    title : str
        Its usual name.
    recognises : callable
        Returns whether a checkpoint is of this architecture, from its tensors.
    missing : callable
        Returns the settings (``section.key``) that neither the YAML file nor the tensors determine.
    config : callable
        Returns the model's configuration, if nothing is `missing`.
    tensors : callable
        Returns the tensors under partita's names, for the model's configuration and the YAML file.
        Unknown tensors keep their names.
    """

    model: str
    title: str
    recognises: Callable[[Shapes], bool]
    missing: Callable[[MsstConfig, Shapes], list[str]]
    config: Callable[[MsstConfig, Shapes], dict[str, Any]]
    tensors: Callable[[Mapping[str, Tensor], Mapping[str, Any], MsstConfig], dict[str, Tensor]]


def stems_missing(config: MsstConfig) -> list[str]:
    """Return the missing settings of the stems, for `MsstFamily.missing`."""
    return [] if config.instruments or config.target else ["training.instruments"]


def stem_settings(config: MsstConfig, networks: int, said: int | None = None) -> dict[str, Any]:
    """Return ``sources`` and ``residual`` of a model.

    Parameters
    ----------
    config : MsstConfig
    networks : int
        Number of networks or heads in the checkpoint.
    said : int, optional
        Number in the YAML file. If it agrees with the instruments, the checkpoint is another one,
        and the check of its tensors reports that.

    Raises
    ------
    WeightsCorruptError
        The file has more stems than the checkpoint, and no target.
    """
    count = len(config.sources)
    if config.has_residual or count in (networks, said):
        return {"sources": list(config.sources), "residual": config.has_residual}
    raise config.error(
        f"training.instruments are {count}, the checkpoint separates {networks}: "
        "training.target_instrument must name one"
    )


def head_of_target(config: MsstConfig, networks: int) -> int | None:
    """Return the index of the target's head among several; None: all heads are used."""
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
        Number of sources in the tensors.
    segment : int
        Samples of a window if the file states none.
    said : int, optional
        Number of sources in the YAML file.
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
    """Return how many different numbers the pattern matches in the names of tensors."""
    compiled = re.compile(pattern)
    return len({match[1] for match in map(compiled.match, shapes) if match})


def plain_values(
    config: MsstConfig,
    kinds: Mapping[str, Any],
    ignored: Sequence[str],
    title: str,
) -> dict[str, Any]:
    """Return the settings of the YAML file's section ``model``, by its own keys.

    Parameters
    ----------
    config : MsstConfig
    kinds : mapping of str to annotation
        Known settings and the types of their values.
    ignored : sequence of str
        Settings that do not change the estimates (training, speed).
    title : str
        Usual name of the architecture.

    Raises
    ------
    WeightsCorruptError
        A value has the wrong type, or an unknown setting is in use: the estimates would differ.
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
        raise config.error(f"{listed} {said} that partita knows for {title}")
    return found
