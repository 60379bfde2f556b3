"""The paper's experiment as a whole, which a comparison has as a preset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from partita.comparison.hypotheses import Compare, Hypotheses
from partita.comparison.paper.budgets import Budget
from partita.comparison.paper.data import PaperData, prepare_data
from partita.comparison.paper.entrants import paper_entrants
from partita.comparison.paper.sections import paper_sections
from partita.comparison.results import Comparison
from partita.datasets import open_dataset
from partita.reports.content import Section

_FOLDER = "paper"


@dataclass(frozen=True)
class PaperExperiment:
    """What became of the experiment.

    Attributes
    ----------
    data : PaperData
    comparison : Comparison
        Of `paper_entrants`.
    sections : sequence of Section
        The paper's tables and figures, then its hypotheses.
    """

    data: PaperData
    comparison: Comparison
    sections: Sequence[Section]


def run_paper(data: Path, budget: Budget, out: Path, compare: Compare) -> PaperExperiment:
    """Do the paper's experiment on a data set.

    Parameters
    ----------
    data : Path
        A data set of any layout.
    budget : Budget
    out : Path
        The folder ``paper`` in it gets tables of what is used of the data set, synthesised songs,
        models without filter and pictures.
    compare : Compare
        Is called once for the paper's systems and some times for the hypotheses. What its cache
        has is not computed again, so an experiment that was interrupted goes on.

    Raises
    ------
    UsageError
        No data set of songs.
    AudioReadError, AudioWriteError
    """
    folder = out / _FOLDER
    prepared = prepare_data(data, budget, folder)
    entrants = paper_entrants(prepared, budget, folder)
    comparison = replace(compare(open_dataset(prepared.table), entrants), data=data)
    hypotheses = Hypotheses(prepared, budget, folder, compare)
    sections = [
        *paper_sections(comparison, prepared, budget, folder / "pictures"),
        *hypotheses.sections(comparison),
    ]
    return PaperExperiment(prepared, comparison, sections)
