"""The tables of scores of *Music Source Separation Using Deep Learning*, and where they differ.

Goel, Huang, Owoputi & Poudyal, University of Pennsylvania: BSS Eval by museval, in dB. The paper
does not say how windows were averaged.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

#: Figures of the paper's tables, in the order of their columns.
FIGURES = ("SDR", "SIR", "SAR")
#: The row of a table that stands for all sources.
OVERALL = "overall"
#: The paper's four; its tables call the last one "others".
SOURCES = ("vocals", "drums", "bass", "other")
#: The track that tables 2, 7, 8, 10 and 11 are about.
TRACK = "Al James - Schoolboy Fascination"
#: Of tables: what was measured.
ONE_TRACK, TEST_SET, MIXED = "one track", "the test set", "one track or the test set"
_ROUNDING_DB = 0.03  # what figures of two or three digits may differ by

#: SDR, SIR and SAR in dB.
Figures = tuple[float, float, float]


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Attributes
    ----------
    number : int
    about : str
        What was scored.
    measured_on : str
        One of `ONE_TRACK`, `TEST_SET`, `MIXED`.
    rows : mapping of str to tuple of float
        Source, or model, → `FIGURES`; `OVERALL` is the last row.
    """

    number: int
    about: str
    measured_on: str
    rows: Mapping[str, Figures]


def _by_source(*figures: Figures) -> Mapping[str, Figures]:
    return MappingProxyType(dict(zip((*SOURCES, OVERALL), figures, strict=True)))


#: Model of table 6 → number of the table that has its sources.
DETAILS: Mapping[str, int] = MappingProxyType(
    {
        "NMF": 7,
        "Open-Unmix, pre-trained": 8,
        "Open-Unmix, trained": 10,
        "Open-Unmix with cross-talk": 11,
        "Demucs, pre-trained": 12,
    }
)
TABLES: Mapping[int, PaperTable] = MappingProxyType(
    {
        table.number: table
        for table in (
            PaperTable(
                6,
                "all models, mean over the four sources",
                MIXED,
                MappingProxyType(
                    dict(
                        zip(
                            DETAILS,
                            (
                                (1.99, 1.55, 4.00),
                                (4.991, 8.186, 6.482),
                                (0.77, 5.048, 2.089),
                                (1.018, 4.672, 2.782),
                                (5.6, 10.39, 6.08),
                            ),
                            strict=True,
                        )
                    )
                ),
            ),
            PaperTable(
                7,
                "NMF",
                ONE_TRACK,
                _by_source(
                    (-8.019, -5.498, 2.118),
                    (-1.745, 0.724, 4.545),
                    (-10.929, -9.012, 3.069),
                    (2.724, 12.885, 3.382),
                    (-1.992, 1.554, 4.006),
                ),
            ),
            PaperTable(
                8,
                "Open-Unmix, pre-trained",
                ONE_TRACK,
                _by_source(
                    (7.127, 12.742, 9.335),
                    (4.022, 3.751, 3.363),
                    (6.187, 12.988, 8.331),
                    (2.629, 3.264, 4.901),
                    (4.991, 8.186, 6.482),
                ),
            ),
            PaperTable(
                10,
                "Open-Unmix, trained by the authors",
                ONE_TRACK,
                _by_source(
                    (4.170, 6.341, 5.835),
                    (-1.122, 2.601, 0.358),
                    (2.164, 7.517, 3.385),
                    (-2.103, 3.733, -1.228),
                    (0.77, 5.048, 2.089),
                ),
            ),
            PaperTable(
                11,
                "Open-Unmix with cross-talk between the networks, trained by the authors",
                ONE_TRACK,
                _by_source(
                    (4.254, 6.929, 5.930),
                    (-1.557, 1.863, 0.530),
                    (2.490, 7.136, 4.069),
                    (-1.112, 2.760, 0.598),
                    (1.019, 4.672, 2.782),
                ),
            ),
            PaperTable(
                12,
                "Demucs, pre-trained",
                TEST_SET,
                _by_source(
                    (6.29, 13.31, 6.54),
                    (6.08, 11.81, 6.18),
                    (5.83, 10.55, 6.41),
                    (4.12, 5.90, 5.18),
                    (5.6, 10.39, 6.08),
                ),
            ),
        )
    }
)


def slips(table: PaperTable) -> list[str]:
    """Return a sentence for each figure of a table that contradicts the paper's others.

    The mean of the sources' figures against the row for all of them, and table 6 against the
    tables that have its sources.
    """
    found = []
    for column, figure in enumerate(FIGURES):
        if table.number in DETAILS.values():
            said = table.rows[OVERALL][column]
            mean = statistics.fmean(table.rows[source][column] for source in SOURCES)
            if abs(said - mean) > _ROUNDING_DB:
                found.append(
                    f"The paper's table {table.number} says an overall {figure} of "
                    f"{_text(said)} dB; the mean of its four rows is {_text(mean)}."
                )
        for model, number in DETAILS.items() if table.number not in DETAILS.values() else ():
            said, detailed = table.rows[model][column], TABLES[number].rows[OVERALL][column]
            if abs(said - detailed) > _ROUNDING_DB:
                found.append(
                    f"The paper's table {table.number} says an {figure} of {_text(said)} dB for "
                    f"{model}, its table {number} {_text(detailed)}."
                )
    return found


def _text(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")
