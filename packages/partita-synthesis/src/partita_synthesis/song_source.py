"""Songs that are synthesised while a model is trained: the plug-in for ``songs.toml``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from partita.models import SeparationModel
from partita.progress import Progress
from partita.training.recipes import Recipe
from partita.training.song_sources import TrainingData, require_sources
from partita_synthesis.song_pools import SongPools, SynthesisPlan, file_digests


class SynthesizedSongs:
    """Songs that are synthesised while the training runs."""

    def __init__(self, path: Path, recipe: Recipe, model: SeparationModel) -> None:
        self._learned, self._workers = model.learned, recipe.training.workers
        self._plan = SynthesisPlan.read(
            path, sources=model.sources, sample_rate=model.sample_rate, channels=model.channels
        )
        stems = self._plan.synthesis.stems
        require_sources(path, self._learned, stems, stems)

    @property
    def description(self) -> Mapping[str, Any]:
        """All settings of the songs."""
        return {"data": dataclasses.asdict(self._plan)}

    @contextmanager
    def open(self, progress: Progress | None) -> Iterator[TrainingData]:  # noqa: ARG002 (nothing is read)
        """Begin to make songs."""
        pools = SongPools(self._plan, self._learned, self._workers)
        try:
            digests = file_digests(self._plan.synthesis)
            yield TrainingData(pools, pools.held_out(), digests=digests)
        finally:
            pools.close()
