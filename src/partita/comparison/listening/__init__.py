"""What listeners of blind tests answered, and what it says about the entrants."""

from partita.comparison.listening.answers import Answers, Collected, collect_answers, read_answers
from partita.comparison.listening.preferences import PairResult, compare_pairs
from partita.comparison.listening.ratings import (
    Heard,
    Rating,
    Screened,
    post_screen,
    rate_systems,
    ratings_of,
)
from partita.comparison.listening.raw import write_answers
from partita.comparison.listening.sections import listening_sections

__all__ = [
    "Answers",
    "Collected",
    "Heard",
    "PairResult",
    "Rating",
    "Screened",
    "collect_answers",
    "compare_pairs",
    "listening_sections",
    "post_screen",
    "rate_systems",
    "ratings_of",
    "read_answers",
    "write_answers",
]
