"""Sentences on what agrees with the paper and what does not, computed from the figures."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from partita.comparison.paper.numbers import FIGURES, OVERALL, SOURCES, Figures, PaperTable
from partita.comparison.results import EntrantResult
from partita.evaluation.aggregate import summarise
from partita.evaluation.scores import TrackScores, mean

#: Source → SDR, SIR and SAR in dB; NaN where there is none.
BySource = Mapping[str, Figures]


def figures_of(result: EntrantResult, tracks: Collection[str] | None = None) -> dict[str, Figures]:
    """Return the figures of each source: medians over windows, then over tracks.

    Parameters
    ----------
    result : EntrantResult
    tracks : collection of str, optional
        Of these tracks alone.
    """
    summaries = summarise(_chosen(result, tracks))
    return {
        target: (each.medians["SDR"], each.medians["SIR"], each.medians["SAR"])
        for target, each in summaries.items()
    }


def means_of(result: EntrantResult, tracks: Collection[str] | None = None) -> dict[str, Figures]:
    """Return the figures of each source as means over windows, then over tracks."""
    found: dict[str, list[Figures]] = {}
    for scores in _chosen(result, tracks):
        for name, target in scores.targets.items():
            sdr, sir, sar = (mean([frame[each] for frame in target.frames]) for each in FIGURES)
            found.setdefault(name, []).append((sdr, sir, sar))
    return {name: overall(dict(enumerate(each))) for name, each in found.items()}


def _chosen(result: EntrantResult, tracks: Collection[str] | None) -> list[TrackScores]:
    return [scores for name, scores in result.scores.items() if tracks is None or name in tracks]


def overall(figures: Mapping[Any, Figures]) -> Figures:
    """Return the means over sources, of those that have a figure."""
    sdr, sir, sar = (mean([each[column] for each in figures.values()]) for column in range(3))
    return sdr, sir, sar


def same_order(
    paper: Mapping[str, float], ours: Mapping[str, float], *, noun: str, figure: str = "SDR"
) -> str:
    """Return how many pairs are in the paper's order, and which are not.

    Parameters
    ----------
    paper, ours : mapping of str to float
        Of what both have, in dB; NaN counts as missing.
    noun : str
        What is ordered, in the plural.
    figure : str
    """
    shared = [name for name in paper if math.isfinite(ours.get(name, math.nan))]
    pairs = list(itertools.combinations(shared, 2))
    if not pairs:
        return f"Nothing to order: fewer than two {noun} have an {figure} in both."
    wrong = [
        (b, a) if paper[a] > paper[b] else (a, b)
        for a, b in pairs
        if (paper[a] - paper[b]) * (ours[a] - ours[b]) <= 0
    ]
    count = f"{len(pairs) - len(wrong)} of {len(pairs)} pairs of {noun}"
    text = f"By {figure}, {count} are in the paper's order"
    if wrong:
        listed = ", ".join(f"{upper} above {lower}" for upper, lower in wrong)
        text += f"; not as in the paper: {listed}"
    return f"{text}."


def best_and_worst(paper: Mapping[str, float], ours: Mapping[str, float]) -> str:
    """Return which source is best and which worst, in both; empty if there are fewer than two."""
    known = {name: value for name, value in ours.items() if math.isfinite(value)}
    shared = [name for name in paper if name in known]
    if len(shared) < 2:
        return ""
    parts = []
    for word, choose in (("Best", max), ("worst", min)):
        theirs = choose(shared, key=lambda name: paper[name])
        own = choose(shared, key=lambda name: known[name])
        seen = ", as in the paper" if own == theirs else f" (in the paper {theirs})"
        parts.append(f"{word} is {own}{seen}")
    return f"{parts[0]}; {parts[1]}."


def of_sources(table: PaperTable, ours: BySource) -> str:
    """Return what agrees and what does not in a table of sources."""
    paper = {source: table.rows[source][0] for source in SOURCES}
    own = {source: ours[source][0] for source in SOURCES if source in ours}
    if not any(map(math.isfinite, own.values())):
        return "None of the paper's sources has a score here: nothing can be compared."
    level = overall({source: ours[source] for source in own})[0] - table.rows[OVERALL][0]
    return " ".join(
        filter(
            None,
            (
                same_order(paper, own, noun="sources"),
                best_and_worst(paper, own),
                f"The mean SDR is {abs(level):.1f} dB {'above' if level > 0 else 'below'} "
                "the paper's.",
            ),
        )
    )


def of_change(
    paper_before: Figures, paper_after: Figures, before: Figures, after: Figures, what: str
) -> str:
    """Return whether a change moved the figures in the direction that it did in the paper."""
    parts, same = [], []
    for column, figure in enumerate(FIGURES):
        theirs = paper_after[column] - paper_before[column]
        own = after[column] - before[column]
        parts.append(f"{figure} {_signed(own)} dB (paper {_signed(theirs)})")
        if math.isfinite(own) and own * theirs > 0:
            same.append(figure)
    verdict = "none has the paper's direction"
    if same:
        verdict = f"as in the paper: the direction of {_listed(same)}"
    return f"{what} changes {', '.join(parts)}; {verdict}."


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−") if math.isfinite(value) else "–"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def of_losses(rows: Sequence[Mapping[str, float]], papers_highest: str) -> str:
    """Return which source has the highest training loss at the end; empty without losses."""
    if not rows:
        return ""
    last = rows[-1]
    by_source = {
        key.removeprefix("train_"): value for key, value in last.items() if key.startswith("train_")
    }
    first, end = rows[0]["train"], last["train"]
    text = f"Training loss from {first:.3g} to {end:.3g} in {len(rows)} epochs"
    if len(by_source) < 2:
        return f"{text}."
    highest = max(by_source, key=lambda name: by_source[name])
    seen = "as in the paper" if highest == papers_highest else f"in the paper of {papers_highest}"
    return f"{text}; at the end it is highest for {highest}, {seen}."
