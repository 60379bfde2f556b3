"""Where estimates come from: files, a separator, or an oracle."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from partita.datasets import Track
from partita.errors import ScoresError, UsageError
from partita.evaluation.loading import Loaded, files_mark, load_estimates
from partita.evaluation.oracles import get_oracle
from partita.evaluation.targets import Match, TargetMembers, match_available
from partita.separation.separator import Separator
from partita.weights.checkpoint import tensors_digest

_SHOWN_NAMES = 5
Estimated = tuple[Mapping[str, Tensor], Sequence[str]]


class System(ABC):
    """A system that is scored: it gives estimates of every track.

    Attributes
    ----------
    name : str
        In tables, and of the folder of its scores.
    look_for_mistakes : bool
        As for `partita.evaluation.scoring.score_signals`.
    """

    look_for_mistakes: bool = True

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def match(self, track: Track, targets: Sequence[str]) -> Match:
        """Decide what is scored of a track.

        Parameters
        ----------
        track : Track
        targets : sequence of str
            What is asked for; empty: all that the system estimates.

        Raises
        ------
        UsageError
            Nothing can be scored.
        """

    @abstractmethod
    def estimate(self, track: Track, match: Match, references: Loaded) -> Estimated:
        """Return the estimates that a match names."""

    @abstractmethod
    def mark(self, track: Track) -> str:
        """Return a text that changes when the track's estimates or references would.

        Raises
        ------
        OSError
            A file is not there.
        """


class EstimateFiles(System):
    """Estimates that lie in files.

    Parameters
    ----------
    root : Path
        Its folder's name is the system's.
    tracks : mapping of str to Track
        Name of the references' track → its estimates.
    """

    def __init__(self, root: Path, tracks: Mapping[str, Track]) -> None:
        super().__init__(root.resolve().name)
        self._root, self._tracks = root, tracks

    def match(self, track: Track, targets: Sequence[str]) -> Match:
        """Match all references; a track without estimates is an error."""
        if track.name not in self._tracks:
            raise missing_track("estimates", self._root, self._tracks)
        estimated = self._tracks[track.name]
        return match_available(list(track.stems), list(estimated.stems), targets)

    def estimate(self, track: Track, match: Match, references: Loaded) -> Estimated:
        """Read the estimates."""
        found = load_estimates(self._tracks[track.name], match.estimates)
        if references.sample_rate != found.sample_rate:
            raise ScoresError(
                f"references are at {references.sample_rate} Hz, estimates at "
                f"{found.sample_rate} Hz: separate with `keep_rate=True`, or resample one side"
            )
        return found.stems, found.warnings

    def mark(self, track: Track) -> str:
        """Return a digest of the files of both sides."""
        return files_mark(track.stems) + files_mark(self._tracks[track.name].stems)


def missing_track(kind: str, root: Path, there: Mapping[str, object]) -> UsageError:
    """Return the error that one side lacks a track."""
    found = sorted(there)
    more = ", …" if len(found) > _SHOWN_NAMES else ""
    listed = ", ".join(found[:_SHOWN_NAMES]) + more or "none"
    return UsageError(f"no {kind} of that name in {root}; {kind} there: {listed}")


class SeparatorSystem(System):
    """Estimates of a separator.

    Parameters
    ----------
    name : str
    separator : Separator
    settings : mapping
        How it separates; part of `mark`.
    """

    def __init__(self, name: str, separator: Separator, settings: Mapping[str, Any]) -> None:
        super().__init__(name)
        self._separator = separator
        models = [each.model for each in separator.models]
        facts = [
            [type(model).__name__, repr(model.config), tensors_digest(model.state_dict())]
            for model in models
        ]
        plan = separator.plan and separator.plan.root
        content = [facts, repr(plan), dict(settings)]
        plain = json.dumps(content, sort_keys=True, default=str)
        self._digest = hashlib.sha256(plain.encode()).hexdigest()

    def match(self, track: Track, targets: Sequence[str]) -> Match:
        """Match what the model separates; a song may have other stems as well."""
        return match_available(
            list(track.stems), self._separator.sources, targets, all_references=False
        )

    def estimate(self, track: Track, match: Match, references: Loaded) -> Estimated:
        """Separate the track's mixture."""
        del match, references
        mixture = track.load("mixture")
        estimates = self._separator(mixture.samples, mixture.sample_rate, keep_rate=True)
        return {name: audio.samples for name, audio in estimates.items()}, estimates.warnings

    def mark(self, track: Track) -> str:
        """Return a digest of the track's files, weights and settings."""
        return files_mark(track.files) + self._digest


class OracleSystem(System):
    """Estimates that are made with the references themselves (`partita.evaluation.oracles`)."""

    look_for_mistakes = False

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._oracle = get_oracle(name)

    def match(self, track: Track, targets: Sequence[str]) -> Match:
        """Match the references with themselves; an oracle estimates each target, sums too."""
        names = list(track.stems)
        match = match_available(names, names, targets, all_references=False)
        own: TargetMembers = {t: (ours, (t,)) for t, (ours, _) in match.targets.items()}
        return replace(match, targets=own)

    def estimate(self, track: Track, match: Match, references: Loaded) -> Estimated:
        """Estimate the targets from the mixture and the references."""
        mixture = track.load("mixture").samples
        stems = {
            name: functional.pad(signal, (0, mixture.shape[-1] - signal.shape[-1]))
            for name, signal in references.stems.items()
        }
        targets = {
            target: torch.stack([stems[name] for name in ours]).sum(dim=0)
            for target, (ours, _) in match.targets.items()
        }
        return self._oracle(mixture, targets), ()

    def mark(self, track: Track) -> str:
        """Return a digest of the track's files."""
        return files_mark(track.files)
