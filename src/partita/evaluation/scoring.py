"""Scores of one track's signals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from partita.errors import ScoresError, UnknownNameError, UsageError
from partita.evaluation._decomposition import is_silent
from partita.evaluation.bsseval import bss_eval
from partita.evaluation.checks import find_doubts
from partita.evaluation.scores import (
    DECIMALS,
    METRICS,
    METRICS_VERSION,
    TargetScores,
    TrackScores,
)
from partita.evaluation.sdr import mdx_sdr_db, scale_invariant_db
from partita.evaluation.signals import is_inaudible
from partita.evaluation.targets import TargetMembers
from partita.progress import Progress

#: Codecs pad what they encode by a frame or two: that much may be missing or too much.
_MOST_PADDING = 4096


@dataclass(frozen=True)
class ScoreOptions:
    """How tracks are scored.

    Attributes
    ----------
    version : {"v4", "v3"}
        Of BSS Eval: one distortion filter for the whole track, or one for each window.
    window_s, hop_s : float
        In seconds; a window of ``inf`` is the whole track.
    targets : tuple of str
        Scored together; empty: what the estimates are.
    """

    version: str = "v4"
    window_s: float = 1.0
    hop_s: float = 1.0
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.version not in ("v4", "v3"):
            raise UnknownNameError("BSS Eval version", self.version, ["v3", "v4"])
        for name, seconds in (("window", self.window_s), ("hop", self.hop_s)):
            if not seconds > 0:
                raise UsageError(f"a {name} of {seconds:g} seconds is not positive")
        if len(set(self.targets)) < len(self.targets):
            raise UsageError(f"a target is named twice: {', '.join(self.targets)}")

    def as_settings(self) -> dict[str, Any]:
        """Return plain values; JSON has no infinity, so None stands for the whole track."""
        values = {"version": self.version, "window_s": self.window_s, "hop_s": self.hop_s}
        plain = {key: None if value == math.inf else value for key, value in values.items()}
        return {**plain, "targets": list(self.targets), "metrics_version": METRICS_VERSION}


def sum_targets(
    members: TargetMembers, references: Mapping[str, Tensor], estimates: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor], list[str]]:
    """Add up the signals of each target, all as long as the longest reference.

    Returns
    -------
    references, estimates : dict of str to Tensor ``[channels, samples]``
        By target.
    warnings : list of str
        What was cut or filled up with silence.

    Raises
    ------
    ScoresError
        Estimates that are shorter or longer by more than codecs pad.
    """
    samples = max((signal.shape[-1] for signal in references.values()), default=0)
    _check_lengths(references, estimates, samples)
    true, warnings = _fit("reference", references, samples)
    fitted, more = _fit("estimate", estimates, samples)
    return (
        {target: _sum(true, ours) for target, (ours, _) in members.items()},
        {target: _sum(fitted, theirs) for target, (_, theirs) in members.items()},
        [*warnings, *more],
    )


def _check_lengths(
    references: Mapping[str, Tensor], estimates: Mapping[str, Tensor], samples: int
) -> None:
    for kind, signals in (("reference", references), ("estimate", estimates)):
        for name, signal in signals.items():
            if signal.shape[-1] == 0:
                raise ScoresError(f"{kind} {name}: holds no samples")
    longest = max(references, key=lambda name: references[name].shape[-1])
    for name, signal in estimates.items():
        if abs(signal.shape[-1] - samples) > _MOST_PADDING:
            raise ScoresError(
                f"estimate {name} has {signal.shape[-1]} samples, "
                f"reference {longest} has {samples}: are they of the same song?"
            )


def _fit(
    kind: str, signals: Mapping[str, Tensor], samples: int
) -> tuple[dict[str, Tensor], list[str]]:
    """Cut or fill up signals; return them and a warning for each change."""
    by_difference: dict[int, list[str]] = {}
    for name, signal in signals.items():
        by_difference.setdefault(samples - signal.shape[-1], []).append(name)
    warnings = []
    for difference, names in by_difference.items():
        if difference:
            how = "short: filled up with silence" if difference > 0 else "long: cut"
            who = (
                f"{kind}s are" if len(names) == len(signals) else f"{kind} {' and '.join(names)} is"
            )
            warnings.append(f"{who} {abs(difference)} samples too {how}")
    fitted = {
        name: functional.pad(signal, (0, samples - signal.shape[-1]))
        if signal.shape[-1] != samples
        else signal
        for name, signal in signals.items()
    }
    return fitted, warnings


def score_signals(
    references: Mapping[str, Tensor],
    estimates: Mapping[str, Tensor],
    warnings: Sequence[str] = (),
    *,
    sample_rate: int,
    options: ScoreOptions,
    track: str,
    look_for_mistakes: bool = True,
    progress: Progress | None = None,
) -> TrackScores:
    """Score signals ``[channels, samples]`` of the same names and shapes.

    Parameters
    ----------
    references, estimates : mapping of str to Tensor ``[channels, samples]``
    warnings : sequence of str
        Known by now; more are added.
    sample_rate : int
        In hertz.
    options : ScoreOptions
    track : str
    look_for_mistakes : bool
        Whether estimates may be late, of another song, or the like; see `find_doubts`.
    progress : callable, optional
        Called with the seconds that are scored, and that there are.

    Raises
    ------
    ScoresError
        Signals that cannot be compared: other shapes, NaN, no samples.
    """
    names = list(references)
    check_signals(references, estimates)
    references = {
        name: torch.zeros_like(signal) if is_inaudible(signal) else signal
        for name, signal in references.items()
    }
    doubts = find_doubts(references, estimates, sample_rate) if look_for_mistakes else []
    true, estimated = (
        torch.stack([signals[name] for name in names]) for signals in (references, estimates)
    )
    duration_s = true.shape[-1] / sample_rate
    options = replace(options, targets=tuple(names))
    found = _score_targets(true, estimated, sample_rate, options, progress)
    unscored = [f"{target.name}: {target.reason}" for target in found if target.reason]
    return TrackScores(
        track=track,
        targets={target.name: target for target in found},
        window_s=min(options.window_s, duration_s),
        hop_s=min(options.hop_s, duration_s),
        settings={
            **options.as_settings(),
            "sample_rate": sample_rate,
            "channels": true.shape[1],
            "samples": true.shape[2],
        },
        warnings=(*warnings, *doubts, *unscored),
    )


def _score_targets(
    true: Tensor,
    estimated: Tensor,
    sample_rate: int,
    options: ScoreOptions,
    progress: Progress | None,
) -> list[TargetScores]:
    """Score ``[targets, channels, samples]``, whose names the options have."""
    whole_track = math.isinf(options.window_s)
    hop_s = min(options.hop_s, true.shape[-1] / sample_rate)  # infinite: the first window only

    def in_seconds(done: float, total: float | None) -> None:
        if progress is not None:
            progress(done / sample_rate, total and total / sample_rate)

    scores = bss_eval(
        true,
        estimated,
        window=None if whole_track else max(1, round(options.window_s * sample_rate)),
        hop=None if whole_track else max(1, round(hop_s * sample_rate)),
        framewise_filters=options.version == "v3",
        progress=in_seconds,
    )
    # [targets, windows, metrics]
    frames = torch.stack([getattr(scores, metric.lower()) for metric in METRICS], -1).tolist()
    whole = _whole_track_figures(true, estimated)
    return [
        TargetScores(
            name=name,
            frames=[_rounded(dict(zip(METRICS, frame, strict=True))) for frame in frames[index]],
            whole=_rounded(whole[index]),
            scored_with=options.targets,
            reason=_why_not(true[index], estimated[index]),
        )
        for index, name in enumerate(options.targets)
    ]


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    """Round figures, so that scores in memory are equal to those read from their file."""
    return {name: round(value, DECIMALS) for name, value in figures.items()}


def _whole_track_figures(true: Tensor, estimated: Tensor) -> list[dict[str, float]]:
    """Return figures of the whole track for each target, NaN where the reference is silent.

    A silent estimate has a uSDR of 0 dB, since the error is the reference. Its SI-SDR and SI-SAR
    are NaN: no gain brings it closer.
    """
    scale_invariant = scale_invariant_db(true, estimated)
    values = zip(scale_invariant.sdr.tolist(), scale_invariant.sar.tolist(), strict=True)
    found = []
    for reference, estimate, (si_sdr, si_sar) in zip(true, estimated, values, strict=True):
        figures = {"uSDR": mdx_sdr_db(reference, estimate), "SI-SDR": si_sdr, "SI-SAR": si_sar}
        kept = ([*figures] if estimate.any() else ["uSDR"]) if reference.any() else []
        found.append({name: figures[name] if name in kept else math.nan for name in figures})
    return found


def _why_not(reference: Tensor, estimate: Tensor) -> str:
    """Return why BSS Eval gives no figures, empty where it does."""
    for kind, signal, consequence in (
        ("reference", reference, "no score"),
        ("estimate", estimate, "only uSDR has a value (0 dB)"),
    ):
        if not signal.any():
            return f"the {kind} is silent: {consequence}"
        if is_silent(signal):
            return f"the channels of the {kind} cancel each other: silent to BSS Eval, no score"
    return ""


def _sum(signals: Mapping[str, Tensor], members: Sequence[str]) -> Tensor:
    tensors = [signals[name] for name in members]
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1:
        raise ScoresError(f"{' and '.join(members)} differ in channels: {shapes}")
    return torch.stack(tensors).sum(dim=0) if len(tensors) > 1 else tensors[0]


def check_signals(references: Mapping[str, Tensor], estimates: Mapping[str, Tensor]) -> None:
    """Raise `ScoresError` where estimates cannot be compared with their references."""
    first_name, first = next(iter(references.items()))
    for kind, signals in (("reference", references), ("estimate", estimates)):
        for name, signal in signals.items():
            if signal.shape[-1] == 0:
                raise ScoresError(f"{kind} {name}: holds no samples")
            if signal.shape[0] != first.shape[0]:
                raise ScoresError(
                    f"{kind} {name} has {signal.shape[0]} channels, "
                    f"reference {first_name} has {first.shape[0]}"
                )
            if signal.shape[-1] != first.shape[-1]:
                raise ScoresError(
                    f"{kind} {name} has {signal.shape[-1]} samples, "
                    f"reference {first_name} has {first.shape[-1]}"
                )
            if not math.isfinite(float(signal.sum(dtype=torch.float64))):
                raise ScoresError(f"{kind} {name} holds NaN or infinite samples")
