"""What a name stands for: a model, a chain of models, or an ensemble that averages several.

`partita.weights.resolve.resolve` makes a `ModelPlan` of a name once; the command line, batches and
Separators ask it for stems, label, licence and digest. Nothing here imports PyTorch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from partita.errors import PartitaError, UsageError, WeightsCorruptError, one_line
from partita.weights.cards import CARDS
from partita.weights.chain import (
    Link,
    chained_sources,
    taken_stem,
)
from partita.weights.identity import NamedModel, digest_of
from partita.weights.licences import Licence, joint_licence


@dataclass(frozen=True)
class ModelPlan:
    """What a name stands for.

    Properties that need files read them on first access, each file once.

    Attributes
    ----------
    name : str
    label : str
        For names of files and folders.
    root : Part
        A model, or a chain or an ensemble of parts.

    Raises
    ------
    PartitaError
        By properties, as for `NamedModel`, `ChainPlan` and `EnsemblePlan`.
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
        """SHA-256 of all models, configurations and weights."""
        return self.root.digest

    @cached_property
    def licence(self) -> Licence | None:
        """The licence of all models together; None: nothing needs a licence."""
        return joint_licence(model.licence for model in self.models)

    def require_commercial_use(self) -> None:
        """Refuse weights whose licence does not clearly allow commercial use.

        Raises
        ------
        UsageError
            A model's licence does not allow it, or is unknown.
        """
        for model in self.models:
            model.require_commercial_use()

    def require_one(self) -> NamedModel:
        """Return the model; refuse names that stand for several.

        Raises
        ------
        UsageError
            It is a chain, an ensemble or a bag; the message lists the models.
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
    """Several parts, each of which separates a stem of the parts before it.

    Attributes
    ----------
    parts : tuple of Part
    links : tuple of Link
        For each part: its name, and the stem that it takes.

    Raises
    ------
    UsageError
        By `sources` and `needed`, as for `taken_stem`.
    """

    parts: tuple[Part, ...]
    links: tuple[Link, ...]

    @property
    def name(self) -> str:
        """Its name in messages."""
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
        """SHA-256 of the parts and the stems that they take."""
        pairs = zip(self.links, self.parts, strict=True)
        return digest_of(*(fact for link, part in pairs for fact in (link.stem, part.digest)))

    def beginning(self, count: int) -> ChainPlan:
        """Return the chain of its first parts."""
        return ChainPlan(self.parts[:count], self.links[:count])

    def needed(self, wanted: Iterable[str]) -> ChainPlan:
        """Return the part of it that some of its stems need, see `EnsemblePlan.needed`."""
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
        One for each source of the ensemble, or one for all.
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
        The requested stems; empty: all, in the order of the first member.
    is_file : bool
        Whether a bag file defines it, not the user or a card.

    Raises
    ------
    UsageError, WeightsCorruptError
        By `sources` and `needed`, as for `resolved`.
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
        """SHA-256 of the members and their weights."""
        facts = [[list(member.weights), member.plan.digest] for member in self.members]
        return digest_of("ensemble", facts)

    def needed(self, wanted: Iterable[str]) -> EnsemblePlan:
        """Return it without the members whose weights for all wanted stems are zero.

        If a member is left out, the ensemble has no other sources than those wanted.

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
            The sources of each member.

        Raises
        ------
        UsageError, WeightsCorruptError
            The members have different stems, or weights do not fit them.
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
        """Check that a member has the sample rate and channel count of the first one.

        Parameters
        ----------
        number : int
            Of the member.
        found, wanted : tuple of int
            Sample rate in hertz and channel count.

        Raises
        ------
        UsageError, WeightsCorruptError
            They differ.
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


#: A node of a plan.
Part = NamedModel | ChainPlan | EnsemblePlan


def _channels(count: int) -> str:
    return "one channel" if count == 1 else f"{count} channels"
