"""What a name stands for: a model, a chain of models, or an ensemble that averages several.

``htdemucs,umxhq`` is the mean of both; ``htdemucs:2,umxhq`` has twice as much of the first. Members
may be chains. A card or a bag file stands for an ensemble with a weight for each source, and may be
part of a chain. `resolve` turns a name into a `ModelPlan` once, and whoever needs to know something
of it asks that. Nothing here imports PyTorch.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from partita.errors import PartitaError, UsageError, WeightsCorruptError, one_line
from partita.weights.aliases import own_name
from partita.weights.bag_file import bag_file, read_bag
from partita.weights.card import BagMember, Card
from partita.weights.cards import CARDS
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
from partita.weights.identity import NamedModel, digest_of
from partita.weights.licences import Licence, joint_licence
from partita.weights.web_names import is_web_name

_WEIGHT = re.compile(r"(.+):(\d+(?:\.\d*)?|\.\d+)")
_MOST_COMMAS = 64  # in a name
_MOST_PLUSES = 32


@dataclass(frozen=True)
class ModelPlan:
    """What a name stands for, resolved once.

    Files are read when something of them is asked for, each once.

    Attributes
    ----------
    name : str
    label : str
        What files and folders of it are named after.
    root : Part
        A model, or a chain or an ensemble of parts.

    Raises
    ------
    PartitaError
        From its properties, what those of `NamedModel`, `ChainPlan` and `EnsemblePlan` raise.
    """

    name: str
    label: str
    root: Part

    @property
    def models(self) -> tuple[NamedModel, ...]:
        """All models, each once, in the order of their names."""
        return tuple(dict.fromkeys(self.root.models))

    @property
    def sources(self) -> tuple[str, ...]:
        """The stems."""
        return self.root.sources

    @property
    def digest(self) -> str:
        """A SHA-256 of what the name stands for: models, configurations, weights."""
        return self.root.digest

    @cached_property
    def licence(self) -> Licence | None:
        """The licence of all models together; None: there is nothing to license."""
        return joint_licence(model.licence for model in self.models)

    def require_commercial_use(self) -> None:
        """Refuse weights whose licence does not clearly allow commercial use.

        Raises
        ------
        UsageError
            One of the models does not allow it, or nothing is known.
        """
        for model in self.models:
            model.require_commercial_use()

    def require_one(self) -> NamedModel:
        """Return the model, and refuse names that stand for several.

        Raises
        ------
        UsageError
            It is a chain, an ensemble or a bag; the message names the models.
        """
        if isinstance(self.root, NamedModel):
            return self.root
        kind = "an ensemble of models"
        if isinstance(self.root, ChainPlan):
            kind = "a chain of models"
            kind += f", {CARDS[self.name].chain}" if self.name in CARDS else ""
        elif self.root.is_file or self.name in CARDS:
            kind = "a bag of models"
        models = " or ".join(one_line(model.name) for model in self.models)
        raise UsageError(f"{one_line(self.name)} is {kind}: name one of them, {models}")


@dataclass(frozen=True)
class ChainPlan:
    """Several parts, each of which separates a stem of those before it.

    Attributes
    ----------
    parts : tuple of Part
    links : tuple of Link
        Of each part: by what name, and which stem it takes.

    Raises
    ------
    UsageError
        From `sources` and `needed`, as `taken_stem`.
    """

    parts: tuple[Part, ...]
    links: tuple[Link, ...]

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return "+".join(link.model for link in self.links)

    @property
    def models(self) -> tuple[NamedModel, ...]:
        """Those of all parts."""
        return tuple(model for part in self.parts for model in part.models)

    @property
    def has_ensemble(self) -> bool:
        """Whether an ensemble is among the parts."""
        return any(part.has_ensemble for part in self.parts)

    @cached_property
    def _sources_so_far(self) -> list[tuple[str, ...]]:
        """The stems of the first part, of the first two chained, and so on."""
        sources = [self.parts[0].sources]
        for part, link in zip(self.parts[1:], self.links[1:], strict=True):
            taken = taken_stem(link, sources[-1])
            sources.append(chained_sources(sources[-1], taken, part.sources))
        return sources

    @property
    def sources(self) -> tuple[str, ...]:
        """The stems of all of it."""
        return self._sources_so_far[-1]

    @property
    def digest(self) -> str:
        """A SHA-256 of the parts and the stems that they take."""
        pairs = zip(self.links, self.parts, strict=True)
        return digest_of(*(fact for link, part in pairs for fact in (link.stem, part.digest)))

    def needed(self, wanted: Iterable[str]) -> ChainPlan:
        """Return what some of its stems need, see `EnsemblePlan.needed`."""
        wanted, parts = set(wanted), list(self.parts)
        for number in range(len(parts) - 1, 0, -1):
            before = self._sources_so_far[number - 1]
            own = parts[number].sources
            parts[number] = parts[number].needed(wanted & set(own))
            wanted = (wanted & set(before)) | {taken_stem(self.links[number], before)}
        parts[0] = parts[0].needed(wanted)
        return dataclasses.replace(self, parts=tuple(parts))


@dataclass(frozen=True)
class Member:
    """One part of an ensemble.

    Attributes
    ----------
    plan : Part
    weights : tuple of float
        One for each of the ensemble's sources, or one for all.
    """

    plan: Part
    weights: tuple[float, ...] = (1.0,)


@dataclass(frozen=True)
class EnsemblePlan:
    """Several parts for one mixture, whose estimates are averaged.

    Attributes
    ----------
    name : str
        For messages.
    members : tuple of Member
    wanted : tuple of str
        The stems that are asked for; empty: all, in the first member's order.
    is_file : bool
        Whether a file says so, not the person or a card.

    Raises
    ------
    UsageError, WeightsCorruptError
        From `sources` and `needed`, as `resolved`.
    """

    name: str
    members: tuple[Member, ...]
    wanted: tuple[str, ...] = ()
    is_file: bool = False

    @property
    def models(self) -> tuple[NamedModel, ...]:
        """Those of all members."""
        return tuple(model for member in self.members for model in member.plan.models)

    @property
    def has_ensemble(self) -> bool:
        """Whether an ensemble is part of it: itself."""
        return True

    @property
    def sources(self) -> tuple[str, ...]:
        """The stems."""
        return self.resolved([member.plan.sources for member in self.members])[0]

    @property
    def digest(self) -> str:
        """A SHA-256 of the members and their weights."""
        facts = [[list(member.weights), member.plan.digest] for member in self.members]
        return digest_of("ensemble", facts)

    def needed(self, wanted: Iterable[str]) -> EnsemblePlan:
        """Return it without members that nothing wanted comes from.

        Where a member is left out, the ensemble gives no other sources than those wanted.

        Parameters
        ----------
        wanted : iterable of str
            Some of the stems.
        """
        wanted = set(wanted)
        sources, weights = self.resolved([member.plan.sources for member in self.members])
        places = [place for place, name in enumerate(sources) if name in wanted]
        kept = [number for number, row in enumerate(weights) if any(row[place] for place in places)]
        if len(kept) == len(weights) or not places:
            return self
        names = tuple(sources[place] for place in places)
        members = tuple(
            Member(
                self.members[number].plan.needed(names),
                tuple(weights[number][place] for place in places),
            )
            for number in kept
        )
        return dataclasses.replace(self, members=members, wanted=names)

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
        own = self.wanted or tuple(sources[0])
        for member, given in zip(self.members, sources, strict=True):
            if not (set(given) >= set(own) if self.wanted else set(given) == set(own)):
                common = ", ".join(name for name in own if name in given) or "none"
                first = one_line(self.members[0].plan.name)
                raise self._fault(
                    f"{one_line(member.plan.name)} separates {', '.join(given)}, and {first} "
                    f"{', '.join(own)}: members of an ensemble must give the same stems "
                    f"(both give: {common})"
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
            one, other = (one_line(self.members[each].plan.name) for each in (number, 0))
            (rate, channels), (first_rate, first_channels) = found, wanted
            raise self._fault(
                f"{one} works at {rate} Hz with {_channels(channels)}, {other} at {first_rate} Hz "
                f"with {_channels(first_channels)}: members of an ensemble must not differ there"
            )

    def _fault(self, fault: str) -> PartitaError:
        kind = WeightsCorruptError if self.is_file else UsageError
        return kind(f"{one_line(self.name)}: {fault}")


#: What a plan is made of.
Part = NamedModel | ChainPlan | EnsemblePlan


def _channels(count: int) -> str:
    return "one channel" if count == 1 else f"{count} channels"


def resolve(name: str) -> ModelPlan:
    """Return what a name stands for.

    Parameters
    ----------
    name : str
        A model, or a chain as for `partita.weights.chain.parse_chain`; or several of these with
        commas between them, ``:WEIGHT`` behind any. Names that other programs have for weights are
        taken too (`partita.weights.aliases.own_name`).

    Raises
    ------
    UsageError
        A model is missing, or named twice; a weight behind a name that is alone.
    WeightsError
        A bag file that is not there, or is none; a member of it that is missing.
    """
    name = own_name(name)
    models = _Models()
    texts = _split(name)
    if len(texts) == 1:
        root = models.chain(name)
        return ModelPlan(name, chain_label(name, models.label), root)
    if not all(text.strip() for text in texts):
        raise UsageError(f"{one_line(name)}: a model is missing; ensembles are FIRST,SECOND")
    members: list[Member] = []
    labels: list[str] = []
    for text in texts:
        model, weight = _weighted(text.strip())
        plan = models.chain(model)
        if any(plan == member.plan for member in members):
            raise UsageError(f"{one_line(name)}: {one_line(plan.name)} is named twice")
        members.append(Member(plan, (float(weight or 1),)))
        labels.append(chain_label(model, models.label) + (f"-{weight}" if weight else ""))
    return ModelPlan(name, ",".join(labels), EnsemblePlan(name, tuple(members)))


class _Models:
    """The models of one plan: each is one object, however often it is named."""

    def __init__(self) -> None:
        self._found: dict[str, NamedModel] = {}

    def one(self, name: str) -> NamedModel:
        """Return the model of that name."""
        return self._found.setdefault(name, NamedModel(name))

    def label(self, name: str) -> str:
        """Return what files of a model, of a bag or of a chain's card are named after."""
        if name in CARDS:
            return name
        if (bag := bag_file(name)) is not None:
            return Path(name).resolve().name if Path(name).is_dir() else bag.stem
        return self.one(name).label

    def chain(self, name: str) -> Part:
        """Return what a chain, or a name that is alone, stands for."""
        links = parse_chain(name)
        parts = tuple(self._link(link.model) for link in links)
        return parts[0] if len(parts) == 1 else ChainPlan(parts, links)

    def _link(self, model: str) -> Part:
        if model in CARDS:
            card = CARDS[model]
            members = [Member(self.chain(each.model), each.weights) for each in card.members]
            if members:
                return EnsemblePlan(model, tuple(members), card.sources)
        elif (path := bag_file(model)) is not None:
            return self._bag(model, read_bag(path))
        elif not is_web_name(model) and self.one(model).file is None:
            check_folder(model)
        return self.one(model)

    def _bag(self, name: str, found: Sequence[BagMember]) -> Part:
        members = [Member(self.one(each.model), each.weights) for each in found]
        if len(members) == 1:
            return members[0].plan
        return EnsemblePlan(name, tuple(members), is_file=True)


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


def part_cards(card: Card) -> tuple[Card, ...]:
    """Return the cards that one of a chain or of an ensemble stands for; any other card alone."""
    return tuple(model.card for model in resolve(card.name).models)
