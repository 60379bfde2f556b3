"""Many songs: find, plan, separate, say what became of each."""

from partita.catalogue.batch import BatchOptions, separate_songs
from partita.catalogue.plan import DEFAULT_TEMPLATE, OutputPlan, check_template
from partita.catalogue.songs import Outcome, Song, find_songs

__all__ = [
    "DEFAULT_TEMPLATE",
    "BatchOptions",
    "Outcome",
    "OutputPlan",
    "Song",
    "check_template",
    "find_songs",
    "separate_songs",
]
