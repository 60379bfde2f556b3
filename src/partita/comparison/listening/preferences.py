"""Preferences between pairs of entrants."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from partita.comparison.listening.answers import Answers


@dataclass(frozen=True)
class PairResult:
    """How often listeners prefer one entrant to another.

    Attributes
    ----------
    first, second : str
    wins, losses, ties : int
        How often the first is better, the second is, and no difference is heard.
    listeners : int
    """

    first: str
    second: str
    wins: int
    losses: int
    ties: int
    listeners: int

    @property
    def decided(self) -> int:
        """Comparisons with a preference."""
        return self.wins + self.losses

    @property
    def share(self) -> float | None:
        """Share of the first among those decided; None where none is."""
        return self.wins / self.decided if self.decided else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the share (Wilson)."""
        if not self.decided:
            return None
        from scipy import stats

        found = stats.binomtest(self.wins, self.decided).proportion_ci(0.95, method="wilson")
        return float(found.low), float(found.high)

    @property
    def p(self) -> float | None:
        """Of the two-sided sign test: that both are preferred equally often."""
        if not self.decided:
            return None
        from scipy import stats

        return float(stats.binomtest(self.wins, self.decided).pvalue)


def compare_pairs(answers: Iterable[Answers], order: Iterable[str]) -> list[PairResult]:
    """Count preferences over songs, stems and listeners.

    Parameters
    ----------
    answers : iterable of Answers
    order : iterable of str
        Of entrants; others come behind.
    """
    said: dict[tuple[str, str], list[tuple[str, str]]] = {}  # pair → (listener, preferred)
    for each in answers:
        pairs = {pair.id: pair for pair in each.key.pairs}
        for name, choice in each.choices.items():
            names = {item.id: item.entrant for item in pairs[name].items}
            first, second = sorted(names.values())
            said.setdefault((first, second), []).append((each.listener, names.get(choice, "")))
    known = list(dict.fromkeys([*order, *itertools.chain.from_iterable(said)]))
    results = []
    for first, second in itertools.combinations(known, 2):
        found = said.get((first, second)) or said.get((second, first))
        if found:
            preferred = [choice for _, choice in found]
            results.append(
                PairResult(
                    first,
                    second,
                    preferred.count(first),
                    preferred.count(second),
                    preferred.count(""),
                    len({listener for listener, _ in found}),
                )
            )
    return results
