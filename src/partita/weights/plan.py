"""What a name stands for: a model, a chain of models, or an ensemble that averages several.

``htdemucs,umxhq`` is the mean of both; ``htdemucs:2,umxhq`` has twice as much of the first. Members
may be chains. A card or a bag file stands for an ensemble with a weight for each source, and may be
part of a chain. Nothing here imports PyTorch.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from partita.errors import PartitaError, UsageError, WeightsCorruptError, one_line
from partita.weights.bag_file import bag_file, read_bag
from partita.weights.card import BagMember, Card
from partita.weights.cards import CARDS, get_card
from partita.weights.chain import (
    Link,
    chain_label,
    chained_sources,
    holds_file,
    names_file,
    parse_chain,
    taken_stem,
)
from partita.weights.external_checkpoints import check_folder

_WEIGHT = re.compile(r"(.+):(\d+(?:\.\d*)?|\.\d+)")
_MOST_COMMAS = 64  # in a name
_MOST_PLUSES = 32


@dataclass(frozen=True)
class ModelPlan:
    """One model.

    Attributes
    ----------
    model : str
        Name of a card, or path of a checkpoint or of a training's folder.
    """

    model: str


@dataclass(frozen=True)
class ChainPlan:
    """Several plans, each of which takes apart a stem of those before it.

    Attributes
    ----------
    parts : tuple of Plan
    links : tuple of Link
        Of each part: by what name, and which stem it takes.
    """

    parts: tuple[Plan, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True)
class Member:
    """One plan of an ensemble.

    Attributes
    ----------
    plan : Plan
    weights : tuple of float
        One for each of the ensemble's sources, or one for all.
    """

    plan: Plan
    weights: tuple[float, ...] = (1.0,)


@dataclass(frozen=True)
class EnsemblePlan:
    """Several plans for one mixture, whose estimates are averaged.

    Attributes
    ----------
    name : str
        For messages.
    members : tuple of Member
    sources : tuple of str
        What is asked for; empty: all, in the first member's order.
    is_file : bool
        Whether a file says so, not the person or a card.
    """

    name: str
    members: tuple[Member, ...]
    sources: tuple[str, ...] = ()
    is_file: bool = False

    def resolved(
        self, sources: Sequence[Sequence[str]]
    ) -> tuple[tuple[str, ...], tuple[tuple[float, ...], ...]]:
        """Return the ensemble's sources and each member's weights for them.

        Parameters
        ----------
        sources : sequence of sequence of str
            What each member gives.

        Raises
        ------
        UsageError, WeightsCorruptError
            The members give other stems, or weights do not fit them.
        """
        own = self.sources or tuple(sources[0])
        for member, given in zip(self.members, sources, strict=True):
            if not (set(given) >= set(own) if self.sources else set(given) == set(own)):
                common = ", ".join(name for name in own if name in given) or "none"
                raise self._fault(
                    f"{plan_name(member.plan)} separates {', '.join(given)}, and "
                    f"{plan_name(self.members[0].plan)} {', '.join(own)}: members of an ensemble "
                    f"must give the same stems (both give: {common})"
                )
            if len(member.weights) not in (1, len(own)):
                raise self._fault(f"{len(member.weights)} weights for {len(own)} sources")
        weights = tuple(
            member.weights * len(own) if len(member.weights) == 1 else member.weights
            for member in self.members
        )
        for name, column in zip(own, zip(*weights, strict=True), strict=True):
            if not sum(column) > 0:
                raise self._fault(f"no member has a weight for {name}")
        return own, weights

    def check_form(self, number: int, found: tuple[int, int], wanted: tuple[int, int]) -> None:
        """Check that a member works at the rate and with the channels of the first one.

        Parameters
        ----------
        number : int
            Of the member.
        found, wanted : tuple of int
            Sample rate in hertz and channel count.

        Raises
        ------
        UsageError, WeightsCorruptError
            It does not.
        """
        if found != wanted:
            one, other = (plan_name(self.members[each].plan) for each in (number, 0))
            (rate, channels), (first_rate, first_channels) = found, wanted
            raise self._fault(
                f"{one} works at {rate} Hz with {_channels(channels)}, {other} at {first_rate} Hz "
                f"with {_channels(first_channels)}: members of an ensemble must not differ there"
            )

    def _fault(self, fault: str) -> PartitaError:
        kind = WeightsCorruptError if self.is_file else UsageError
        return kind(f"{one_line(self.name)}: {fault}")


#: Whatever a name stands for.
Plan = ModelPlan | ChainPlan | EnsemblePlan


def _channels(count: int) -> str:
    return "one channel" if count == 1 else f"{count} channels"


def parse_plan(name: str) -> Plan:
    """Return what a name stands for.

    Parameters
    ----------
    name : str
        A model, or a chain as for `partita.weights.chain.parse_chain`; or several of these with
        commas between them, ``:WEIGHT`` behind any.

    Raises
    ------
    UsageError
        A model is missing, or named twice; a weight behind a name that is alone.
    WeightsError
        A bag file that is not there, or is none; a member of it that is missing.
    """
    texts = _split(name)
    if len(texts) == 1:
        return _chain_plan(name)
    if not all(text.strip() for text in texts):
        raise UsageError(f"{one_line(name)}: a model is missing; ensembles are FIRST,SECOND")
    members = []
    for text in texts:
        model, weight = _weighted(text.strip())
        members.append(Member(_chain_plan(model), (float(weight or 1),)))
    plans = [member.plan for member in members]
    for plan in plans:
        if plans.count(plan) > 1:
            raise UsageError(f"{one_line(name)}: {plan_name(plan)} is named twice")
    return EnsemblePlan(name, tuple(members))


def _split(name: str) -> list[str]:
    """Cut a name at its commas, but for those in paths that are there."""
    pieces = name.split(",")
    texts = []
    while pieces:
        counts = range(min(len(pieces), _MOST_COMMAS), 1, -1)
        count = next((n for n in counts if holds_file(",".join(pieces[:n]), ",")), 1)
        texts.append(",".join(pieces[:count]))
        pieces = pieces[count:]
    return texts


def _weighted(text: str) -> tuple[str, str]:
    """Return a member's name, and its weight, which may be left out."""
    match = _WEIGHT.fullmatch(text)
    pieces = text.split("+")[-_MOST_PLUSES:]
    # A path may end as a weight does.
    if match is None or any(names_file("+".join(pieces[n:])) for n in range(len(pieces))):
        return text, ""
    return match[1], match[2]


def _chain_plan(name: str) -> Plan:
    links = parse_chain(name)
    parts = tuple(_link_plan(link.model) for link in links)
    return parts[0] if len(parts) == 1 else ChainPlan(parts, links)


def _link_plan(model: str) -> Plan:
    if model in CARDS:
        members = [Member(_chain_plan(each.model), each.weights) for each in CARDS[model].members]
        if members:
            return EnsemblePlan(model, tuple(members), CARDS[model].sources)
    elif (path := bag_file(model)) is not None:
        return _bag_plan(model, read_bag(path))
    else:
        check_folder(model)
    return ModelPlan(model)


def _bag_plan(name: str, found: Sequence[BagMember]) -> Plan:
    members = [Member(ModelPlan(each.model), each.weights) for each in found]
    if len(members) == 1:
        return members[0].plan
    return EnsemblePlan(name, tuple(members), is_file=True)


def plan_name(plan: Plan) -> str:
    """Return what a plan is called in messages."""
    if isinstance(plan, ChainPlan):
        return "+".join(one_line(link.model) for link in plan.links)
    return one_line(plan.name if isinstance(plan, EnsemblePlan) else plan.model)


def plan_models(plan: Plan) -> tuple[str, ...]:
    """Return the models that a plan consists of, each once, in the order of their names."""
    if isinstance(plan, ModelPlan):
        return (plan.model,)
    parts = plan.parts if isinstance(plan, ChainPlan) else [each.plan for each in plan.members]
    return tuple(dict.fromkeys(model for part in parts for model in plan_models(part)))


def require_one_model(name: str) -> None:
    """Refuse names that stand for several models.

    Raises
    ------
    UsageError
        The name of a chain, of an ensemble or of a bag; the message names their models.
    """
    plan = parse_plan(name)
    if isinstance(plan, ModelPlan):
        return
    kind = "an ensemble of models"
    if isinstance(plan, ChainPlan):
        kind = "a chain of models"
        kind += f", {CARDS[name].chain}" if name in CARDS else ""
    elif plan.is_file or name in CARDS:
        kind = "a bag of models"
    models = " or ".join(map(one_line, plan_models(plan)))
    raise UsageError(f"{one_line(name)} is {kind}: name one of them, {models}")


def has_ensemble(plan: Plan) -> bool:
    """Tell whether a plan is an ensemble, or a chain with one in it."""
    if isinstance(plan, ChainPlan):
        return any(map(has_ensemble, plan.parts))
    return isinstance(plan, EnsemblePlan)


def plan_sources(plan: Plan, sources_of: Callable[[str], Sequence[str]]) -> tuple[str, ...]:
    """Return the stems of a plan.

    Parameters
    ----------
    plan : Plan
    sources_of : callable
        Gives the stems of one model, a card's or a checkpoint's.

    Raises
    ------
    UsageError, WeightsCorruptError
        As `taken_stem` and `EnsemblePlan.resolved`.
    """
    if isinstance(plan, ModelPlan):
        return tuple(sources_of(plan.model))
    if isinstance(plan, EnsemblePlan):
        return plan.resolved([plan_sources(each.plan, sources_of) for each in plan.members])[0]
    sources = plan_sources(plan.parts[0], sources_of)
    for part, link in zip(plan.parts[1:], plan.links[1:], strict=True):
        taken = taken_stem(link, sources)
        sources = chained_sources(sources, taken, plan_sources(part, sources_of))
    return sources


def needed_plan(
    plan: Plan, wanted: Iterable[str], sources_of: Callable[[str], Sequence[str]]
) -> Plan:
    """Return a plan without members of ensembles that nothing wanted comes from.

    Where a member is left out, the ensemble gives no other sources than those wanted.

    Parameters
    ----------
    plan : Plan
    wanted : iterable of str
        Some of the plan's stems.
    sources_of : callable
        As for `plan_sources`.
    """
    wanted = set(wanted)
    if isinstance(plan, EnsemblePlan):
        return _needed_members(plan, wanted, sources_of)
    if isinstance(plan, ModelPlan):
        return plan
    parts = list(plan.parts)
    # What each part gives to those behind it is known from left to right, and what is wanted of it
    # from right to left.
    taken: list[str] = []
    sources = [plan_sources(parts[0], sources_of)]
    for part, link in zip(parts[1:], plan.links[1:], strict=True):
        taken.append(taken_stem(link, sources[-1]))
        sources.append(chained_sources(sources[-1], taken[-1], plan_sources(part, sources_of)))
    for number in range(len(parts) - 1, 0, -1):
        own = plan_sources(parts[number], sources_of)
        parts[number] = needed_plan(parts[number], wanted & set(own), sources_of)
        wanted = (wanted & set(sources[number - 1])) | {taken[number - 1]}
    parts[0] = needed_plan(parts[0], wanted, sources_of)
    return dataclasses.replace(plan, parts=tuple(parts))


def _needed_members(
    plan: EnsemblePlan, wanted: set[str], sources_of: Callable[[str], Sequence[str]]
) -> EnsemblePlan:
    given = [plan_sources(member.plan, sources_of) for member in plan.members]
    sources, weights = plan.resolved(given)
    places = [place for place, name in enumerate(sources) if name in wanted]
    kept = [number for number, row in enumerate(weights) if any(row[place] for place in places)]
    if len(kept) == len(weights) or not places:
        return plan
    names = tuple(sources[place] for place in places)
    members = tuple(
        Member(
            needed_plan(plan.members[number].plan, names, sources_of),
            tuple(weights[number][place] for place in places),
        )
        for number in kept
    )
    return dataclasses.replace(plan, members=members, sources=names)


def part_cards(card: Card) -> tuple[Card, ...]:
    """Return the cards that one of a chain or of an ensemble stands for; any other card alone."""
    return tuple(get_card(model) for model in plan_models(_chain_plan(card.name)))


def file_label(name: str) -> str:
    """Return what files and folders of a model, chain or ensemble are named after.

    Chains as `partita.weights.chain.chain_label`; members of ensembles have commas between them,
    and ``-`` before their weights.
    """
    texts = _split(name)
    if len(texts) == 1:
        return chain_label(name)
    members = [_weighted(text.strip()) for text in texts]
    return ",".join(
        f"{chain_label(model)}-{weight}" if weight else chain_label(model)
        for model, weight in members
    )
