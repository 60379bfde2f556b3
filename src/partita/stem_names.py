"""Stem expressions: sources, sums of sources, and rests."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from partita.errors import UnknownNameError, UsageError
from partita.files import folded, part_of_path

_REST = "no_"

_LONGEST_NAME = 200


def normal_name(name: str) -> str:
    """Return a name in Unicode's composed form (NFC), which is used for comparison.

    File systems and programs encode é as one character or as two.
    """
    return unicodedata.normalize("NFC", name)


def is_source_name(name: object) -> bool:
    """Return whether a name can be a source's: it is used in file names and in sums."""
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        return False
    return name.isprintable() and not set(name) & set("+/\\. ")


def file_names(stems: Iterable[str]) -> dict[str, str]:
    """Return stem name → file name without extension.

    Raises
    ------
    UsageError
        Two stems would share a file, if only on file systems that ignore case.
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
    """Return the sources whose sum a stem is.

    Parameters
    ----------
    expression : str
        A source (``drums``), a sum (``drums+bass``), or a rest (``no_vocals``).
    sources : sequence of str
        The model's sources.

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
    """Return stem name → sources, for all chosen stems.

    Parameters
    ----------
    sources : sequence of str
        The model's sources, which are also the default stems.
    stems : sequence of str
        Stem expressions.
    two_stems : str, optional
        That stem and ``no_STEM``, the rest.

    Raises
    ------
    UsageError
        Names are unknown or repeated, or both `stems` and `two_stems` are given.
    """
    if two_stems is not None:
        if stems:
            raise UsageError("`stems` and `two_stems` exclude each other")
        stems = [two_stems, f"{_REST}{two_stems}"]
    names = [as_named(stem.strip(), sources) for stem in stems] or list(sources)
    if len(set(names)) < len(names):
        raise UsageError(f"`stems` names a stem twice: {', '.join(names)}")
    return {name: stem_members(name, sources) for name in names}


def as_named(expression: str, sources: Sequence[str]) -> str:
    """Return ``vocals`` for ``Vocals`` if all of the model's names are lower case."""
    if expression.lower() == expression or any(source.lower() != source for source in sources):
        return expression
    return expression.lower()
