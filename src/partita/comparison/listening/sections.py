"""What listeners found, as sections of a report that stand beside the scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

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
from partita.reports.content import Block, BoxPlot, Cell, Column, Section, Table, Text

_NAMES = {
    "reference": "hidden reference",
    "low anchor": "low anchor (3.5 kHz)",
    "interference anchor": "interference anchor",
}
_KINDS = ("entrant", *_NAMES)
_ENOUGH = 20  # listeners, says BS.1534-3
_NO_SDR = Sdr(math.nan, math.nan)
_METHOD = "blind listening test after MUSHRA (ITU-R BS.1534-3)"
_OVER = "95 % t intervals over listeners, each of whom counts once"


def listening_sections(
    comparison: Comparison, collected: Collected, *, seed: int = 0
) -> list[Section]:
    """Return what listeners of blind tests found.

    Parameters
    ----------
    comparison : Comparison
        Its scores stand beside the ratings; its entrants come in their order.
    collected : Collected
    seed : int
        Of the bootstrap.
    """
    order = [result.entrant.name for result in comparison.results]
    ratings, pairs = ratings_of(collected.answers), compare_pairs(collected.answers, order)
    sections = []
    if ratings:
        sections.append(_ratings_section(ratings, comparison, order, seed))
    if pairs:
        sections.append(_pairs_section(pairs))
    remarks = [Text(line) for line in (*collected.problems, *collected.notes)]
    if remarks:
        sections.append(Section("Files of answers", remarks))
    return sections


def _ratings_section(
    ratings: Sequence[Rating], comparison: Comparison, order: Sequence[str], seed: int
) -> Section:
    screened = post_screen(ratings)
    kept = {each.listener for each in screened if each.kept}
    counted = [rating for rating in ratings if rating.listener in kept]
    blocks: list[Block] = []
    if counted:
        heard = _in_order(rate_systems(counted, seed=seed), order)
        sdrs = mean_sdrs(comparison, counted)
        counts = _counts(counted, screened)
        version = comparison.options.version
        blocks += [
            Text(_verdict(heard), verdict=True),
            _summary_table(heard, sdrs, f"Ratings of a {_METHOD}: {counts}", version),
            _stem_table(counted, heard, counts),
            _box_plot(counted, heard, counts),
        ]
        found = correlations(comparison, counted)
        blocks += [_correlation_table(found, version)] if found else []
    else:
        blocks.append(Text("Post-screening leaves no listener: there is no result.", verdict=True))
    return Section("Blind listening", [*blocks, _listener_table(screened)])


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
    return f"{interval[0]:.1f} to {interval[1]:.1f}"


def _cell(value: float) -> Cell:
    return value if math.isfinite(value) else None


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
    heard: Sequence[Heard], sdrs: Mapping[str, Sdr], head: str, version: str
) -> Table:
    columns = [
        Column("System", digits=None),
        Column("Mean", digits=1, meaning="of the listeners' means: 0 bad, 100 excellent"),
        Column("Low", digits=1, meaning="95 % interval of the mean, Student's t"),
        Column("High", digits=1),
        Column("Low, bootstrap", digits=1, meaning="95 % interval of the mean, bootstrap"),
        Column("High, bootstrap", digits=1),
        Column("Median", digits=1, meaning="of all ratings"),
        Column("Q1", digits=1, meaning="first quartile of all ratings"),
        Column("Q3", digits=1, meaning="third quartile of all ratings"),
        Column(
            "SDR heard", "dB", meaning="median over the windows of the excerpt, mean of excerpts"
        ),
        Column(
            "SDR of songs", "dB", meaning="median over the windows of the song, mean of excerpts"
        ),
    ]
    rows: list[list[Cell]] = []
    for each in heard:
        first, middle, third = each.quartiles
        figures = (each.mean, *each.t_interval, *each.bootstrap, middle, first, third)
        sdr = sdrs.get(each.item.entrant, _NO_SDR)
        rows.append([_name(each), *map(_cell, (*figures, *sdr))])
    listeners = max(len(each.listeners) for each in heard)
    notes = []
    if listeners < 2:
        notes.append("One listener: no intervals.")
    elif listeners < _ENOUGH:
        notes.append(f"Fewer than the {_ENOUGH} listeners that BS.1534-3 holds for enough.")
    return Table(
        name="listening",
        caption=f"{head}. {_OVER}. SDR: BSS Eval {version}.",
        columns=columns,
        rows=rows,
        best={1: _best(heard)},
        notes=notes,
    )


def _best(heard: Sequence[Heard]) -> list[int]:
    means = [each.mean if each.item.kind == "entrant" else -math.inf for each in heard]
    return [index for index, mean in enumerate(means) if mean == max(means)]


def _stem_table(ratings: Sequence[Rating], heard: Sequence[Heard], counts: str) -> Table:
    stems = order_stems({rating.trial.stem for rating in ratings})
    columns = [Column("System", digits=None)]
    for stem in stems:
        columns += [Column(stem, digits=1), Column(f"{stem} ±", digits=1)]
    rows = []
    for system in heard:
        row: list[Cell] = [_name(system)]
        for stem in stems:
            means = list(listener_means(_of(ratings, system, stem)).values())
            low, high = t_interval(means)
            row += [sum(means) / len(means) if means else None, _cell((high - low) / 2)]
        rows.append(row)
    return Table(
        name="listening_stems",
        caption=f"Mean ratings stem by stem, ± half the interval: {counts}. {_OVER}.",
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


def _box_plot(ratings: Sequence[Rating], heard: Sequence[Heard], counts: str) -> BoxPlot:
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
        name="listening_ratings",
        caption=f"Ratings of a {_METHOD}: {counts}.",
        y_label="rating",
        groups=groups,
    )


def _correlation_table(found: Sequence[Correlation], version: str) -> Table:
    return Table(
        name="listening_correlation",
        caption=f"Correlation of mean ratings with SDR (BSS Eval {version}, medians over windows).",
        columns=[
            Column("Points", digits=None),
            Column("Number", digits=0),
            Column("Pearson"),
            Column("Low", meaning="95 % interval of Pearson's r, Fisher"),
            Column("High"),
            Column("Spearman"),
        ],
        rows=[
            [each.what, each.points, each.pearson, *map(_cell, each.interval), each.spearman]
            for each in found
        ],
        notes=["Excerpts of one entrant are not independent: their interval is too narrow."],
    )


def _listener_table(screened: Sequence[Screened]) -> Table:
    return Table(
        name="listeners",
        caption=(
            "Post-screening (BS.1534-3): who rates the hidden reference below 90 in more than 15 % "
            "of the trials is left out."
        ),
        columns=[
            Column("Listener", digits=None),
            Column("Trials", digits=0),
            Column("Hidden reference below 90", digits=0),
            Column("Counts", digits=None),
        ],
        rows=[
            [each.listener, each.trials, each.missed, "yes" if each.kept else "left out"]
            for each in screened
        ],
    )


def _pairs_section(pairs: Sequence[PairResult]) -> Section:
    table = Table(
        name="preferences",
        caption=(
            "Blind comparison of pairs, over songs, stems and listeners. Share: of the first among "
            "the comparisons with a preference, 95 % Wilson interval; p: two-sided sign test. "
            "Both take comparisons for independent; those of one listener are not quite."
        ),
        columns=[
            Column("First", digits=None),
            Column("Second", digits=None),
            Column("First better", digits=0),
            Column("Second better", digits=0),
            Column("No difference", digits=0),
            Column("Share of first", "%", digits=0),
            Column("Low", "%", digits=0),
            Column("High", "%", digits=0),
            Column("p", digits=4),
            Column("Listeners", digits=0),
        ],
        rows=[_pair_row(each) for each in pairs],
    )
    names = list(dict.fromkeys(name for each in pairs for name in (each.first, each.second)))
    more = [_entrant_table(pairs, names)] if len(names) > 2 else []
    return Section("Blind comparison of pairs", [table, *more])


def _pair_row(pair: PairResult) -> list[Cell]:
    low, high = pair.interval or (None, None)
    shares = [None if share is None else 100 * share for share in (pair.share, low, high)]
    counts = [pair.wins, pair.losses, pair.ties]
    return [pair.first, pair.second, *counts, *shares, pair.p, pair.listeners]


def _entrant_table(pairs: Sequence[PairResult], names: Sequence[str]) -> Table:
    rows: list[list[Cell]] = []
    shares = []
    for name in names:
        own = [each for each in pairs if name in (each.first, each.second)]
        wins = sum(each.wins if each.first == name else each.losses for each in own)
        ties, decided = sum(each.ties for each in own), sum(each.decided for each in own)
        shares.append(100 * (wins + ties / 2) / (decided + ties))
        rows.append([name, wins, decided - wins, ties, shares[-1]])
    return Table(
        name="preferences_of_entrants",
        caption="How often each entrant is preferred, no difference counted as half.",
        columns=[
            Column("Entrant", digits=None),
            Column("Better", digits=0),
            Column("Worse", digits=0),
            Column("No difference", digits=0),
            Column("Preferred", "%", digits=0),
        ],
        rows=rows,
        best={4: [index for index, share in enumerate(shares) if share == max(shares)]},
    )
