"""What listeners found, as sections of a report that stand beside the scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from partita.comparison.conditions import caption
from partita.comparison.listening.answers import Collected
from partita.comparison.listening.heard_scores import Correlation, Sdr, correlations, mean_sdrs
from partita.comparison.listening.preferences import PairResult, compare_pairs
from partita.comparison.listening.ratings import (
    Heard,
    Rating,
    Screened,
    difference,
    listener_means,
    post_screen,
    rate_systems,
    ratings_of,
    t_interval,
)
from partita.comparison.results import Comparison
from partita.datasets.tracks import order_stems
from partita.reports.content import Block, BoxPlot, Cell, Column, Section, Table, Text, finite_cell

_NAMES = {
    "reference": "hidden reference",
    "low anchor": "low anchor (3.5 kHz)",
    "interference anchor": "interference anchor",
}
_KINDS = ("entrant", *_NAMES)
_ANCHOR_KINDS = ("low anchor", "interference anchor")
_ANCHORS = (
    "Low anchor: the reference up to 3.5 kHz. Interference anchor: the reference and all else in "
    "the song at its level."
)
_ENOUGH = 20  # listeners, says BS.1534-3
_NO_SDR = Sdr(math.nan, math.nan)
_METHOD = "blind listening test after MUSHRA (ITU-R BS.1534-3)"
_OVER = "Intervals of ratings are over listeners, each of whom counts once"


def listening_sections(comparison: Comparison, collected: Collected) -> list[Section]:
    """Return what listeners of blind tests found.

    Parameters
    ----------
    comparison : Comparison
        Its scores stand beside the ratings; its entrants come in their order.
    collected : Collected
    """
    order = [result.entrant.name for result in comparison.results]
    ratings, pairs = ratings_of(collected.answers), compare_pairs(collected.answers, order)
    sections = []
    if ratings:
        sections.append(_ratings_section(ratings, comparison, order))
    if pairs:
        sections.append(Section("Blind comparison of pairs", _pair_tables(pairs, comparison)))
    remarks = [Text(line) for line in (*collected.problems, *collected.notes)]
    if remarks:
        sections.append(Section("Files of answers", remarks))
    return sections


def _ratings_section(
    ratings: Sequence[Rating], comparison: Comparison, order: Sequence[str]
) -> Section:
    screened = post_screen(ratings)
    kept = {each.listener for each in screened if each.kept}
    counted = [rating for rating in ratings if rating.listener in kept]
    blocks: list[Block] = []
    if counted:
        heard = _in_order(rate_systems(counted, seed=comparison.seed), order)
        counts = _counts(counted, screened)
        blocks += [
            Text(_verdict(heard), verdict=True),
            _summary_table(heard, mean_sdrs(comparison, counted), counts, comparison),
            _stem_table(counted, heard, counts, comparison),
            _box_plot(counted, heard, counts, comparison),
        ]
        found = correlations(comparison, counted)
        blocks += [_correlation_table(found, comparison)] if found else []
    else:
        blocks.append(Text("Post-screening leaves no listener: there is no result.", verdict=True))
    return Section("Blind listening", [*blocks, _listener_table(screened, comparison)])


def _in_order(heard: Sequence[Heard], order: Sequence[str]) -> list[Heard]:
    place = {name: index for index, name in enumerate(order)}
    return sorted(
        heard,
        key=lambda each: (
            _KINDS.index(each.item.kind),
            place.get(each.item.entrant, len(place)),
            each.item.entrant,
        ),
    )


def _name(heard: Heard) -> str:
    return heard.item.entrant or _NAMES[heard.item.kind]


def _verdict(heard: Sequence[Heard]) -> str:
    entrants = sorted(
        (each for each in heard if each.item.kind == "entrant"), key=lambda each: -each.mean
    )
    best, listeners = entrants[0], len(entrants[0].listeners)
    text = f"Listeners rate {_name(best)} highest: {best.mean:.1f} of 100"
    if listeners < 2:
        return f"{text}. That is one listener: no intervals, no conclusion about others."
    text += f" (95 % interval {_range(best.t_interval)}, {listeners} listeners)."
    if len(entrants) < 2:
        return text
    mean, interval, shared = difference(best, entrants[1])
    if shared < 2:
        return text
    text += f" {_name(entrants[1])} is {mean:.1f} lower ({_range(interval)})"
    open_end = ": the interval includes 0, so the order of the two is open."
    return text + ("." if interval[0] > 0 else open_end)


def _range(interval: tuple[float, float]) -> str:
    return " to ".join(f"{bound:.1f}".replace("-", "−") for bound in interval)


def _counts(ratings: Sequence[Rating], screened: Sequence[Screened]) -> str:
    listeners = len({rating.listener for rating in ratings})
    places = len({(rating.trial.song, rating.trial.stem) for rating in ratings})
    left_out = len(screened) - listeners
    return (
        f"{_plural(listeners, 'listener')} ({left_out} left out), {_plural(places, 'excerpt')}, "
        f"{len(ratings)} ratings"
    )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _summary_table(
    heard: Sequence[Heard], sdrs: Mapping[str, Sdr], counts: str, comparison: Comparison
) -> Table:
    columns = [
        Column("system"),
        Column("mean", digits=1, meaning="Of the listeners' means: 0 is bad, 100 excellent."),
        Column("mean low", digits=1, meaning="95 % interval of the mean, Student's t."),
        Column("mean high", digits=1),
        Column("bootstrap low", digits=1, meaning="95 % interval of the mean, bootstrap."),
        Column("bootstrap high", digits=1),
        Column("median", digits=1, meaning="Of all ratings."),
        Column("Q1", digits=1, meaning="First quartile of all ratings."),
        Column("Q3", digits=1, meaning="Third quartile of all ratings."),
        Column("SDR heard", "dB", meaning="Median over windows of an excerpt, mean of excerpts."),
        Column("SDR song", "dB", meaning="Median over windows of a song, mean of excerpts."),
    ]
    rows: list[list[Cell]] = []
    for each in heard:
        first, middle, third = each.quartiles
        figures = (each.mean, *each.t_interval, *each.bootstrap, middle, first, third)
        sdr = sdrs.get(each.item.entrant, _NO_SDR)
        rows.append([_name(each), *map(finite_cell, (*figures, *sdr))])
    listeners = max(len(each.listeners) for each in heard)
    notes = [_ANCHORS] if any(each.item.kind in _ANCHOR_KINDS for each in heard) else []
    if listeners < 2:
        notes.append("One listener: no intervals.")
    elif listeners < _ENOUGH:
        notes.append(f"Fewer than the {_ENOUGH} listeners that BS.1534-3 holds for enough.")
    return Table(
        name="listening",
        caption=caption(f"Ratings of a {_METHOD}: {counts}. {_OVER}.", comparison),
        columns=columns,
        rows=rows,
        best={1: _best(heard)},
        notes=notes,
    )


def _best(heard: Sequence[Heard]) -> list[int]:
    means = [each.mean if each.item.kind == "entrant" else -math.inf for each in heard]
    return [index for index, mean in enumerate(means) if mean == max(means)]


def _stem_table(
    ratings: Sequence[Rating], heard: Sequence[Heard], counts: str, comparison: Comparison
) -> Table:
    stems = order_stems({rating.trial.stem for rating in ratings})
    columns = [Column("system")]
    for stem in stems:
        columns += [
            Column(stem, digits=1, meaning="Mean of the listeners' means."),
            Column(f"{stem} ±", digits=1, meaning="Half of the 95 % interval, Student's t."),
        ]
    rows = []
    for system in heard:
        row: list[Cell] = [_name(system)]
        for stem in stems:
            means = list(listener_means(_of(ratings, system, stem)).values())
            low, high = t_interval(means)
            row += [sum(means) / len(means) if means else None, finite_cell((high - low) / 2)]
        rows.append(row)
    return Table(
        name="listening-stems",
        caption=caption(f"Ratings of each stem: {counts}. {_OVER}.", comparison),
        columns=columns,
        rows=rows,
    )


def _of(ratings: Sequence[Rating], system: Heard, stem: str) -> list[Rating]:
    who = (system.item.kind, system.item.entrant)
    return [
        rating
        for rating in ratings
        if (rating.item.kind, rating.item.entrant) == who and rating.trial.stem == stem
    ]


def _box_plot(
    ratings: Sequence[Rating], heard: Sequence[Heard], counts: str, comparison: Comparison
) -> BoxPlot:
    groups = {
        stem: {
            _name(system): {
                f"{rating.listener} · {rating.trial.song}": rating.value
                for rating in _of(ratings, system, stem)
            }
            for system in heard
        }
        for stem in order_stems({rating.trial.stem for rating in ratings})
    }
    return BoxPlot(
        name="listening-ratings",
        caption=caption(f"Ratings of a {_METHOD}: {counts}.", comparison),
        y_label="rating",
        groups=groups,
    )


def _correlation_table(found: Sequence[Correlation], comparison: Comparison) -> Table:
    return Table(
        name="listening-correlation",
        caption=caption("Correlation of mean ratings with SDR.", comparison),
        columns=[
            Column("points"),
            Column("number", digits=0),
            Column("Pearson"),
            Column("Pearson low", meaning="95 % interval, Fisher's transformation."),
            Column("Pearson high"),
            Column("Spearman"),
        ],
        rows=[
            [each.what, each.points, each.pearson, *map(finite_cell, each.interval), each.spearman]
            for each in found
        ],
        notes=["Excerpts of one entrant are not independent: their interval is too narrow."],
    )


def _listener_table(screened: Sequence[Screened], comparison: Comparison) -> Table:
    return Table(
        name="listeners",
        caption=caption(
            "Post-screening (BS.1534-3): who rates the hidden reference below 90 in more than 15 % "
            "of the trials is left out.",
            comparison,
        ),
        columns=[
            Column("listener"),
            Column("trials", digits=0),
            Column("hidden reference below 90", digits=0),
            Column("counts"),
        ],
        rows=[
            [each.listener, each.trials, each.missed, "yes" if each.kept else "left out"]
            for each in screened
        ],
    )


def _pair_tables(pairs: Sequence[PairResult], comparison: Comparison) -> list[Table]:
    table = Table(
        name="preferences",
        caption=caption(
            "Preferences over songs, stems and listeners. Share: of the first among comparisons "
            "with a preference, 95 % Wilson interval; p: two-sided sign test. Both take all "
            "comparisons for independent, which those of one listener are not quite.",
            comparison,
        ),
        columns=[
            Column("first"),
            Column("second"),
            Column("wins", digits=0, meaning="How often the first is better."),
            Column("losses", digits=0, meaning="How often the second is better."),
            Column("ties", digits=0, meaning="How often no difference is heard."),
            Column("share", "%", 0, "Of the first among wins and losses."),
            Column("low", "%", 0, "95 % interval of the share, Wilson."),
            Column("high", "%", digits=0),
            Column("p", digits=4),
            Column("listeners", digits=0),
        ],
        rows=[_pair_row(each) for each in pairs],
    )
    names = list(dict.fromkeys(name for each in pairs for name in (each.first, each.second)))
    return [table, *([_entrant_table(pairs, names, comparison)] if len(names) > 2 else [])]


def _pair_row(pair: PairResult) -> list[Cell]:
    low, high = pair.interval or (None, None)
    shares = [None if share is None else 100 * share for share in (pair.share, low, high)]
    counts = [pair.wins, pair.losses, pair.ties]
    return [pair.first, pair.second, *counts, *shares, pair.p, pair.listeners]


def _entrant_table(
    pairs: Sequence[PairResult], names: Sequence[str], comparison: Comparison
) -> Table:
    rows: list[list[Cell]] = []
    shares = []
    for name in names:
        own = [each for each in pairs if name in (each.first, each.second)]
        wins = sum(each.wins if each.first == name else each.losses for each in own)
        ties, decided = sum(each.ties for each in own), sum(each.decided for each in own)
        shares.append(100 * (wins + ties / 2) / (decided + ties))
        rows.append([name, wins, decided - wins, ties, shares[-1]])
    return Table(
        name="preferences-entrants",
        caption=caption("How often each entrant is preferred; a tie counts as half.", comparison),
        columns=[
            Column("system"),
            Column("wins", digits=0),
            Column("losses", digits=0),
            Column("ties", digits=0),
            Column("preferred", "%", digits=0),
        ],
        rows=rows,
        best={4: [index for index, share in enumerate(shares) if share == max(shares)]},
    )
