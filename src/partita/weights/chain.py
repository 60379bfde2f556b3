"""Names of chains: models of which each takes apart a stem of those before it.

``spleeter-2stems:accompaniment+hpss`` is Spleeter, then HPSS on the accompaniment; without
``:accompaniment`` the stem is chosen by `taken_stem`. A card may stand for a chain: its name is
short for the chain's, alone or within another. What else a name may be is `partita.weights.plan`'s.
Nothing here imports PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from partita.errors import UnknownNameError, UsageError, one_line
from partita.files import exists
from partita.weights.bag_file import bag_file
from partita.weights.cards import CARDS
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
        The stem that it takes apart, of the chain before it; None: the name does not say.
    """

    model: str
    stem: str | None = None


def parse_chain(name: str) -> tuple[Link, ...]:
    """Return the models that a name consists of: one, unless it is a chain.

    Cards of chains are taken apart, wherever they stand: what is left are models.

    Parameters
    ----------
    name : str
        ``MODEL``, ``FIRST+SECOND`` or ``FIRST:STEM+SECOND``, and so on from left to right.

    Raises
    ------
    UsageError
        A model is missing before or behind a plus, or behind a stem.
    """
    return tuple(model for link in _named_links(name) for model in _expanded(link))


def _expanded(link: Link) -> tuple[Link, ...]:
    """Return the models of a link; the first of them takes what the link takes."""
    chain = CARDS[link.model].chain if link.model in CARDS else ""
    if not chain:
        return (link,)
    first, *others = parse_chain(chain)
    return Link(first.model, link.stem), *others


def _named_links(name: str) -> tuple[Link, ...]:
    """Return the links as they stand in the name: cards of chains are one."""
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
    """Cut a name at its pluses, but for those in paths of checkpoints that are there."""
    pieces = name.split("+")
    parts = []
    while pieces:
        # The longest path that is there: folders and files may have a plus in their names.
        counts = range(min(len(pieces), _MOST_PLUSES), 1, -1)
        count = next((n for n in counts if _is_checkpoint("+".join(pieces[:n]))), 1)
        parts.append(_split_stem("+".join(pieces[:count])))
        pieces = pieces[count:]
    return parts


def _is_checkpoint(part: str) -> bool:
    return names_file(_split_stem(part)[0])


def names_file(model: str) -> bool:
    """Tell whether a name is the path of a checkpoint, a bag or a folder of one that is there."""
    if model in CARDS:
        return False
    if (bag := bag_file(model)) is not None:
        return exists(bag)
    path = checkpoint_file(model)
    return path is not None and exists(path)


def holds_file(name: str, mark: str) -> bool:
    """Tell whether a model in the name of a chain is a path with a character in it."""
    return any(mark in model and names_file(model) for model, _ in _parts(name))


def _split_stem(part: str) -> tuple[str, str | None]:
    model, colon, stem = part.rpartition(":")
    # What stems have none of says that the colon belongs to a path.
    if not colon or f"{model}:" == HUB or set(stem) & set("+/.,") or names_file(part):
        return part, None
    return model, stem


def taken_stem(link: Link, sources: Sequence[str]) -> str:
    """Return the stem that a link takes apart.

    It is the one that the name says, else the one that the model's card says, else, where the card
    says nothing, the accompaniment.

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
        The name does not say which, and it does not go without saying.
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
        f"which stem does {model} take apart? FIRST:STEM+{model} says it; "
        f"stems of the first: {', '.join(sources)}"
    )


def chained_sources(first: Sequence[str], taken: str, second: Sequence[str]) -> tuple[str, ...]:
    """Return the stems of a chain: the first's but for the one taken, then the second's.

    A stem that both have is one, their sum: vocals that are found in an accompaniment are vocals.
    """
    return tuple(dict.fromkeys([*(name for name in first if name != taken), *second]))


def chain_label(name: str, label_of: Callable[[str], str]) -> str:
    """Return what files and folders of a model or chain are named after.

    Cards of chains go by their own names, and ``FIRST:STEM+SECOND`` by ``FIRST-STEM+SECOND``.

    Parameters
    ----------
    name : str
    label_of : callable
        Gives the label of one model or bag by its name.
    """
    labels: list[str] = []
    for link in _named_links(name):
        if link.stem is not None:
            labels[-1] += f"-{link.stem}"
        labels.append(label_of(link.model))
    return "+".join(labels)
