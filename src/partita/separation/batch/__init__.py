"""Batches of songs: find, plan, separate, report."""

from partita.separation.batch.output_plan import DEFAULT_TEMPLATE, OutputPlan, check_template
from partita.separation.batch.separate import (
    BatchOptions,
    Extra,
    recorded_settings,
    separate_songs,
)
from partita.separation.batch.songs import Outcome, Song, find_songs

__all__ = [
    "DEFAULT_TEMPLATE",
    "BatchOptions",
    "Extra",
    "Outcome",
    "OutputPlan",
    "Song",
    "check_template",
    "find_songs",
    "recorded_settings",
    "separate_songs",
]
