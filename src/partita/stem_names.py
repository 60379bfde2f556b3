"""Stem expressions: which sums of a model's sources a person wants."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from partita.errors import UnknownNameError, UsageError
from partita.files import folded, part_of_path

_REST = "no_"

_LONGEST_NAME = 200


def normal_name(name: str) -> str:
    """Return a name in Unicode's composed form (NFC), in which names are compared.

    File systems and programs write an é as one character or as two.
    """
    return unicodedata.normalize("NFC", name)


def is_source_name(name: object) -> bool:
    """Tell whether something may be a source's name: it becomes a file's, and a part of sums."""
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        return False
    return name.isprintable() and not set(name) & set("+/\\. ")


def file_names(stems: Iterable[str]) -> dict[str, str]:
    """Return what the file of each stem is called, without its extension.

    Raises
    ------
    UsageError
        Two stems would get one file, if only on systems that do not tell, say, a from A.
    """
    names: dict[str, str] = {}
    owners: dict[str, str] = {}
    for stem in stems:
        names[stem] = part_of_path(stem.replace("\\", "_"))
        other = owners.setdefault(folded(names[stem]), stem)
        if other != stem:
            where = "" if names[other] == names[stem] else " on systems that do not tell them apart"
            raise UsageError(
                f"the stems {other!r} and {stem!r} would get one file name{where}: rename one"
            )
    return names


def stem_members(expression: str, sources: Sequence[str]) -> tuple[str, ...]:
    """Return the sources that a stem consists of.

    Parameters
    ----------
    expression : str
        A source (``drums``), a sum (``drums+bass``), or everything else (``no_vocals``).
    sources : sequence of str
        What the model separates.

    Raises
    ------
    UnknownNameError
        A name that is not a source.
    UsageError
        A sum that names a source twice, or a rest that is empty.
    """
    if expression in sources:
        return (expression,)
    if expression.startswith(_REST):
        left_out = stem_members(expression.removeprefix(_REST), sources)
        members = tuple(source for source in sources if source not in left_out)
        if not members:
            raise UsageError(f"stem {expression!r} is empty: the model has no other source")
        return members
    members = tuple(expression.split("+"))
    for name in members:
        if name not in sources:
            raise UnknownNameError("stem", name, sources)
    if len(set(members)) < len(members):
        raise UsageError(f"stem {expression!r} names a source twice")
    return members


def choose_stems(
    sources: Sequence[str], *, stems: Sequence[str] = (), two_stems: str | None = None
) -> dict[str, tuple[str, ...]]:
    """Return stem name → its sources, for all stems that are asked for.

    Parameters
    ----------
    sources : sequence of str
        What the model separates; all of them where nothing else is asked for.
    stems : sequence of str
        Stem expressions.
    two_stems : str, optional
        A stem expression: that stem, and ``no_STEM`` with everything else.

    Raises
    ------
    UsageError
        Unknown names, repeated stems, or both kinds of choice at once.
    """
    if two_stems is not None:
        if stems:
            raise UsageError("`stems` and `two_stems` exclude each other")
        stems = [two_stems, f"{_REST}{two_stems}"]
    names = [_as_named(stem.strip(), sources) for stem in stems] or list(sources)
    if len(set(names)) < len(names):
        raise UsageError(f"a stem is asked for twice: {', '.join(names)}")
    return {name: stem_members(name, sources) for name in names}


def _as_named(expression: str, sources: Sequence[str]) -> str:
    """Write ``Vocals`` as the model does, where it knows ``vocals`` only."""
    if expression.lower() == expression or any(source.lower() != source for source in sources):
        return expression
    return expression.lower()
