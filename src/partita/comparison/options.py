"""Options of a comparison."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from partita.errors import UsageError
from partita.evaluation.scoring import ScoreOptions


@dataclass(frozen=True)
class CompareOptions:
    """What is compared, and how.

    Attributes
    ----------
    score : ScoreOptions
    subset : str or None
        Of tracks that are scored; ``test`` by default where the data set has it, else all.
    tracks : tuple of str
        Score only the tracks of these names.
    seconds : float or None
        Score only so much of each track, from its middle.
    seed : int
        Of what is drawn: which tracks train where the data set does not say.
    device : str
    jobs : int or None
        Tracks that are scored at once; by default as many as there are cores, at most four.
    """

    score: ScoreOptions = dataclasses.field(default_factory=ScoreOptions)
    subset: str | None = None
    tracks: tuple[str, ...] = ()
    seconds: float | None = None
    seed: int = 0
    device: str = "auto"
    jobs: int | None = None

    def __post_init__(self) -> None:
        if self.seconds is not None and not self.seconds > 0:
            raise UsageError(f"`seconds` {self.seconds:g} is not a positive number")
