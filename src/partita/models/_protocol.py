"""The contract that every model keeps, and all that the rest of partita knows of one."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from partita.dsp.overlap_add import Window
from partita.errors import ModelError, one_line
from partita.stem_names import is_source_name
from partita.validation import STRICT, check_keys, find_fault, shown

_LEAST_RATE, _MOST_RATE = 1000, 768_000  # what audio files have


@dataclass(frozen=True)
class ModelConfig:
    """Base of the models' configurations; each adds its own fields and checks them.

    Types and bounds are checked here, by the fields' annotations (`partita.validation`);
    subclasses check what is special to them, after ``super().__post_init__()``. Whole numbers are
    within a million, or what the field says: ``layers: int = bounded(3, most=64)``.

    Attributes
    ----------
    sources : tuple of str
        What the model separates, in the order of its estimates.
    sample_rate : int
        In hertz.
    channels : int
        1 or 2.
    """

    sources: tuple[str, ...] = ("vocals", "drums", "bass", "other")
    sample_rate: int = 44100
    channels: int = 2

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):  # JSON and YAML have no tuples
                object.__setattr__(self, field.name, tuple(value))
        fault = find_fault(type(self), vars(self), STRICT)
        self.require(fault is None, fault or "")
        self.require(len(self.sources) >= 1, "sources must name at least one source")
        self.require(len(set(self.sources)) == len(self.sources), "sources must differ")
        for name in self.sources:
            self.require(is_source_name(name), f"bad source name {shown(name)}")
        is_audible = _LEAST_RATE <= self.sample_rate <= _MOST_RATE
        self.require(is_audible, f"sample_rate must be {_LEAST_RATE} to {_MOST_RATE} Hz")
        self.require(self.channels in (1, 2), "channels must be 1 or 2")

    def require(self, condition: bool, message: str) -> None:
        """Raise `ModelError` unless a condition holds."""
        if not condition:
            raise ModelError(f"{type(self).__name__}: {message}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a configuration from plain values, lists standing for tuples.

        Raises
        ------
        UnknownNameError
            A key that the configuration does not have.
        ModelError
            A value of another type than its field's, or out of range.
        """
        if not isinstance(values, Mapping):
            raise ModelError(f"{cls.__name__}: a configuration is a table, not {shown(values)}")
        check_keys(values, cls, f"{cls.__name__} key")
        try:
            return cls(**values)
        except (TypeError, ValueError, ArithmeticError, LookupError) as error:
            # Types and bounds are right by now: values that do not fit each other.
            raise ModelError(f"{cls.__name__}: {one_line(error)}") from error

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; the inverse of `from_dict`."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in dataclasses.asdict(self).items()
        }


@dataclass(frozen=True)
class SongFacts:
    """What is known of a whole song before its first window.

    Attributes
    ----------
    side : Tensor ``[groups]`` or None
        Weight of the side signal (left minus right) of each independent pair of channels: 1 in
        ordinary stereo, 0 if it is silent or noise; None: unknown.
    mixture : str
        Digest of the mixture and its form, where estimates of it are kept; empty: they are not.
    """

    side: Tensor | None = None
    mixture: str = ""


class SeparationModel(nn.Module, ABC):
    """A model: mixture ``[batch, channels, samples]`` in, one estimate a source out.

    Attributes
    ----------
    registry_name : str
        The name it is registered under.
    config_type : type
        Its configuration class.
    config : ModelConfig
        What it was built from.
    window : Window or None
        The window it wants; None: it must see the whole track at once.
    cpu_batch : int
        How many windows it wants to see in one call on one core of a CPU.
    core : str
        Name of the method that is exported: the network, from real tensors to real tensors or to
        an iterator of consecutive pieces along the last axis. `forward` calls it once, and does
        the rest, such as transforms and masks. By default it is `forward` itself.
    no_core : str
        Why there is nothing to export; empty: there is.
    """

    registry_name: ClassVar[str]
    config_type: ClassVar[type[ModelConfig]] = ModelConfig
    window: Window | None = None
    cpu_batch: ClassVar[int] = 1
    core: ClassVar[str] = "forward"
    no_core: ClassVar[str] = ""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def sources(self) -> tuple[str, ...]:
        """What is separated, in the order of the estimates."""
        return self.config.sources

    @property
    def learned(self) -> tuple[str, ...]:
        """The sources that it learns from examples; the others are what these leave."""
        return self.sources

    @property
    def sample_rate(self) -> int:
        """The sample rate it works at, in hertz."""
        return self.config.sample_rate

    @property
    def channels(self) -> int:
        """The channel count it works with."""
        return self.config.channels

    def learn_statistics(self, mixtures: Iterable[Tensor]) -> None:
        """Take what is wanted from typical mixtures before training; here: nothing.

        Parameters
        ----------
        mixtures : iterable of Tensor ``[batch, channels, samples]``
        """
        del mixtures

    def for_inference(self) -> SeparationModel:
        """Return a model that gives the same estimates faster; itself where there is none.

        It shares weights with this one, is in evaluation mode, and cannot be trained or saved.
        """
        return self.eval()

    def for_song(self, facts: SongFacts) -> SeparationModel:
        """Return a model for one song of which something is known; by default this one.

        It shares weights with this one, which does not change: songs may run side by side.

        Parameters
        ----------
        facts : SongFacts
            Of ``n`` independent groups of channels: batches are windows of all groups in turn.
        """
        del facts
        return self

    @abstractmethod
    def forward(self, mixture: Tensor) -> Tensor:
        """Separate.

        Parameters
        ----------
        mixture : Tensor ``[batch, channels, samples]``
            Any number of samples from 1 up; never changed.

        Returns
        -------
        Tensor ``[batch, sources, channels, samples]``
        """
