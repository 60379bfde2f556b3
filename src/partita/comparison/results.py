"""What a comparison found: entrants, their scores, stems and costs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from partita.datasets import Track
from partita.evaluation.scores import TrackScores, median
from partita.evaluation.scoring import ScoreOptions

_SEED = re.compile(r"(training\.)?seed=")


@dataclass(frozen=True)
class TrainingPlan:
    """How an entrant is trained before it separates.

    Attributes
    ----------
    recipe : str
        Name or file.
    settings : tuple of str
        ``key=value`` texts, such as ``training.seed=1``.
    subset : str or None
        Of the data set; tracks that are scored are never trained on.
    """

    recipe: str
    settings: tuple[str, ...] = ()
    subset: str | None = "train"

    @property
    def seed(self) -> str | None:
        """The seed that the settings name, the last one of several; None: they name none."""
        seeds = [text.partition("=")[2] for text in self.settings if _SEED.match(text)]
        return seeds[-1] if seeds else None


@dataclass(frozen=True)
class Entrant:
    """One system of a comparison.

    Attributes
    ----------
    name : str
        In tables and paths.
    model : str
        Weights, checkpoint, run folder, chain, ensemble or oracle; empty if it is trained.
    training : TrainingPlan or None
    settings : mapping
        Keyword arguments of `partita.Separator`, such as ``wiener``, ``shifts``, ``sum_to_mix``.
    """

    name: str
    model: str = ""
    training: TrainingPlan | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Costs:
    """What an entrant costs; None where it was not measured or is not known.

    Attributes
    ----------
    parameters : int or None
    licence : str or None
    commercial : bool or None
        Whether its licence clearly allows commercial use.
    times_realtime : float or None
        Seconds of audio per second, median over tracks, on the manifest's hardware.
    memory_mb : float or None
        Peak of the process.
    training_s : float or None
        Time that its training took.
    """

    parameters: int | None = None
    licence: str | None = None
    commercial: bool | None = None
    times_realtime: float | None = None
    memory_mb: float | None = None
    training_s: float | None = None


@dataclass(frozen=True, repr=False)
class EntrantResult:
    """What became of one entrant.

    Attributes
    ----------
    entrant : Entrant
    scores : mapping of str to TrackScores
        By track; tracks that failed are missing.
    stems : mapping of str to mapping of str to Path
        Track → stem → float file in the cache, in the track's sample rate and channels.
    failures : mapping of str to str
        Track → one line why; key ``""``: the whole entrant.
    null_depth_db : mapping of str to float
        Track → level of mixture minus sum of estimates, relative to the mixture.
    costs : Costs
    losses : sequence of mapping
        Rows of ``losses.csv`` of its training; empty if it was not trained.
    run : Path or None
        Folder of its training.
    """

    entrant: Entrant
    scores: Mapping[str, TrackScores] = field(default_factory=dict)
    stems: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    null_depth_db: Mapping[str, float] = field(default_factory=dict)
    costs: Costs = field(default_factory=Costs)
    losses: Sequence[Mapping[str, float]] = ()
    run: Path | None = None

    @property
    def median_null_depth_db(self) -> float | None:
        """Median over tracks of the null depth; None: of no track."""
        depths = list(self.null_depth_db.values())
        return median(depths) if depths else None

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failures" if self.failures else ""
        return f"EntrantResult({self.entrant.name!r}: {len(self.scores)} tracks{failed})"


@dataclass(frozen=True, repr=False)
class Comparison:
    """A finished comparison.

    Attributes
    ----------
    data : Path
        Root of the data set.
    tracks : sequence of Track
        That were scored.
    results : sequence of EntrantResult
        In the order in which the entrants were named.
    options : ScoreOptions
    subset : str or None
        Of the scored tracks; None: the data set has no subsets, or all of it is scored.
    seconds : float or None
        Scored of each track, from its middle; None: all.
    seed : int
        Of what is drawn: scored tracks, shifts, bootstraps.
    trained_on : sequence of str
        Tracks that entrants learned from; none of them is scored.
    is_drawn : bool
        Whether the scored tracks were drawn from a data set without subsets.
    """

    data: Path
    tracks: Sequence[Track]
    results: Sequence[EntrantResult]
    options: ScoreOptions
    subset: str | None = None
    seconds: float | None = None
    seed: int = 0
    trained_on: Sequence[str] = ()
    is_drawn: bool = False

    def __repr__(self) -> str:
        names = ", ".join(result.entrant.name for result in self.results)
        return f"Comparison({self.data.name!r}, {len(self.tracks)} tracks: {names})"

    def _repr_html_(self) -> str:
        """Return the summary and what failed, for notebooks."""
        from partita.comparison.tables import failures_table, summary_table
        from partita.reports.notebook import table_html

        shown = table_html(summary_table(self))
        failures = failures_table(self)
        if failures is not None:
            shown += table_html(replace(failures, caption="What failed, and why."))
        return shown

    @property
    def systems(self) -> dict[str, list[TrackScores]]:
        """Entrant → its scores, of entrants that have any: what `partita.evaluation` aggregates."""
        return {
            result.entrant.name: list(result.scores.values())
            for result in self.results
            if result.scores
        }
