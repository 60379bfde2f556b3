"""The paper's tables and figures with ours beside them, in the paper's order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from partita.comparison.paper import entrants as names
from partita.comparison.paper import words
from partita.comparison.paper.agreement import (
    figures_of,
    means_of,
    of_change,
    of_losses,
    of_sources,
    overall,
    same_order,
)
from partita.comparison.paper.budgets import Budget
from partita.comparison.paper.data import PaperData
from partita.comparison.paper.numbers import (
    DETAILS,
    FIGURES,
    OVERALL,
    SOURCES,
    TABLES,
    Figures,
    slips,
)
from partita.comparison.paper.pictures import picture
from partita.comparison.results import Comparison, EntrantResult
from partita.reports.content import (
    Block,
    Cell,
    Column,
    LineChart,
    Section,
    Table,
    Text,
    finite_cell,
)

_NOTHING: Figures = (math.nan, math.nan, math.nan)
#: Of the paper's training curves: the source with the highest loss.
_HIGHEST_LOSS = "vocals"
_TABLE_OF_ALL = 6


class PaperSections:
    """The sections of the paper's experiment.

    Parameters
    ----------
    comparison : Comparison
        Of `paper_entrants`.
    data : PaperData
    budget : Budget
    folder : Path
        For pictures.
    """

    def __init__(
        self, comparison: Comparison, data: PaperData, budget: Budget, folder: Path
    ) -> None:
        self._comparison, self._data, self._budget = comparison, data, budget
        self._folder = folder
        self._results = {result.entrant.name: result for result in comparison.results}
        self._track = next(track for track in comparison.tracks if track.name == data.track)
        self._excerpts = data.excerpts

    def all(self) -> list[Section]:
        """Return the sections in the order of the paper."""
        return [
            Section("What was done", self._setting()),
            Section("Figures 2 to 5: spectrograms", self._spectrograms()),
            Section("Table 6: all models", self._all_models()),
            Section("Table 7: NMF", self._sources(7, names.NMF)),
            Section(
                "Figure 8 and table 8: Open-Unmix, pre-trained",
                [
                    Text(
                        "Figure 8 shows the losses of the training that published the weights; "
                        "they are not published with them, so there is no curve here."
                    ),
                    *self._sources(8, names.PRETRAINED),
                ],
            ),
            Section(
                "Figure 9 and table 10: Open-Unmix, trained here",
                [*self._losses("figure-9", names.REALTIME), *self._sources(10, names.REALTIME)],
            ),
            Section(
                "Figure 10 and table 11: Open-Unmix with cross-talk",
                [
                    *self._losses("figure-10", names.CROSSTALK),
                    *self._sources(11, names.CROSSTALK),
                    *self._cross_talk(),
                ],
            ),
            Section("Table 12: Demucs, pre-trained", self._demucs()),
            Section("Figure 11: Demucs light, and a decoder for each source", self._light()),
        ]

    def _setting(self) -> list[Block]:
        lines = [
            f"The experiment of Goel, Huang, Owoputi & Poudyal on {self._data.words}. "
            f"Budget {self._budget.name}; {words.seeds(self._comparison)}; "
            f"{words.convention(self._comparison)}.",
            words.which_track(self._data),
            words.which_sources(self._data),
        ]
        lines += [
            f"{result.entrant.name}: {words.scaled(result.entrant.training)}."
            for result in self._comparison.results
            if result.entrant.training is not None
        ]
        if not self._data.can_train:
            lines.append("No tracks are left to learn from beside those that are scored.")
        lines.append(
            "Pairs that are compared have the same budget of steps, excerpts and batches: "
            f"{names.REALTIME} and {names.CROSSTALK}, {names.LIGHT} and {names.DECODERS}."
        )
        return [Text(line) for line in lines if line]

    def _spectrograms(self) -> list[Block]:
        blocks: list[Block] = [
            picture(
                "figures-2-3",
                f"Figures 2 and 3: spectrograms of {self._track.name} and of its sources",
                self._track,
                None,
                self._folder,
            )
        ]
        result = self._results.get(names.NMF)
        stems = result.stems.get(self._track.name) if result is not None else None
        if stems:
            caption = (
                f"Figures 4 and 5: spectrograms of {self._track.name} and of the four estimates of "
                f"{names.NMF}, before and after separation"
            )
            blocks.append(picture("figures-4-5", caption, self._track, stems, self._folder))
        else:
            blocks.append(Text(f"Figures 4 and 5: there are no estimates of {names.NMF}."))
        return blocks

    def _all_models(self) -> list[Block]:
        paper, track = TABLES[_TABLE_OF_ALL], self._data.track
        rows: list[list[Cell]] = []
        ours: dict[str, float] = {}
        for name, result in self._results.items():
            label = words.paper_name(name)
            here = overall(figures_of(result, self._excerpts))
            everywhere = overall(figures_of(result))
            theirs = paper.rows.get(label, _NOTHING)
            if label in paper.rows:
                ours[label] = here[0]
            rows.append(
                [name, label if label in paper.rows else "", *map(finite_cell, (*theirs, *here))]
            )
            rows[-1] += [finite_cell(everywhere[0]), len(result.scores)]
        columns = [
            Column("entrant", digits=None),
            Column("in the paper", digits=None, meaning="what table 6 of the paper calls it"),
            *_columns("paper"),
            *_columns("ours"),
            Column("SDR, all tracks", "dB", meaning="the same over all scored tracks"),
            Column("tracks", digits=None),
        ]
        caption = words.caption(
            f"Table 6: all models, means over the sources, on {track}", self._data,
            self._comparison, self._budget,
        )  # fmt: skip
        notes = [
            *slips(paper),
            *filter(None, (words.why_missing(result) for result in self._results.values())),
            "The paper's rows are of one track, but for Demucs, whose figures are those of "
            "the whole test set.",
            f"{names.NMF} is blind: which of its components is called what is arbitrary; the paper "
            "scored mono references, here the mono estimates are in both channels.",
        ]
        # As the tables of sources have it: table 6 lost the minus of NMF.
        theirs_by_name = {name: TABLES[number].rows[OVERALL][0] for name, number in DETAILS.items()}
        table = Table("table-6", caption, columns, rows, _best(rows, range(5, 9)), notes)
        verdict = same_order(theirs_by_name, ours, noun="models")
        return [table, Text(verdict, verdict=True)]

    def _sources(self, number: int, name: str, stands_for: str = "") -> list[Block]:
        """Return a table of sources of one entrant, and what agrees."""
        paper, result = TABLES[number], self._results.get(name)
        if result is None:
            return [Text(f"Table {number}: {name} is not among the entrants.")]
        one = number != 12  # the paper's figures of Demucs are of the test set
        ours = figures_of(result, self._excerpts if one else None)
        where = self._data.track if one else "all tracks"
        rows: list[list[Cell]] = []
        for source in dict.fromkeys((*SOURCES, *self._data.sources)):
            theirs = paper.rows.get(source, _NOTHING)
            rows.append([source, *map(finite_cell, (*theirs, *ours.get(source, _NOTHING)))])
        rows.append([OVERALL, *map(finite_cell, (*paper.rows[OVERALL], *overall(ours)))])
        caption = words.caption(
            f"Table {number}: {paper.about}; ours is {name} on {where}", self._data,
            self._comparison, self._budget,
        )  # fmt: skip
        notes = [*slips(paper), words.why_missing(result), stands_for]
        if one and ours:
            sdr, sir, sar = overall(means_of(result, self._excerpts))
            figures = f"SDR {sdr:.2f}, SIR {sir:.2f}, SAR {sar:.2f} dB".replace("-", "−")
            notes.append(f"With means over windows instead of medians, overall is {figures}.")
        columns = [Column("source", digits=None), *_columns("paper"), *_columns("ours")]
        table = Table(f"table-{number}", caption, columns, rows, notes=[n for n in notes if n])
        return [table, Text(of_sources(paper, ours), verdict=True)]

    def _cross_talk(self) -> list[Block]:
        before, after = (self._results.get(name) for name in (names.REALTIME, names.CROSSTALK))
        if before is None or after is None or not (before.scores and after.scores):
            return []
        text = of_change(
            TABLES[10].rows[OVERALL],
            TABLES[11].rows[OVERALL],
            overall(figures_of(before, self._excerpts)),
            overall(figures_of(after, self._excerpts)),
            f"On {self._data.track}, cross-talk",
        )
        return [Text(text, verdict=True)]

    def _demucs(self) -> list[Block]:
        own = self._results.get(names.DEMUCS)
        later = self._results.get("htdemucs")
        if (own is None or not own.scores) and later is not None and later.scores:
            why = words.why_missing(own) if own is not None else ""
            note = (
                f"htdemucs, Hybrid Transformer Demucs, stands for the paper's Demucs. {why}".strip()
            )
            return self._sources(12, "htdemucs", note)
        return self._sources(12, names.DEMUCS)

    def _light(self) -> list[Block]:
        blocks = [
            *self._losses("figure-11", names.LIGHT),
            *self._losses("figure-11-decoders", names.DECODERS),
        ]
        both = [self._results.get(name) for name in (names.LIGHT, names.DECODERS)]
        figures = [overall(figures_of(each)) for each in both if each is not None and each.scores]
        if len(figures) == 2:
            sdr, sir, sar = (new - old for old, new in zip(*figures, strict=True))
            text = (
                "The paper has no scores of these two. Here, a decoder for each source changes SDR "
                f"by {sdr:+.2f}, SIR by {sir:+.2f} and SAR by {sar:+.2f} dB, means over sources of "
                "all tracks."
            )
            blocks.append(Text(text.replace("-", "−"), verdict=True))
        return blocks

    def _losses(self, figure: str, name: str) -> list[Block]:
        """Return the curves of a training, and which source is the hardest."""
        result = self._results.get(name)
        if result is None or not result.losses:
            why = words.why_missing(result) if result is not None else ""
            return [Text(f"{_title(figure)}: no losses of {name}. {why}".strip())]
        caption = words.caption(
            f"{_title(figure)}: losses of {name}", self._data, self._comparison, self._budget
        )
        chart = LineChart(
            figure, caption, "epoch", "loss", _curves(result), log_y=_falls_far(result)
        )
        return [chart, Text(of_losses(result.losses, _HIGHEST_LOSS), verdict=True)]


def paper_sections(
    comparison: Comparison, data: PaperData, budget: Budget, folder: Path
) -> list[Section]:
    """Return the paper's tables and figures with ours beside them; see `PaperSections`."""
    return PaperSections(comparison, data, budget, folder).all()


def _columns(whose: str) -> list[Column]:
    return [Column(f"{figure}, {whose}", "dB") for figure in FIGURES]


def _best(rows: Sequence[Sequence[Cell]], columns: range) -> Mapping[int, Sequence[int]]:
    """Mark the best of each column, without floor and ceilings: the mixture has no artifacts."""
    found: dict[int, Sequence[int]] = {}
    others = (names.FLOOR, *names.CEILINGS)
    for column in columns:
        values = {
            index: value
            for index, row in enumerate(rows)
            if isinstance(value := row[column], float) and row[0] not in others
        }
        if values:
            top = max(values.values())
            found[column] = [index for index, value in values.items() if value == top]
    return found


def _title(figure: str) -> str:
    number, _, rest = figure.removeprefix("figure-").partition("-")
    return f"Figure {number}" + (f", {rest}" if rest else "")


def _curves(result: EntrantResult) -> Mapping[str, Sequence[tuple[float, float]]]:
    keys = [key for key in result.losses[0] if key.startswith("train_")]
    labels = {key: key.removeprefix("train_") for key in keys}
    labels |= {"train": "mean", "valid": "mean, validation"}
    return {
        label: [(row["epoch"], row[key]) for row in result.losses]
        for key, label in labels.items()
        if key in result.losses[0]
    }


def _falls_far(result: EntrantResult) -> bool:
    values = [row["train"] for row in result.losses]
    return min(values) > 0 and max(values) > 5 * min(values)
