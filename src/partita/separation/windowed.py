"""What separates a stream: one model in windows, or a chain of two estimators."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from partita.audio.channels import mix_channels
from partita.audio.resample import resample_blocks
from partita.dsp.blocks import BlockBuffer
from partita.dsp.overlap_add import Window, average_shifts, overlap_add, random_offsets
from partita.errors import UsageError
from partita.models._protocol import SeparationModel, SongFacts
from partita.separation.model_runner import ModelRunner
from partita.weights.chain import Link, chained_sources, taken_stem

_LONGEST_SHIFT_S = 0.5
_UNKNOWN = SongFacts()


class Estimator(Protocol):
    """What takes a stream apart, whatever it consists of."""

    @property
    def sources(self) -> tuple[str, ...]:
        """What is separated, in the order of the estimates."""

    @property
    def sample_rate(self) -> int:
        """The sample rate of the stream, in hertz."""

    @property
    def channels(self) -> int:
        """The channel count of the stream."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All models that it consists of, from left to right."""

    def estimate(
        self,
        blocks: Iterable[Tensor],
        facts: SongFacts = _UNKNOWN,
        pool: ThreadPoolExecutor | None = None,
    ) -> Generator[Tensor, None, None]:
        """Separate a stream.

        Parameters
        ----------
        blocks : iterable of Tensor ``[groups, channels, samples]``
            Independent groups of channels, in blocks of any length.
        facts : SongFacts
            What is known of the whole stream.
        pool : ThreadPoolExecutor, optional
            The threads of an estimator that this one is part of; by default each stage makes its
            own, until the stream ends.

        Yields
        ------
        Tensor ``[groups, sources, channels, samples]``
            As many samples in all as the stream had.
        """


@dataclass(frozen=True)
class StageOptions:
    """How models are run: what a Separator's options come to, the same for each stage.

    Attributes
    ----------
    device : torch.device
    precision : torch.dtype
    segment_s, overlap : float or None
    shifts, seed, wiener : int
        As for `partita.Separator`.
    """

    device: torch.device
    precision: torch.dtype
    segment_s: float | None = None
    overlap: float | None = None
    shifts: int = 0
    seed: int = 0
    wiener: int = 0

    def __post_init__(self) -> None:
        if self.segment_s is not None and not 0.1 <= self.segment_s <= 3600:
            raise UsageError(f"--segment {self.segment_s:g} is not between 0.1 and 3600 seconds")
        if self.overlap is not None and not 0.0 <= self.overlap <= 0.95:
            raise UsageError(f"--overlap {self.overlap:g} is not between 0 and 0.95")
        if self.shifts < 0:
            raise UsageError(f"--shifts {self.shifts} is negative")
        if self.wiener < 0:
            raise UsageError(f"--wiener {self.wiener} is negative")


class Stage:
    """One model on streams: in windows, and under random delays where they are asked for.

    Parameters
    ----------
    model : SeparationModel
    options : StageOptions

    Attributes
    ----------
    runner : ModelRunner
    window : Window or None
        None: the model sees whole tracks.

    Raises
    ------
    UsageError
        A Wiener filter behind a model of one source.
    """

    def __init__(self, model: SeparationModel, options: StageOptions) -> None:
        if options.wiener and len(model.sources) < 2:
            raise UsageError(
                f"--wiener shares the mixture out among sources: {model.registry_name} has one"
            )
        self.runner = ModelRunner(model, options.device, options.precision, options.wiener)
        self.window = _choose_window(model, options)
        longest = round(_LONGEST_SHIFT_S * model.sample_rate)
        self._offsets = random_offsets(options.shifts, longest, options.seed)

    @property
    def sources(self) -> tuple[str, ...]:
        """What the model separates."""
        return self.runner.model.sources

    @property
    def sample_rate(self) -> int:
        """The model's sample rate in hertz."""
        return self.runner.model.sample_rate

    @property
    def channels(self) -> int:
        """The model's channel count."""
        return self.runner.model.channels

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Itself."""
        return (self,)

    def estimate(
        self,
        blocks: Iterable[Tensor],
        facts: SongFacts = _UNKNOWN,
        pool: ThreadPoolExecutor | None = None,
    ) -> Generator[Tensor, None, None]:
        """Separate a stream, as `Estimator.estimate` says."""
        runner = self.runner.for_song(facts)
        with nullcontext(pool) if pool else runner.workers() as workers:

            def once(stream: Iterator[Tensor]) -> Iterator[Tensor]:
                if self.window is None:
                    return iter([runner.run(torch.cat(list(stream), dim=-1))])
                return overlap_add(stream, partial(runner.map_windows, workers), self.window)

            if self._offsets:
                yield from average_shifts(blocks, once, self._offsets)
            else:
                yield from once(iter(blocks))


def _choose_window(model: SeparationModel, options: StageOptions) -> Window | None:
    own = model.window
    if own is None:
        return None
    seconds, overlap = options.segment_s, options.overlap
    length = own.length if seconds is None else round(seconds * model.sample_rate)
    fraction = own.overlap / own.length if overlap is None else overlap
    return own.resized(length, fraction)


@dataclass(frozen=True)
class Chain:
    """Two estimators, of which the second takes apart one stem of the first.

    Rate and channel count are the first's. Estimates that both have by one name are added, so that
    a chain's estimates add up to what the first's do, if the second's add up to what it is given.

    Attributes
    ----------
    first, second : Estimator
    taken : str
        The source of the first that the second takes apart.
    """

    first: Estimator
    second: Estimator
    taken: str

    @property
    def sources(self) -> tuple[str, ...]:
        """The first's sources but for the one taken, then the second's."""
        return chained_sources(self.first.sources, self.taken, self.second.sources)

    @property
    def sample_rate(self) -> int:
        """The first's sample rate in hertz."""
        return self.first.sample_rate

    @property
    def channels(self) -> int:
        """The first's channel count."""
        return self.first.channels

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Those of the first, then those of the second."""
        return self.first.stages + self.second.stages

    def estimate(
        self,
        blocks: Iterable[Tensor],
        facts: SongFacts = _UNKNOWN,
        pool: ThreadPoolExecutor | None = None,
    ) -> Generator[Tensor, None, None]:
        """Separate a stream, as `Estimator.estimate` says.

        The second is told the facts of the mixture, not of the stem that it takes apart: that is
        not known before its end, and what an estimate has in its side where the mixture has nothing
        is error.
        """
        kept = BlockBuffer()  # what waits until the second is as far
        first = self.first.estimate(blocks, facts, pool)
        second = self.second.estimate(*self._handed_on(self._tap(first, kept), facts), pool)
        # The second has begun before the first and must outlive it, also where nobody reads on:
        # both take threads and give them back.
        with closing(second), closing(first):
            for others, parts in in_step(kept, _converted(second, self.second, self.first)):
                yield self._merged(others, parts)

    def given_to_second(
        self, blocks: Iterable[Tensor], facts: SongFacts
    ) -> tuple[Iterator[Tensor], SongFacts]:
        """Return what the second gets of a stream: the stem taken, and the facts.

        Parameters
        ----------
        blocks, facts
            As for `estimate`.

        Returns
        -------
        stem : iterator of Tensor ``[groups, channels, samples]``
            At the second's rate and channel count.
        facts : SongFacts
        """
        taken = self.first.sources.index(self.taken)
        stem = (block[:, taken] for block in self.first.estimate(blocks, facts))
        return self._handed_on(stem, facts)

    def _handed_on(
        self, stem: Iterator[Tensor], facts: SongFacts
    ) -> tuple[Iterator[Tensor], SongFacts]:
        is_copied = self.first.channels == 1 and self.second.channels == 2
        known = SongFacts(side=torch.zeros(1)) if is_copied else facts
        return _converted(stem, self.first, self.second), known

    def _tap(self, estimates: Iterable[Tensor], kept: BlockBuffer) -> Iterator[Tensor]:
        """Yield ``[groups, channels, samples]`` of the stem taken, and keep the others."""
        taken = self.first.sources.index(self.taken)
        others = [index for index in range(len(self.first.sources)) if index != taken]
        for block in estimates:
            kept.append(block[:, others])
            yield block[:, taken]

    def _merged(self, others: Tensor, parts: Tensor) -> Tensor:
        """Return ``[groups, sources, channels, samples]``, equal names added."""
        names = (name for name in self.first.sources if name != self.taken)
        merged = dict(zip(names, others.unbind(1), strict=True))
        for name, part in zip(self.second.sources, parts.unbind(1), strict=True):
            merged[name] = merged[name] + part if name in merged else part
        return torch.stack(list(merged.values()), dim=1)


def in_step(held: BlockBuffer, blocks: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield what a buffer holds beside what has been made of it, in equal numbers of samples.

    Parameters
    ----------
    held : BlockBuffer
        Filled while `blocks` is read.
    blocks : iterable of Tensor ``[..., samples]``
        A sample or two more or less than the buffer was given in all, from conversions of the rate:
        surplus is left out, silence takes the place of what is missing.
    """
    for block in blocks:
        count = min(block.shape[-1], held.end - held.start)
        if count:
            yield held.take(count), block[..., :count]
    rest = held.end - held.start
    if rest:
        yield held.take(rest), block.new_zeros(*block.shape[:-1], rest)


def _converted(blocks: Iterator[Tensor], given: Estimator, wanted: Estimator) -> Iterator[Tensor]:
    """Bring a stream ``[..., channels, samples]`` to another's rate and channel count."""
    rate, channels = wanted.sample_rate, wanted.channels
    if (given.sample_rate, given.channels) == (rate, channels):
        yield from blocks
        return
    first = next(blocks)
    shape = first.shape[:-2]

    def rows() -> Iterator[npt.NDArray[np.float32]]:
        for block in itertools.chain([first], blocks):
            pieces = block.reshape(-1, *block.shape[-2:]).numpy()  # [any, channels, samples]
            yield np.concatenate([mix_channels(piece, channels) for piece in pieces])

    for block in resample_blocks(rows(), shape.numel() * channels, given.sample_rate, rate):
        yield torch.from_numpy(block).reshape(*shape, channels, block.shape[-1])


def make_stages(models: Sequence[SeparationModel], options: StageOptions) -> tuple[Stage, ...]:
    """Return a stage for each model.

    Raises
    ------
    UsageError
        As `check_windows`, or the options do not fit one of the models.
    """
    stages = tuple(Stage(model, options) for model in models)
    check_windows(stages, options)
    return stages


def check_windows(stages: Sequence[Stage], options: StageOptions) -> None:
    """Check that options of windows have something to apply to.

    Raises
    ------
    UsageError
        Windows are asked for and no model has any.
    """
    wants_windows = options.segment_s is not None or options.overlap is not None
    if wants_windows and all(stage.window is None for stage in stages):
        raise UsageError("this model sees whole tracks: --segment and --overlap do not apply")


def join_stages(stages: Sequence[Estimator], links: Sequence[Link]) -> Estimator:
    """Return the chain of estimators, from left to right; one that is alone is none.

    Parameters
    ----------
    stages : sequence of Estimator
    links : sequence of Link
        Of all but the first: what each of them takes apart.

    Raises
    ------
    UsageError
        As `taken_stem`.
    """
    joined = stages[0]
    for stage, link in zip(stages[1:], links, strict=True):
        joined = Chain(joined, stage, taken_stem(link, joined.sources))
    return joined
