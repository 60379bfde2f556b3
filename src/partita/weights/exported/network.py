"""The network of a model by itself, and inputs for it: what is exported.

Transforms, masks and levels around it stay in the model, see `SeparationModel.core`.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from partita.errors import UsageError
from partita.models._protocol import SeparationModel, SongFacts

_SIDE = 0.5  # neither ordinary stereo nor mono: the weight of the side signal is an input
_LEVEL = 0.1
_BATCH = 2
#: Names of the dynamic axes.
BATCH, LENGTH = "batch", "length"
_LENGTH_S = 10.0  # of examples for models that see whole tracks


class Network(nn.Module):
    """The method `SeparationModel.core` of a model as a module; inputs that are None are left out.

    Parameters
    ----------
    model : SeparationModel
    given : sequence of bool
        For each argument of the method, whether it is an input.
    """

    def __init__(self, model: SeparationModel, given: Sequence[bool]) -> None:
        super().__init__()
        self.model, self._given = model, tuple(given)

    def forward(self, *inputs: Tensor) -> Any:
        """Return a tensor, or a tuple of tensors."""
        rest = iter(inputs)
        arguments = [next(rest) if is_given else None for is_given in self._given]
        found = getattr(self.model, self.model.core)(*arguments)
        return torch.cat(tuple(found), dim=-1) if isinstance(found, Iterator) else found


@dataclass(frozen=True)
class Example:
    """Inputs of a network for mixtures of some length.

    Attributes
    ----------
    samples : int
        Length of the mixtures.
    arguments : tuple of Tensor or None
        Of the method.
    """

    samples: int
    arguments: tuple[Tensor | None, ...]

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The arguments that are tensors."""
        return tuple(each for each in self.arguments if each is not None)


class _Reached(Exception):  # noqa: N818 (no error)
    """Ends a model's `forward` where its network is called."""


def input_names(model: SeparationModel, example: Example) -> list[str]:
    """Return the names of a network's inputs: those of the method's parameters."""
    parameters = inspect.signature(getattr(type(model), model.core)).parameters
    names = [name for name in parameters if name != "self"]
    return [name for name, each in zip(names, example.arguments, strict=True) if each is not None]


def usual_samples(model: SeparationModel) -> int:
    """Return the length of a model's window; of models without, ten seconds."""
    window = model.window
    return window.length if window is not None else round(_LENGTH_S * model.sample_rate)


def example(model: SeparationModel, samples: int, *, batch: int = _BATCH, seed: int = 0) -> Example:
    """Return what a model's network gets for mixtures of noise.

    Parameters
    ----------
    model : SeparationModel
        In evaluation mode.
    samples, batch, seed : int

    Raises
    ------
    UsageError
        The model has no network, or never calls it.
    """
    if model.no_core:
        raise UsageError(f"{model.registry_name} cannot be exported: {model.no_core}")
    rng = torch.Generator().manual_seed(seed)
    mixture = _LEVEL * torch.randn(batch, model.channels, samples, generator=rng)
    if model.core == "forward":
        return Example(samples, (mixture,))
    caught: list[tuple[Tensor | None, ...]] = []

    def catch(*arguments: Tensor | None) -> None:
        caught.append(arguments)
        raise _Reached

    seen = with_core(model.for_song(SongFacts(side=torch.full((batch,), _SIDE))), catch)
    try:
        with torch.no_grad():
            seen(mixture)
    except _Reached:
        return Example(samples, caught[0])
    except NotImplementedError as error:
        raise UsageError(f"{model.registry_name} cannot be exported: {error}") from error
    raise UsageError(
        f"{model.registry_name} cannot be exported: it does not call its method `{model.core}`"
    )


def with_core(model: SeparationModel, run: Callable[..., Any]) -> SeparationModel:
    """Return a model that calls a function in place of its network; it shares the other parts."""
    other = _shallow_copy(model)
    object.__setattr__(other, model.core, run)
    return other


def _shallow_copy(model: SeparationModel) -> SeparationModel:
    other = type(model).__new__(type(model))
    other.__dict__.update(model.__dict__)
    return other


@contextlib.contextmanager
def plain_operators(model: SeparationModel) -> Iterator[None]:
    """Let layers on CPUs take operators of PyTorch, not those of oneDNN, which no exporter knows.

    They do where gradients may be wanted. None are recorded: activations would be kept for them.
    """
    learning = [each for each in model.parameters() if each.requires_grad]
    try:
        for each in learning:
            each.requires_grad_(False)
        with torch.enable_grad():
            yield
    finally:
        for each in learning:
            each.requires_grad_(True)


def dynamic_axes(model: SeparationModel, usual: Example) -> dict[str, dict[int, str]]:
    """Return the axes of each input that depend on the number of mixtures and on their length."""
    names = input_names(model, usual)
    batch = len(usual.inputs[0])
    longer = example(model, usual.samples + usual.samples // 2)
    more = example(model, usual.samples, batch=batch + 1)
    axes = {}
    for name, *tensors in zip(names, usual.inputs, more.inputs, longer.inputs, strict=True):
        axes[name] = _differing(*tensors)
    return axes


def _differing(usual: Tensor, more: Tensor, longer: Tensor) -> dict[int, str]:
    shapes = zip(usual.shape, more.shape, longer.shape, strict=True)
    found = {}
    for axis, (one, other, third) in enumerate(shapes):
        if one != other:
            found[axis] = BATCH
        elif one != third:
            found[axis] = LENGTH
    return found


def as_tuple(found: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the outputs of a network as a tuple."""
    return (found,) if isinstance(found, Tensor) else tuple(found)
