"""Names of chains, in which each model separates a stem of the models before it.

``spleeter-2stems:accompaniment+hpss`` is Spleeter, then HPSS on the accompaniment; without
``:accompaniment``, `taken_stem` chooses the stem. A card may stand for a chain: its name then
abbreviates the chain's, alone or within another. Other names: `partita.weights.resolve`. Nothing
here imports PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from partita.errors import UnknownNameError, UsageError, one_line
from partita.files import exists
from partita.weights.bag_file import bag_file
from partita.weights.cards import CARDS
from partita.weights.exported.metadata import plan_file
from partita.weights.external_checkpoints import checkpoint_file
from partita.weights.web_names import HUB

_USUALLY_TAKEN = "accompaniment"
_MOST_PLUSES = 32  # in the path of one checkpoint


@dataclass(frozen=True)
class Link:
    """One model of a chain.

    Attributes
    ----------
    model : str
        Name of a card, or path of a checkpoint or of a training's folder.
    stem : str or None
        The stem that it separates, of the chain before it; None: the name does not say.
    """

    model: str
    stem: str | None = None


def parse_chain(name: str) -> tuple[Link, ...]:
    """Return the models in a name: one, unless it is a chain.

    The names of cards that stand for chains are replaced by those chains.

    Parameters
    ----------
    name : str
        ``MODEL``, ``FIRST+SECOND`` or ``FIRST:STEM+SECOND``, and so on from left to right.

    Raises
    ------
    UsageError
        A model is missing before or after a plus, or after a stem.
    """
    return tuple(model for link in _named_links(name) for model in _expanded(link))


def _expanded(link: Link) -> tuple[Link, ...]:
    """Return the models of a link; the first of them takes the stem of the link."""
    chain = CARDS[link.model].chain if link.model in CARDS else ""
    if not chain:
        return (link,)
    first, *others = parse_chain(chain)
    return Link(first.model, link.stem), *others


def _named_links(name: str) -> tuple[Link, ...]:
    """Return the links as the name has them: a card that stands for a chain is one link."""
    links: list[Link] = []
    stem = None
    for model, next_stem in _parts(name):
        links.append(Link(model, stem))
        stem = next_stem
    if stem is not None:
        raise UsageError(
            f"{one_line(name)}: a model is missing behind :{one_line(stem)}; chains are "
            "FIRST:STEM+SECOND, and weights, 0 or more, are for ensembles: FIRST:2,SECOND"
        )
    if len(links) > 1 and not all(link.model for link in links):
        raise UsageError(
            f"{one_line(name)}: a model is missing; chains are FIRST+SECOND or FIRST:STEM+SECOND"
        )
    return tuple(links)


def _parts(name: str) -> list[tuple[str, str | None]]:
    """Split a name at its pluses, except those in paths of existing checkpoints."""
    pieces = name.split("+")
    parts = []
    while pieces:
        # The longest existing path counts: folders and files may have a plus in their names.
        counts = range(min(len(pieces), _MOST_PLUSES), 1, -1)
        count = next((n for n in counts if _is_checkpoint("+".join(pieces[:n]))), 1)
        parts.append(_split_stem("+".join(pieces[:count])))
        pieces = pieces[count:]
    return parts


def _is_checkpoint(part: str) -> bool:
    return names_file(_split_stem(part)[0])


def names_file(model: str) -> bool:
    """Return whether a name is the path of an existing checkpoint, bag, or folder of one."""
    if model in CARDS:
        return False
    if (bag := bag_file(model)) is not None:
        return exists(bag)
    if plan_file(model) is not None:
        return True
    path = checkpoint_file(model)
    return path is not None and exists(path)


def holds_file(name: str, mark: str) -> bool:
    """Return whether a model in a chain's name is an existing path that contains a character."""
    return any(mark in model and names_file(model) for model, _ in _parts(name))


def _split_stem(part: str) -> tuple[str, str | None]:
    model, colon, stem = part.rpartition(":")
    # Stems contain none of these characters, so the colon belongs to a path.
    if not colon or f"{model}:" == HUB or set(stem) & set("+/.,") or names_file(part):
        return part, None
    return model, stem


def taken_stem(link: Link, sources: Sequence[str]) -> str:
    """Return the stem that a link separates.

    It is the stem in the name, else the one on the model's card, else the accompaniment.

    Parameters
    ----------
    link : Link
    sources : sequence of str
        The stems of the chain before it.

    Raises
    ------
    UnknownNameError
        The chain before it has no stem of that name.
    UsageError
        The name does not say which stem, and the usual one is missing.
    """
    if link.stem is not None:
        if link.stem not in sources:
            raise UnknownNameError("stem", link.stem, sources)
        return link.stem
    by_card = CARDS[link.model].input_stem if link.model in CARDS else ""
    usual = by_card or _USUALLY_TAKEN
    if usual in sources:
        return usual
    model = one_line(link.model)
    raise UsageError(
        f"which stem should {model} separate? Write FIRST:STEM+{model}; "
        f"stems of the first: {', '.join(sources)}"
    )


def chained_sources(first: Sequence[str], taken: str, second: Sequence[str]) -> tuple[str, ...]:
    """Return the stems of a chain: the first's except the one taken, then the second's.

    A stem that both have appears once, as their sum: vocals found in an accompaniment are vocals.
    """
    return tuple(dict.fromkeys([*(name for name in first if name != taken), *second]))


def chain_label(name: str, label_of: Callable[[str], str]) -> str:
    """Return the label of a model or chain, for names of files and folders.

    The label of a chain's card is its name, that of ``FIRST:STEM+SECOND`` is ``FIRST-STEM+SECOND``.

    Parameters
    ----------
    name : str
    label_of : callable
        Returns the label of one model or bag by its name.
    """
    labels: list[str] = []
    for link in _named_links(name):
        if link.stem is not None:
            labels[-1] += f"-{link.stem}"
        labels.append(label_of(link.model))
    return "+".join(labels)
