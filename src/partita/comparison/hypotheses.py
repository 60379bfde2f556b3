"""The paper's three hypotheses (its section 3.4) as measured statements.

Any instruments: a model separates whatever stems it learns from. Sums: it separates a sum of
stems if it learns that. Additivity: its estimates add up to the mixture.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from partita.comparison.paper.agreement import figures_of
from partita.comparison.paper.budgets import Budget
from partita.comparison.paper.data import PaperData
from partita.comparison.paper.entrants import FLOOR, TODAY, training_plan, write_model
from partita.comparison.paper.tables import Stems, regrouped, write_table
from partita.comparison.paper.words import convention, seeds, why_missing
from partita.comparison.results import Comparison, Entrant, EntrantResult
from partita.comparison.synthetic_songs import SyntheticSongs, make_songs
from partita.comparison.verdicts import (
    AS_IS,
    BARE,
    EXACT,
    FILTERED,
    KINDS,
    additive_verdict,
    beats_floors,
    sum_verdict,
)
from partita.datasets import Dataset, open_dataset
from partita.errors import PartitaError, one_line
from partita.evaluation.oracles import ORACLES
from partita.evaluation.scores import mean
from partita.models import create_model
from partita.models._magnitudes import MagnitudeModel
from partita.reports.content import Block, Cell, Column, Section, Table, Text, finite_cell
from partita.training.recipes import load_recipe
from partita.training.run import Start
from partita.weights.store import load_model

_RECIPE = "umx-tiny"
_TRAINED, _SINGLES, _SUM = "trained", "sum of single estimates", "trained on the sum"
_HPSS = "hpss"
_INSTRUMENTS = ("flute", "guitar")
#: Stems of data sets that the paper's four do not have, the first one that is there is taken.
_UNUSUAL = ("guitar", "piano", "keys", "strings", "flute", "synth", "percussion")
_USUAL_SUM = ("drums", "bass")
_PERCUSSIVE = ("drums", "percussion", "guitar", "rest")


#: Estimates that add up as well as this need no filter for it.
_ADDS_UP_DB = -60.0


class Compare(Protocol):
    """Compares entrants on a data set, as `partita.comparison.run.compare` with all else set."""

    def __call__(
        self, dataset: Dataset, entrants: Sequence[Entrant], *, targets: tuple[str, ...] = ()
    ) -> Comparison:
        """Return what was found; of `targets` scored together, by default the estimates."""


@dataclass(frozen=True)
class Hypotheses:
    """The tests of the hypotheses.

    Attributes
    ----------
    data : PaperData
    budget : Budget
    folder : Path
        For tables, songs and models of the tests.
    compare : Compare
    """

    data: PaperData
    budget: Budget
    folder: Path
    compare: Compare

    def sections(self, main: Comparison) -> list[Section]:
        """Return a section for each hypothesis.

        Parameters
        ----------
        main : Comparison
            Whose systems are tested for additivity.
        """
        instruments = [*self._synthetic(), *self._regrouped()]
        return [
            Section("Hypothesis 1: a model works for any instruments", instruments),
            Section("Hypothesis 2: a model works for sums of sources", self._sums()),
            Section("Hypothesis 3: estimates add up to the mixture", self._additivity(main)),
        ]

    def _small(self, name: str, sources: Sequence[str]) -> Entrant:
        return Entrant(name, training=training_plan(_RECIPE, sources, self.budget.small))

    # ------------------------------------------------------------------ any instruments

    def _synthetic(self) -> list[Block]:
        """Test the first hypothesis on synthesised songs."""
        budget = self.budget
        if not budget.synthetic_songs:
            return []
        wanted = SyntheticSongs(_INSTRUMENTS, budget.synthetic_songs, budget.synthetic_s)
        try:
            plan = training_plan(_RECIPE, _INSTRUMENTS, budget.small)
            recipe, model = Start(load_recipe(_RECIPE), plan.settings).resolve()
            data = make_songs(wanted, recipe, model, self.folder / "synthesised")
            return self._instruments(
                open_dataset(data),
                _INSTRUMENTS,
                "synthesised",
                f"{wanted.songs} synthesised songs of {wanted.duration_s:g} s to learn from, "
                f"{wanted.scored} scored",
            )
        except PartitaError as error:
            names = " and ".join(_INSTRUMENTS)
            return [Text(f"Synthesised {names}: not measured: {one_line(error)}")]

    def _regrouped(self) -> list[Block]:
        """Test it on other stems of the data set."""
        stems = other_stems(self.data.sources)
        if stems is None or not self.data.can_train:
            return [
                Text(
                    "Other stems of the data set: not measured, there are fewer than three stems, "
                    "or nothing to learn from."
                )
            ]
        words = "; ".join(f"{name} is {' + '.join(members)}" for name, members in stems.items())
        return self._instruments(
            self._table("other-stems", stems), tuple(stems), "real", f"{self.data.words}; {words}"
        )

    def _table(self, name: str, stems: Stems) -> Dataset:
        path = self.folder / f"{name}.csv"
        write_table(path, regrouped(self.data.tracks, stems))
        return open_dataset(path)

    def _instruments(
        self, dataset: Dataset, sources: tuple[str, ...], kind: str, words: str
    ) -> list[Block]:
        """Compare a small network with the floors."""
        floor = Entrant(_HPSS, str(self._hpss(sources, kind)))
        entrants = [Entrant(FLOOR, FLOOR), floor, self._small(_TRAINED, sources)]
        found = self.compare(dataset, entrants)
        rows: list[list[Cell]] = []
        values: dict[str, dict[str, float]] = {}
        for result in found.results:
            figures = figures_of(result)
            values[result.entrant.name] = {s: figures[s][0] for s in sources if s in figures}
            sdr = [values[result.entrant.name].get(source, math.nan) for source in sources]
            rows.append([result.entrant.name, *map(finite_cell, (*sdr, mean(sdr)))])
        caption = (
            f"Any instruments, {kind}: SDR of {_RECIPE}, trained for {' and '.join(sources)}, and "
            f"of floors. {words}; budget {self.budget.name}; {seeds(found)}; {convention(found)}."
        )
        columns = [
            Column("system", digits=None),
            *(Column(source, "dB") for source in sources),
            Column("mean", "dB"),
        ]
        notes = [
            f"{_HPSS}: percussive part as {_percussive(sources)}, harmonic part as the other.",
            *filter(None, map(why_missing, found.results)),
        ]
        table = Table(f"any-instruments-{kind}", caption, columns, rows, notes=notes)
        return [
            table,
            Text(
                beats_floors(values, sources, kind, trained=_TRAINED, floors=(FLOOR, _HPSS)),
                verdict=True,
            ),
        ]

    def _hpss(self, sources: Sequence[str], kind: str) -> Path:
        """Write HPSS whose parts have the names of two sources."""
        percussive = _percussive(sources)
        harmonic = next(source for source in sources if source != percussive)
        config = {"sources": [harmonic, percussive, "residual"], "margin": 1.0}
        return write_model(create_model("hpss", config), self.folder / f"hpss-{kind}.safetensors")

    # ------------------------------------------------------------------ sums

    def _sums(self) -> list[Block]:
        """Compare a network that learned a sum with the sum of single estimates."""
        parts = summed_stems(self.data)
        if parts is None:
            return [
                Text(
                    "Not measured: it takes three stems, two of which a scored track has, and "
                    "tracks to learn from."
                )
            ]
        name, others = "_".join(parts), [s for s in self.data.sources if s not in parts]
        stems = {**{source: (source,) for source in others}, name: parts}
        single = self.compare(
            open_dataset(self.data.table),
            [self._small(_SINGLES, self.data.sources)],
            targets=(*others, "+".join(parts)),
        )
        joint = self.compare(
            self._table("sums", stems), [Entrant(FLOOR, FLOOR), self._small(_SUM, tuple(stems))]
        )
        has_both = {t.name for t in self.data.scored if set(parts) <= set(t.stems)}
        of_sum = {result.entrant.name: (result, name) for result in joint.results}
        of_sum[_SINGLES] = single.results[0], "+".join(parts)
        rows: list[list[Cell]] = []
        for system, (result, target) in of_sum.items():
            figures = _figures_on(result, target, has_both)
            rows.append([system, *map(finite_cell, figures)])
        trained, summed = of_sum[_SUM], of_sum[_SINGLES]
        differences = _window_differences(trained, summed, has_both)
        caption = (
            f"Sums: {' + '.join(parts)} of {_RECIPE} that learned the sum, and the sum of the "
            f"estimates of one that learned each stem, on {', '.join(sorted(has_both))}. "
            f"{self.data.words}; budget {self.budget.name}; {seeds(joint)}; {convention(joint)}."
        )
        columns = [Column("system", digits=None), *(Column(f, "dB") for f in ("SDR", "SIR", "SAR"))]
        notes = [*filter(None, map(why_missing, (*joint.results, *single.results)))]
        table = Table("sums", caption, columns, rows, notes=notes)
        floor = _figures_on(of_sum[FLOOR][0], name, has_both)[0]
        own = _figures_on(trained[0], name, has_both)[0]
        return [table, Text(sum_verdict(own, floor, differences, parts), verdict=True)]

    # ------------------------------------------------------------------ additivity

    def _additivity(self, main: Comparison) -> list[Block]:
        """Measure null depths, with and without a filter."""
        systems = [
            result
            for result in main.results
            if result.entrant.model not in ORACLES and result.null_depth_db
        ]
        variants: dict[str, dict[str, Entrant]] = {}
        for result in systems:
            if result.entrant.name not in TODAY and _has_weights(result):
                variants[result.entrant.name] = self._variants(result)
        entrants = [entrant for each in variants.values() for entrant in each.values()]
        more = self.compare(open_dataset(self.data.table), entrants) if entrants else None
        found = {result.entrant.name: result for result in more.results} if more else {}
        rows: list[list[Cell]] = []
        depths: dict[str, dict[str, float]] = {}
        for result in systems:
            name = result.entrant.name
            of_kinds = {AS_IS: result} | {
                kind: found[entrant.name] for kind, entrant in variants.get(name, {}).items()
            }
            depths[name] = {kind: _depth(each) for kind, each in of_kinds.items()}
            shown = [depths[name].get(kind, math.nan) for kind in KINDS]
            sdrs = [_mean_sdr(of_kinds[k]) if k in of_kinds else math.nan for k in KINDS]
            rows.append([name, *map(finite_cell, (*shown, *sdrs))])
        caption = (
            "Additivity: null depth, the level of the mixture minus the sum of all estimates "
            "relative to the mixture, median over tracks, and mean SDR over sources. "
            f"{self.data.words}; budget {self.budget.name}; {seeds(main)}; {convention(main)}."
        )
        columns = [
            Column("system", digits=None),
            *(Column(f"null depth, {kind}", "dB", 1) for kind in KINDS),
            *(Column(f"SDR, {kind}", "dB") for kind in KINDS),
        ]
        notes = [
            "Filter: the multichannel Wiener filter that Open-Unmix has of its own; for others "
            "wiener=1. sum_to_mix=True shares out what is left.",
            *filter(None, map(why_missing, found.values())),
        ]
        table = Table("additivity", caption, columns, rows, notes=notes)
        return [table, Text(additive_verdict(depths), verdict=True)]

    def _variants(self, result: EntrantResult) -> dict[str, Entrant]:
        """Return the same system without and with a filter, and with exact sums."""
        name, model = result.entrant.name, _model_of(result)
        adds_up = _depth(result) < _ADDS_UP_DB
        kinds = {
            FILTERED: Entrant(f"{name}, filter", model, settings={"wiener": 1}),
            EXACT: Entrant(f"{name}, exact sums", model, settings={"sum_to_mix": True}),
        }
        try:
            loaded = load_model(model)
        except PartitaError:
            return {} if adds_up else kinds
        if isinstance(loaded, MagnitudeModel) and loaded.config.wiener_iterations:
            plain = dataclasses.replace(loaded.config, wiener_iterations=0)
            bare = create_model(loaded.registry_name, plain.to_dict())
            bare.load_state_dict(loaded.state_dict())
            path = write_model(bare, self.folder / f"{name}-unfiltered.safetensors")
            return {BARE: Entrant(f"{name}, no filter", str(path)), EXACT: kinds[EXACT]}
        return {} if adds_up else kinds


def other_stems(sources: Sequence[str]) -> Stems | None:
    """Return two stems that are other than the usual: one instrument and the rest, or two sums.

    Returns
    -------
    mapping or None
        Stem → stems of the data set that it is the sum of; None with fewer than three stems.
    """
    if len(sources) < 3:
        return None
    for instrument in _UNUSUAL:
        if instrument in sources:
            rest = tuple(source for source in sources if source != instrument)
            return {instrument: (instrument,), "rest": rest}
    backing = tuple(source for source in sources if source in ("bass", "other")) or sources[-1:]
    return {
        "instruments": tuple(backing),
        "rest": tuple(source for source in sources if source not in backing),
    }


def summed_stems(data: PaperData) -> tuple[str, str] | None:
    """Return the two stems that a model learns the sum of: drums and bass where there are both.

    None where there are fewer than three stems, nothing to learn from, or no scored track has two.
    """
    if len(data.sources) < 3 or not data.can_train:
        return None
    usual = [source for source in _USUAL_SUM if source in data.sources]
    order = [*usual, *(source for source in reversed(data.sources) if source not in usual)]
    for first in order:
        for second in order[order.index(first) + 1 :]:
            if any({first, second} <= set(track.stems) for track in data.scored):
                return first, second
    return None


def _percussive(sources: Sequence[str]) -> str:
    """Return the one of two sources that HPSS's percussive part stands for."""
    return next((source for source in _PERCUSSIVE if source in sources), sources[-1])


def _figures_on(result: EntrantResult, target: str, tracks: set[str]) -> tuple[float, float, float]:
    return figures_of(result, tracks).get(target, (math.nan, math.nan, math.nan))


def _window_differences(
    first: tuple[EntrantResult, str], second: tuple[EntrantResult, str], tracks: set[str]
) -> list[float]:
    """Return the differences in SDR of each window that both have, first minus second."""
    found: list[float] = []
    for track in sorted(tracks):
        frames = [
            result.scores[track].targets[target].frames
            for result, target in (first, second)
            if track in result.scores and target in result.scores[track].targets
        ]
        if len(frames) == 2:
            pairs = zip(*frames, strict=False)
            found += [a["SDR"] - b["SDR"] for a, b in pairs if math.isfinite(a["SDR"] - b["SDR"])]
    return found


def _has_weights(result: EntrantResult) -> bool:
    return result.run is not None or bool(result.costs.parameters)


def _model_of(result: EntrantResult) -> str:
    return str(result.run) if result.run is not None else result.entrant.model


def _depth(result: EntrantResult) -> float:
    depth = result.median_null_depth_db
    return math.nan if depth is None else depth


def _mean_sdr(result: EntrantResult) -> float:
    return mean([figures[0] for figures in figures_of(result).values()])
