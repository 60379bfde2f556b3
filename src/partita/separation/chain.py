"""Chains and ensembles: several models for one stream."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from partita.audio.conversion import Conversion, conversion_latency_s
from partita.dsp.blocks import Aligner, until_last
from partita.errors import UsageError
from partita.models._protocol import SeparationModel, SongFacts
from partita.separation.stages import CachedStage, StageCache
from partita.separation.windowed import (
    Estimator,
    InferenceOptions,
    Pool,
    Separation,
    WindowedModel,
    estimate_blocks,
)
from partita.weights.chain import chained_sources, taken_stem
from partita.weights.identity import NamedModel
from partita.weights.plan import ChainPlan, EnsemblePlan, Part

_UNKNOWN = SongFacts()


@dataclass(frozen=True)
class Chain:
    """Two estimators, of which the second separates one stem of the first.

    Sample rate and channel count are the first's. Estimates of one name are added: if the second's
    estimates add up to its input, the chain's add up to what the first's add up to.

    Attributes
    ----------
    first, second : Estimator
    taken : str
        The source of the first that the second separates.
    """

    first: Estimator
    second: Estimator
    taken: str

    @property
    def sources(self) -> tuple[str, ...]:
        """The first's sources except the one taken, then the second's."""
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
    def models(self) -> tuple[WindowedModel, ...]:
        """Those of the first, then those of the second."""
        return self.first.models + self.second.models

    @property
    def latency_s(self) -> float:
        """That of both, and of converting the rate there and back."""
        conversions_s = 2 * conversion_latency_s(self.first.sample_rate, self.second.sample_rate)
        return self.first.latency_s + self.second.latency_s + conversions_s

    def start(self, pool: Pool, facts: SongFacts = _UNKNOWN) -> Separation:
        """Start separating a stream, see `Estimator.start`."""
        return _ChainSeparation(self, pool, facts)

    def facts_of_second(self, facts: SongFacts) -> SongFacts:
        """Return the facts about a stream that the second gets.

        They are the mixture's. Those of the stem are unknown until it ends, and side signal in an
        estimate where the mixture has none is an error.
        """
        is_copied = self.first.channels == 1 and self.second.channels == 2
        return SongFacts(side=torch.zeros(1)) if is_copied else facts

    def input_of_second(
        self, blocks: Iterable[Tensor], facts: SongFacts
    ) -> tuple[Iterator[Tensor], SongFacts]:
        """Return the input of the second for a stream.

        Parameters
        ----------
        blocks : iterable of Tensor ``[groups, channels, samples]``
        facts : SongFacts
            Of the stream.

        Returns
        -------
        stem : iterator of Tensor ``[groups, channels, samples]``
            At the second's rate and channel count.
        facts : SongFacts
        """
        taken = self.first.sources.index(self.taken)
        to_second = _Converted(self.first, self.second)
        estimates = estimate_blocks(self.first, blocks, facts)
        stem = (to_second.push(block[:, taken], last) for block, last in until_last(estimates))
        return stem, self.facts_of_second(facts)


class _ChainSeparation:
    """A running separation of one stream by a chain, see `Separation`."""

    def __init__(self, chain: Chain, pool: Pool, facts: SongFacts) -> None:
        self._chain = chain
        self._taken = chain.first.sources.index(chain.taken)
        self._others = [n for n in range(len(chain.first.sources)) if n != self._taken]
        self._first = chain.first.start(pool, facts)
        self._second = chain.second.start(pool, chain.facts_of_second(facts))
        self._to_second = _Converted(chain.first, chain.second)
        self._back = _Converted(chain.second, chain.first)
        self._aligner = Aligner(2)

    def push(self, block: Tensor, last: bool = False) -> Tensor:
        estimates = self._first.push(block, last)  # [groups, sources, channels, samples]
        stem = self._to_second.push(estimates[:, self._taken], last)
        parts = self._back.push(self._second.push(stem, last), last)
        others, parts = self._aligner.push([estimates[:, self._others], parts], last)
        return self._merged(others, parts)

    def _merged(self, others: Tensor, parts: Tensor) -> Tensor:
        """Return ``[groups, sources, channels, samples]``, with sources of one name added."""
        names = (name for name in self._chain.first.sources if name != self._chain.taken)
        merged = dict(zip(names, others.unbind(1), strict=True))
        for name, part in zip(self._chain.second.sources, parts.unbind(1), strict=True):
            merged[name] = merged[name] + part if name in merged else part
        return torch.stack(list(merged.values()), dim=1)


class _Converted:
    """Converts a stream from one estimator's sample rate and channel count to another's."""

    def __init__(self, given: Estimator, wanted: Estimator) -> None:
        self._conversion = Conversion(given.sample_rate, wanted.sample_rate, wanted.channels)

    def push(self, block: Tensor, last: bool) -> Tensor:
        """Map ``[..., channels, samples]``, as `Conversion.push` does."""
        return torch.from_numpy(self._conversion.push(block.numpy(), last))


@dataclass(frozen=True)
class Ensemble:
    """The weighted mean of several estimators of one stream.

    All members get the same blocks, so that memory does not grow with the song, and share one pool
    of threads, so that no more windows are computed in parallel than with one model.

    Attributes
    ----------
    members : tuple of Estimator
        With equal sample rates and channel counts, and all of `sources` in any order.
    sources : tuple of str
    weights : tuple of tuple of float
        For each member, one for each source. Those of a source need not add up to one.
    """

    members: tuple[Estimator, ...]
    sources: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]

    @property
    def sample_rate(self) -> int:
        """The members' sample rate in hertz."""
        return self.members[0].sample_rate

    @property
    def channels(self) -> int:
        """The members' channel count."""
        return self.members[0].channels

    @property
    def models(self) -> tuple[WindowedModel, ...]:
        """Those of all members, from first to last."""
        return tuple(model for member in self.members for model in member.models)

    @property
    def latency_s(self) -> float:
        """That of the slowest member."""
        return max(member.latency_s for member in self.members)

    def start(self, pool: Pool, facts: SongFacts = _UNKNOWN) -> Separation:
        """Start separating a stream, see `Estimator.start`."""
        return _EnsembleSeparation(self, pool, facts)


class _EnsembleSeparation:
    """A running separation of one stream by an ensemble, see `Separation`."""

    def __init__(self, ensemble: Ensemble, pool: Pool, facts: SongFacts) -> None:
        self._sources = len(ensemble.sources)
        self._members = [member.start(pool, facts) for member in ensemble.members]
        self._aligner = Aligner(len(ensemble.members))
        totals = [sum(column) for column in zip(*ensemble.weights, strict=True)]
        # For each member: the sources with a weight, by their indices here and in the member.
        self._has: list[list[int]] = []
        self._theirs: list[list[int]] = []
        self._scales: list[Tensor] = []
        for member, weights in zip(ensemble.members, ensemble.weights, strict=True):
            has = [place for place, weight in enumerate(weights) if weight > 0]
            self._has.append(has)
            self._theirs.append([member.sources.index(ensemble.sources[n]) for n in has])
            self._scales.append(torch.tensor([weights[n] / totals[n] for n in has])[:, None, None])

    def push(self, block: Tensor, last: bool = False) -> Tensor:
        parts = [
            member.push(block, last)[:, theirs] * scale
            for member, theirs, scale in zip(self._members, self._theirs, self._scales, strict=True)
        ]
        parts = self._aligner.push(parts, last)
        first = parts[0]
        mean = first.new_zeros(len(first), self._sources, *first.shape[2:])
        for part, has in zip(parts, self._has, strict=True):
            mean[:, has] += part
        return mean


def build_estimator(
    plan: Part,
    options: InferenceOptions,
    load: Callable[[NamedModel], SeparationModel],
    stages: StageCache | None = None,
) -> Estimator:
    """Return the estimator of a plan.

    Parameters
    ----------
    plan : NamedModel, ChainPlan or EnsemblePlan
    options : InferenceOptions
        The same for all models, except that with `shifts` each member of an ensemble gets delays
        of its own.
    load : callable
        Loads a model of the plan.
    stages : StageCache, optional
        Keeps what chains have estimated before their last models.

    Raises
    ------
    PartitaError
        `load` fails; members of an ensemble do not fit each other, or options a model.
    """
    estimator = _built(plan, options, load, stages)
    check_windows(estimator, options)
    return estimator


def _built(
    plan: Part,
    options: InferenceOptions,
    load: Callable[[NamedModel], SeparationModel],
    stages: StageCache | None,
) -> Estimator:
    if isinstance(plan, ChainPlan):
        joined = _built(plan.parts[0], options, load, stages)
        for number, link in enumerate(plan.links[1:], start=1):
            if stages is not None:
                joined = stages.stage(joined, plan.beginning(number).digest, options)
            # What the second gets is no mixture, so none of its stages is known by one.
            second = _built(plan.parts[number], options, load, None)
            joined = Chain(joined, second, taken_stem(link, joined.sources))
        return joined
    if not isinstance(plan, EnsemblePlan):
        return WindowedModel(load(plan), options)
    members: list[Estimator] = []
    for number, member in enumerate(plan.members):
        others_options = dataclasses.replace(options, seed=options.seed + number)
        members.append(_built(member.plan, others_options, load, stages))
        first, last = members[0], members[-1]
        plan.check_form(
            number, (last.sample_rate, last.channels), (first.sample_rate, first.channels)
        )
    sources, weights = plan.resolved([member.sources for member in members])
    return Ensemble(tuple(members), sources, weights)


def check_windows(estimator: Estimator, options: InferenceOptions) -> None:
    """Check that options of windows apply to a model.

    Raises
    ------
    UsageError
        No model has windows, and an option concerns them.
    """
    wants_windows = options.segment_s is not None or options.overlap is not None
    if wants_windows and all(model.window is None for model in estimator.models):
        raise UsageError("this model sees whole tracks: `segment_s` and `overlap` do not apply")


def chains_before(estimator: Estimator, model: WindowedModel) -> tuple[Chain, ...]:
    """Return the chains whose second part contains a model, from the outermost inwards.

    Applying `Chain.input_of_second` of each in turn gives the model's input for a mixture.

    Parameters
    ----------
    estimator : Estimator
    model : WindowedModel
        One of the estimator's.
    """
    if isinstance(estimator, Ensemble):
        parts: tuple[Estimator, ...] = estimator.members
    elif isinstance(estimator, CachedStage):
        return chains_before(estimator.inner, model)
    elif isinstance(estimator, Chain):
        if any(each is model for each in estimator.second.models):
            return estimator, *chains_before(estimator.second, model)
        parts = (estimator.first,)
    else:
        return ()
    inside = next(part for part in parts if any(each is model for each in part.models))
    return chains_before(inside, model)
