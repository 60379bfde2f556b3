"""Names that people type, and the `ModelPlan` of each.

``htdemucs,umxhq`` is the mean of both; in ``htdemucs:2,umxhq`` the first counts twice. Members may
be chains. A card or a bag file stands for an ensemble with a weight for each source, and may be
part of a chain. Nothing here imports PyTorch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from partita.errors import UsageError, one_line
from partita.weights.aliases import own_name
from partita.weights.bag_file import bag_file, read_bag
from partita.weights.card import BagMember, Card
from partita.weights.cards import CARDS
from partita.weights.chain import chain_label, holds_file, names_file, parse_chain
from partita.weights.exported.metadata import plan_file
from partita.weights.exported.plan_file import read_plan
from partita.weights.external_checkpoints import check_folder
from partita.weights.identity import NamedModel
from partita.weights.plan import ChainPlan, EnsemblePlan, Member, ModelPlan, Part
from partita.weights.web_names import is_web_name

_WEIGHT = re.compile(r"(.+):(\d+(?:\.\d*)?|\.\d+)")
_MOST_COMMAS = 64  # in a name
_MOST_PLUSES = 32


def resolve(name: str) -> ModelPlan:
    """Return what a name stands for.

    Parameters
    ----------
    name : str
        A model or a chain, see `partita.weights.chain.parse_chain`; or several of these, separated
        by commas, each with an optional ``:WEIGHT``. Other programs' names of weights are accepted
        too, see `partita.weights.aliases.own_name`.

    Raises
    ------
    UsageError
        A model is missing, or named twice; a weight for a single model.
    WeightsError
        A bag file is missing or invalid, or a member of it is missing.
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
    """The models of one plan: each name is one object, so that its file is read once."""

    def __init__(self) -> None:
        self._found: dict[str, NamedModel] = {}

    def one(self, name: str) -> NamedModel:
        """Return the model of that name."""
        return self._found.setdefault(name, NamedModel(name))

    def label(self, name: str) -> str:
        """Return the label of a model, a bag or the card of a chain."""
        if name in CARDS:
            return name
        if plan_file(name) is not None:
            return Path(name).resolve().name
        if (bag := bag_file(name)) is not None:
            return Path(name).resolve().name if Path(name).is_dir() else bag.stem
        return self.one(name).label

    def chain(self, name: str) -> Part:
        """Return the part that a chain or a single name stands for."""
        links = parse_chain(name)
        parts = tuple(self._link(link.model) for link in links)
        return parts[0] if len(parts) == 1 else ChainPlan(parts, links)

    def _link(self, model: str) -> Part:
        if model in CARDS:
            card = CARDS[model]
            members = [Member(self.chain(each.model), each.weights) for each in card.members]
            if members:
                return EnsemblePlan(model, tuple(members), card.sources)
        elif (described := plan_file(model)) is not None:
            return read_plan(described, self.one)
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
    """Split a name at its commas, except those in existing paths."""
    pieces = name.split(",")
    texts = []
    while pieces:
        counts = range(min(len(pieces), _MOST_COMMAS), 1, -1)
        count = next((n for n in counts if holds_file(",".join(pieces[:n]), ",")), 1)
        texts.append(",".join(pieces[:count]))
        pieces = pieces[count:]
    return texts


def _weighted(text: str) -> tuple[str, str]:
    """Return a member's name and its weight; empty: no weight is given."""
    match = _WEIGHT.fullmatch(text)
    pieces = text.split("+")[-_MOST_PLUSES:]
    # The end of a path may look like a weight.
    if match is None or any(names_file("+".join(pieces[n:])) for n in range(len(pieces))):
        return text, ""
    return match[1], match[2]


def part_cards(card: Card) -> tuple[Card, ...]:
    """Return the cards of a chain's or an ensemble's models; any other card itself."""
    return tuple(model.card for model in resolve(card.name).models)
