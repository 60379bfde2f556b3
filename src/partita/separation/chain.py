"""Ensembles: several estimators of one mixture, averaged; and what a plan's parts become."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass

import torch
from torch import Tensor

from partita.dsp.blocks import side_by_side
from partita.models._protocol import SeparationModel, SongFacts
from partita.separation.windowed import (
    Chain,
    Estimator,
    Stage,
    StageOptions,
    check_windows,
    join_stages,
)
from partita.weights.plan import ChainPlan, EnsemblePlan, Plan

_UNKNOWN = SongFacts()


@dataclass(frozen=True)
class Ensemble:
    """The weighted mean of what several estimators find in one mixture.

    They run side by side: none is further ahead than its windows are long, so that memory does not
    grow with the song. All take their threads from one pool, so that no more windows are computed
    at once than by one model alone.

    Attributes
    ----------
    members : tuple of Estimator
        Of one rate and channel count; all have all of `sources`, in whatever order.
    sources : tuple of str
    weights : tuple of tuple of float
        Of each member, one for each source. Those of a source need not add up to one.
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
    def stages(self) -> tuple[Stage, ...]:
        """Those of all members, from first to last."""
        return tuple(stage for member in self.members for stage in member.stages)

    def estimate(
        self,
        blocks: Iterable[Tensor],
        facts: SongFacts = _UNKNOWN,
        pool: ThreadPoolExecutor | None = None,
    ) -> Generator[Tensor, None, None]:
        """Separate a stream, as `Estimator.estimate` says."""
        totals = [sum(column) for column in zip(*self.weights, strict=True)]
        copies = itertools.tee(blocks, len(self.members))
        with ExitStack() as stack:
            if pool is None:
                pool = stack.enter_context(self.stages[0].runner.workers())
            shares: list[Iterator[Tensor]] = []
            places: list[list[int]] = []
            for member, weights, copy in zip(self.members, self.weights, copies, strict=True):
                stream = stack.enter_context(closing(member.estimate(copy, facts, pool)))
                has = [place for place, weight in enumerate(weights) if weight > 0]
                theirs = [member.sources.index(self.sources[place]) for place in has]
                scale = torch.tensor([weights[place] / totals[place] for place in has])
                shares.append(_shares(stream, theirs, scale))
                places.append(has)
            for pieces in side_by_side(shares):
                first = pieces[0]
                mean = first.new_zeros(len(first), len(self.sources), *first.shape[2:])
                for piece, has in zip(pieces, places, strict=True):
                    mean[:, has] += piece
                yield mean


def _shares(estimates: Iterator[Tensor], places: Sequence[int], scale: Tensor) -> Iterator[Tensor]:
    """Yield what a member gives to the mean, of the sources that it has a weight for."""
    for block in estimates:
        yield block[:, list(places)] * scale[:, None, None]


def build_estimator(
    plan: Plan, options: StageOptions, load: Callable[[str], SeparationModel]
) -> Estimator:
    """Return what separates as a plan says.

    Parameters
    ----------
    plan : Plan
    options : StageOptions
        The same for all models, but for the members of ensembles, each of which has delays of its
        own where `shifts` are asked for.
    load : callable
        Returns a model of the plan by its name.

    Raises
    ------
    PartitaError
        What `load` raises; members of an ensemble that do not fit each other; options that do not
        fit a model.
    """
    estimator = _built(plan, options, load)
    check_windows(estimator.stages, options)
    return estimator


def _built(plan: Plan, options: StageOptions, load: Callable[[str], SeparationModel]) -> Estimator:
    if isinstance(plan, ChainPlan):
        parts = [_built(part, options, load) for part in plan.parts]
        return join_stages(parts, plan.links[1:])
    if not isinstance(plan, EnsemblePlan):
        return Stage(load(plan.model), options)
    members: list[Estimator] = []
    for number, member in enumerate(plan.members):
        others = dataclasses.replace(options, seed=options.seed + number)
        members.append(_built(member.plan, others, load))
        first, last = members[0], members[-1]
        plan.check_form(
            number, (last.sample_rate, last.channels), (first.sample_rate, first.channels)
        )
    sources, weights = plan.resolved([member.sources for member in members])
    return Ensemble(tuple(members), sources, weights)


def joints_before(estimator: Estimator, stage: Stage) -> tuple[Chain, ...]:
    """Return the chains that a stage is in the second part of, from the outermost inwards.

    Each of them takes a stem of what comes before: `Chain.given_to_second` of one after the other
    gives what the stage is given of a mixture.

    Parameters
    ----------
    estimator : Estimator
    stage : Stage
        One of the estimator's.
    """
    if isinstance(estimator, Ensemble):
        parts: tuple[Estimator, ...] = estimator.members
    elif isinstance(estimator, Chain):
        if any(each is stage for each in estimator.second.stages):
            return estimator, *joints_before(estimator.second, stage)
        parts = (estimator.first,)
    else:
        return ()
    inside = next(part for part in parts if any(each is stage for each in part.stages))
    return joints_before(inside, stage)
