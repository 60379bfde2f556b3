"""An entrant of a comparison as a system that is scored: its estimates lie in the cache."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from partita import __version__
from partita.comparison.entrants import SeparationSettings
from partita.comparison.tracks import content_digest
from partita.datasets import Track
from partita.datasets.tracks import StemFile
from partita.devices import choose_device
from partita.errors import ScoresError
from partita.evaluation.loading import Loaded, load_estimates
from partita.evaluation.oracles import ORACLES
from partita.evaluation.systems import Estimated, OracleSystem, System
from partita.evaluation.targets import Match, match_available
from partita.separation.result_cache import Cache, Entry
from partita.stem_names import file_names
from partita.weights.identity import digest_of
from partita.weights.plan import ModelPlan
from partita.weights.resolve import resolve

#: Kind of the cache's entries with estimates.
STEMS = "stems"
_FORMAT = 2  # another number makes all estimates again


class CachedSystem(System):
    """An entrant whose estimates lie in the cache, or will.

    Parameters
    ----------
    name : str
    model : str
    settings : mapping
        Keyword arguments of `partita.Separator`.
    device : str
    cache : Cache

    Attributes
    ----------
    model : str
    plan : ModelPlan or None
        None: an oracle.
    identity : str
        Digest of weights and settings.

    Raises
    ------
    PartitaError
        The weights cannot be had.
    """

    def __init__(
        self, name: str, model: str, settings: Mapping[str, Any], device: str, cache: Cache
    ) -> None:
        super().__init__(name)
        self.model = model
        self.plan: ModelPlan | None = None
        self._cache = cache
        self._keys: dict[str, str] = {}
        self._oracle: OracleSystem | None = None
        if model in ORACLES:
            self._oracle = OracleSystem(model)
            self.look_for_mistakes = self._oracle.look_for_mistakes
            self.identity = digest_of("oracle", model)
            return
        self.plan = resolve(model)
        self._sources = self.plan.sources
        how = dataclasses.asdict(SeparationSettings(**settings))
        if not how["shifts"]:
            del how["seed"]  # which has no effect then
        how["precision"] = how["precision"].replace("auto", "float32")
        self.identity = digest_of(self.plan.digest, how, choose_device(device).type)

    def match(self, track: Track, targets: Sequence[str]) -> Match:
        """Match what the entrant estimates, as systems without a cache do."""
        if self._oracle is not None:
            return self._oracle.match(track, targets)
        return match_available(list(track.stems), self._sources, targets, all_references=False)

    def key(self, track: Track, match: Match) -> str:
        """Return the key of the estimates of a track."""
        content = content_digest(self._cache, track)
        of_match = None if self._oracle is None else {t: m[0] for t, m in match.targets.items()}
        key = digest_of(_FORMAT, __version__, content, self.identity, of_match)
        self._keys[track.name] = key
        return key

    def entry(self, track: Track, *, verify: bool = False) -> Entry | None:
        """Return the estimates of a track; None if there are none yet, or damaged ones."""
        return self._cache.find(STEMS, self._keys[track.name], verify=verify)

    def estimate(self, track: Track, match: Match, references: Loaded) -> Estimated:
        """Read the estimates."""
        del references
        entry = self.entry(track, verify=True)
        if entry is None:
            raise ScoresError("the estimates in the cache are damaged")
        files = {name: StemFile(path) for name, path in stem_paths(entry).items()}
        found = load_estimates(Track(track.name, entry.folder, "", files), match.estimates)
        return found.stems, tuple(entry.facts["warnings"])

    def mark(self, track: Track) -> str:
        """Return a digest of the references and of what made the estimates."""
        return content_digest(self._cache, track) + self._keys[track.name]


def stem_paths(entry: Entry) -> dict[str, Path]:
    """Return stem → file of an entry with estimates."""
    names = file_names(entry.facts["stems"])
    return {name: entry.folder / f"{file}.wav" for name, file in names.items()}
