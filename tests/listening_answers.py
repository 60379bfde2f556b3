"""A listening test of three entrants, answers to it, and the scores beside them."""

from __future__ import annotations

from pathlib import Path

from partita.comparison.results import Comparison, Entrant, EntrantResult
from partita.evaluation.scores import TargetScores, TrackScores
from partita.evaluation.scoring import ScoreOptions
from partita.reports.listening import Item, ListeningKey, Pair, Trial

NAMES = ("alpha", "beta", "gamma")
ITEMS = (
    *(Item(f"e{number}", "entrant", name) for number, name in enumerate(NAMES)),
    Item("low", "low anchor"),
    Item("mix", "interference anchor"),
    Item("ref", "reference"),
)
KEY = ListeningKey(
    page="0123456789abcdef",
    seed=0,
    trials=tuple(
        Trial(f"t{n}", "song", stem, 2.0, 3.0, f"known{n}", ITEMS)
        for n, stem in enumerate(["vocals", "bass"])
    ),
    pairs=tuple(
        Pair(f"p{first}{second}", "song", "vocals", "known0", (ITEMS[first], ITEMS[second]))
        for first, second in [(0, 1), (0, 2), (1, 2)]
    ),
)
PLAIN = {"e0": 80, "e1": 60, "e2": 40, "low": 30, "mix": 20, "ref": 100}


def mushra(listener="Anna", first=PLAIN, second=PLAIN, **changes):
    trials = [
        {"trial": name, "order": list(PLAIN), "ratings": dict(ratings), "seconds": 12.5}
        for name, ratings in (("t0", first), ("t1", second))
    ]
    return {
        "format": "partita-listening-answers",
        "version": 1,
        "form": "mushra",
        "page": KEY.page,
        "seed": 0,
        "listener": listener,
        "started": "2026-01-01T10:00:00.000Z",
        "saved": "2026-01-01T11:00:00.000Z",
        "trials": trials,
        **changes,
    }


def preference(listener, *choices):
    trials = [
        {"trial": name, "order": [], "choice": choice, "seconds": 2.0} for name, choice in choices
    ]
    return mushra(listener, form="preference", trials=trials)


def comparison(sdrs=(9.0, 6.0, 1.0)):
    """Windows of 1 s; the excerpt, 2 to 5 s, has the given SDR, the rest 20 dB less."""
    results = []
    for name, sdr in zip(NAMES, sdrs, strict=True):
        frames = [
            {"SDR": sdr - 20 * (second not in (2, 3, 4)), "SIR": 0, "ISR": 0, "SAR": 0}
            for second in range(10)
        ]
        targets = {stem: TargetScores(stem, frames) for stem in ("vocals", "bass")}
        scores = {"song": TrackScores("song", targets)}
        results.append(EntrantResult(Entrant(name), scores=scores))
    return Comparison(Path("data"), [], results, ScoreOptions())
