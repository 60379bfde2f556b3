"""Which instruments belong to which stem."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from partita.errors import UnknownNameError, UsageError
from partita_synthesis.instruments import instruments

#: Stems that hold all instruments of no other stem.
RESIDUALS = ("rest", "other", "accompaniment")


class StemPlan:
    """The stems of a song, and the instruments that each may hold.

    Parameters
    ----------
    names : sequence of str
        Words of the table of instruments (``guitar``, ``vocals``, ``synth_bass``), of which the
        narrower one wins where two hold an instrument (``violin,strings``); at most one of
        `RESIDUALS`, which holds whatever is left.

    Attributes
    ----------
    names : tuple of str
    owners : mapping of str to str
        Instrument → its stem; instruments of no stem are not in it.

    Raises
    ------
    UsageError
        No stems, a stem named twice, two residuals, or a stem whose instruments all belong to
        narrower ones.
    UnknownNameError
        A stem that no instrument maps to.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        if not names:
            raise UsageError("no stems were named: name some, such as vocals,drums,bass,other")
        for name in names:
            if self.names.count(name) > 1:
                raise UsageError(f"the stem {name!r} is named twice")
        residuals = [name for name in names if name in RESIDUALS]
        if len(residuals) > 1:
            raise UsageError(
                f"{residuals[0]!r} and {residuals[1]!r} both hold whatever is left: name one"
            )
        held = {name: _holders(name) for name in names if name not in RESIDUALS}
        owners: dict[str, str] = {}
        for name in sorted(held, key=lambda each: len(held[each])):
            free = [instrument for instrument in held[name] if instrument not in owners]
            if not free:
                raise UsageError(f"the stem {name!r} is empty: narrower stems hold all of it")
            owners |= dict.fromkeys(free, name)
        if residuals:
            left = [name for name in instruments() if name not in owners]
            if not left:
                raise UsageError(f"the stem {residuals[0]!r} is empty: the others hold everything")
            owners |= dict.fromkeys(left, residuals[0])
        self.owners: Mapping[str, str] = owners

    def instruments_of(self, stem: str) -> list[str]:
        """Return the instruments of a stem, in the order of the table."""
        return [name for name in instruments() if self.owners.get(name) == stem]

    def require(self, playable: Collection[str], advice: str) -> None:
        """Make sure that every stem has an instrument that can be played.

        Raises
        ------
        UsageError
            With the advice given.
        """
        for stem in self.names:
            if not any(name in playable for name in self.instruments_of(stem)):
                raise UsageError(f"nothing here can play the stem {stem!r}: {advice}")


def stem_words() -> list[str]:
    """Return every name that a stem can have."""
    words = {word for instrument in instruments().values() for word in instrument.words}
    return sorted(words | set(RESIDUALS))


def _holders(word: str) -> list[str]:
    found = [name for name, instrument in instruments().items() if word in instrument.words]
    if not found:
        raise UnknownNameError("stem", word, stem_words())
    return found
