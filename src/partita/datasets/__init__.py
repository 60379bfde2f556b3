"""Data sets of tracks with known stems: find them, read excerpts, check them."""

from partita.datasets.dataset import Dataset, open_dataset
from partita.datasets.layout import Problem
from partita.datasets.tracks import StemFile, Track

__all__ = ["Dataset", "Problem", "StemFile", "Track", "open_dataset"]
