"""What is scored against what: names of references and estimates, and sums of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from partita.errors import UsageError
from partita.stem_names import stem_members

#: What stands for everything else: where the references lack it, what no other estimate covers.
_REST = ("other", "accompaniment")
#: Target → names of the references, and of the estimates, that it is the sum of.
TargetMembers = dict[str, tuple[tuple[str, ...], tuple[str, ...]]]


@dataclass(frozen=True)
class Match:
    """What is scored of a song, and what cannot be.

    Attributes
    ----------
    targets : dict
        Target → names of the references, and of the estimates, that it is the sum of.
    left_out : mapping of str to str
        Name that is on one side only → the side that lacks it, ``references`` or ``estimates``.
    remarks : tuple of str
        What was taken for what.
    """

    targets: TargetMembers
    left_out: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def references(self) -> list[str]:
        """The references that targets are made of."""
        return list(dict.fromkeys(name for ours, _ in self.targets.values() for name in ours))

    @property
    def estimates(self) -> list[str]:
        """The estimates that targets are made of."""
        return list(dict.fromkeys(name for _, theirs in self.targets.values() for name in theirs))


def match_targets(
    references: Sequence[str], estimates: Sequence[str], targets: Sequence[str] = ()
) -> TargetMembers:
    """Decide what is scored against what.

    Parameters
    ----------
    references, estimates : sequence of str
        Names on both sides.
    targets : sequence of str
        What is asked for; by default every estimate, which together must be everything that the
        references hold. Of estimates that overlap, such as ``accompaniment`` beside ``drums``,
        sums are left out by default.

    Returns
    -------
    dict
        Target → names of the references, and of the estimates, that it is the sum of.

    Raises
    ------
    UsageError
        A name that is on one side only, or references that no estimate covers; lists both sides.
    """
    both = _both_sides(references, estimates)
    found: TargetMembers = {}
    for name in list(targets) or [name for name in estimates if name != "mixture"]:
        members = _on_both_sides(name, references, estimates)
        if members is None:
            raise UsageError(f"target {name!r} is not on both sides; {both}")
        found[name] = members
    if targets:
        return found
    found, missing = _complete(found, references, both)
    if missing or not found:
        raise _uncovered(f"no estimate of {', '.join(missing) or 'anything'}", both)
    return found


def match_available(
    references: Sequence[str],
    estimates: Sequence[str],
    targets: Sequence[str] = (),
    *,
    all_references: bool = True,
) -> Match:
    """Decide what is scored against what where a song lacks stems, or has more than are estimated.

    Where a song has no ``other`` or, lacking ``vocals``, no ``accompaniment``, that is the sum of
    what no other estimate covers.

    Parameters
    ----------
    references, estimates, targets : sequence of str
        As for `match_targets`.
    all_references : bool
        Whether references that no estimate covers are an error: estimates of a song should be
        complete, but models have sources of their own.

    Returns
    -------
    Match

    Raises
    ------
    UsageError
        As for `match_targets`, where nothing is on both sides or a reference is not covered.
    """
    try:
        return Match(match_targets(references, estimates, targets))
    except UsageError:
        match = _what_is_there(references, estimates, targets)
        if not match.targets or (all_references and "estimates" in match.left_out.values()):
            raise
        return match


def _what_is_there(
    references: Sequence[str], estimates: Sequence[str], targets: Sequence[str]
) -> Match:
    sums = [name for name in _single_sources(references) if name not in estimates]
    found: TargetMembers = {}
    left_out: dict[str, str] = {}
    for name in list(targets) or [*(name for name in estimates if name != "mixture"), *sums]:
        members = _on_both_sides(name, references, estimates)
        if members is not None:
            found[name] = members
        elif targets or name in estimates:
            is_estimated = _can_be_made(name, estimates)
            left_out[name] = "references" if is_estimated else "estimates"
    if targets:
        return _with_the_rest(Match(found, left_out), references, estimates)
    found, missing = _complete(found, references, _both_sides(references, estimates))
    rest = next((name for name in _REST if left_out.get(name) == "references"), None)
    if missing and rest:
        del left_out[rest]
        found[rest] = tuple(missing), _members(rest, estimates, _single_sources(estimates))
        return Match(found, left_out, (f"{rest} is taken to be {'+'.join(missing)}",))
    return Match(found, {**left_out, **dict.fromkeys(missing, "estimates")})


def _with_the_rest(match: Match, references: Sequence[str], estimates: Sequence[str]) -> Match:
    """Add a target that is everything else, where all estimates together tell what that is."""
    wanted = [name for name in _REST if match.left_out.get(name) == "references"]
    if not wanted:
        return match
    whole = _what_is_there(references, estimates, ())
    if not (whole.remarks and wanted[0] in whole.targets):
        return match
    left_out = {name: side for name, side in match.left_out.items() if name != wanted[0]}
    targets = {**match.targets, wanted[0]: whole.targets[wanted[0]]}
    return Match(targets, left_out, whole.remarks)


def _both_sides(references: Sequence[str], estimates: Sequence[str]) -> str:
    listed = [", ".join(sorted(names)) for names in (references, estimates)]
    return f"references: {listed[0]}; estimates: {listed[1]}"


def _on_both_sides(
    name: str, references: Sequence[str], estimates: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    try:
        return (
            _members(name, references, _single_sources(references)),
            _members(name, estimates, _single_sources(estimates)),
        )
    except UsageError:
        return None


def _can_be_made(name: str, names: Sequence[str]) -> bool:
    try:
        return bool(_members(name, names, _single_sources(names)))
    except UsageError:
        return False


def _complete(
    found: TargetMembers, references: Sequence[str], both: str
) -> tuple[TargetMembers, list[str]]:
    """Leave out sums of what is there anyway; return also the references that nothing covers."""
    sources = _single_sources(references)
    parts = {name: set(_members(name, sources, sources)) for name in found}
    kept = dict(found)
    for name in found:
        rest = set().union(*(parts[other] for other in kept if other != name))
        if len(parts[name]) > 1 and parts[name] <= rest:
            del kept[name]
    covered = [source for name in kept for source in parts[name]]
    if len(set(covered)) < len(covered):
        raise _uncovered("estimates overlap", both)
    return kept, [source for source in sources if source not in covered]


def _uncovered(problem: str, both: str) -> UsageError:
    return UsageError(f"{problem}: name the `targets` to score together; {both}")


def _single_sources(names: Sequence[str]) -> list[str]:
    """Leave out what is a sum of the others."""
    singles = [name for name in names if name not in ("mixture", "linear_mixture")]
    if len(singles) > 2 and "accompaniment" in singles and "vocals" in singles:
        singles.remove("accompaniment")
    return [name for name in singles if "+" not in name]


def _members(name: str, names: Sequence[str], sources: Sequence[str]) -> tuple[str, ...]:
    if name in names:
        return (name,)
    if name == "accompaniment":
        return stem_members("no_vocals", sources)
    return stem_members(name, sources)
