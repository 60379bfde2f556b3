"""Scores of one track: references and estimates by name, from memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from partita.audio.signal import Audio
from partita.errors import ScoresError, UnknownNameError, UsageError
from partita.evaluation._decomposition import is_silent
from partita.evaluation.bsseval import bss_eval
from partita.evaluation.scores import METRICS, TargetScores, TrackScores
from partita.evaluation.sdr import mdx_sdr_db, si_sdr_db
from partita.stems import stem_members

Signal = Audio | Tensor | np.ndarray[Any, Any]
Version = Literal["v4", "v3"]
#: Target → names of the references, and of the estimates, that it is the sum of.
TargetMembers = dict[str, tuple[tuple[str, ...], tuple[str, ...]]]


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
        return {**plain, "targets": list(self.targets)}


def evaluate(
    references: Mapping[str, Signal],
    estimates: Mapping[str, Signal],
    *,
    sample_rate: int = 44100,
    targets: Sequence[str] = (),
    version: Version = "v4",
    window_s: float = 1.0,
    hop_s: float | None = None,
    track: str = "",
) -> TrackScores:
    """Score estimates against references with BSS Eval.

    Parameters
    ----------
    references : mapping of str to Audio, Tensor or ndarray ``[channels, samples]``
        The true sources.
    estimates : mapping of str to Audio, Tensor or ndarray ``[channels, samples]``
        Named like references, or like sums of them: ``drums+bass``, ``no_vocals``,
        ``accompaniment``.
    sample_rate : int
        Of signals that do not know their own, in hertz.
    targets : sequence of str
        The targets that are scored together, which also may be sums; default: those of the
        estimates. A target that is added changes the figures of the others, so the set is stored.
    version : {"v4", "v3"}
    window_s, hop_s : float
        In seconds; hop_s defaults to the window.
    track : str
        Name of the track, for the scores.

    Returns
    -------
    TrackScores
        SDR, ISR, SIR and SAR for each target and window, and ``uSDR`` (Music Demixing Challenge)
        and ``SI-SDR`` of the whole track.

    Raises
    ------
    UsageError
        Names that do not fit.
    ScoresError
        Signals that cannot be scored: lengths, rates or channels that differ, NaN, no samples.

    Examples
    --------
    >>> scores = evaluate(references, estimates, sample_rate=44100)  # doctest: +SKIP
    >>> scores.targets["vocals"].frames[0]["SDR"]  # doctest: +SKIP
    """
    options = ScoreOptions(version, window_s, window_s if hop_s is None else hop_s, tuple(targets))
    members = match_targets(list(references), list(estimates), options.targets)
    rate = _common_rate([*references.values(), *estimates.values()], sample_rate)
    true = {name: _sum(references, own) for name, (own, _) in members.items()}
    guessed = {name: _sum(estimates, own) for name, (_, own) in members.items()}
    return score_signals(true, guessed, rate, options, track=track)


def score_signals(
    references: Mapping[str, Tensor],
    estimates: Mapping[str, Tensor],
    sample_rate: int,
    options: ScoreOptions,
    *,
    track: str,
) -> TrackScores:
    """Score signals ``[channels, samples]`` of the same names and shapes."""
    names = list(references)
    check_signals(references, estimates)
    true, guessed = (
        torch.stack([signals[name] for name in names]) for signals in (references, estimates)
    )
    whole_track = math.isinf(options.window_s)
    scores = bss_eval(
        true,
        guessed,
        window=None if whole_track else max(1, round(options.window_s * sample_rate)),
        hop=None if whole_track else max(1, round(options.hop_s * sample_rate)),
        framewise_filters=options.version == "v3",
    )
    duration_s = true.shape[-1] / sample_rate
    values = {metric: getattr(scores, metric.lower()).tolist() for metric in METRICS}
    found = {}
    for index, name in enumerate(names):
        columns = [values[metric][index] for metric in METRICS]
        found[name] = TargetScores(
            name=name,
            frames=[dict(zip(METRICS, frame, strict=True)) for frame in zip(*columns, strict=True)],
            whole={
                "uSDR": mdx_sdr_db(true[index], guessed[index]),
                "SI-SDR": si_sdr_db(true[index], guessed[index]),
            },
            scored_with=tuple(names),
            reason=_why_not(true[index], guessed[index]),
        )
    return TrackScores(
        track=track,
        targets=found,
        window_s=min(options.window_s, duration_s),
        hop_s=min(options.hop_s, duration_s),
        settings={
            **replace(options, targets=tuple(names)).as_settings(),
            "sample_rate": sample_rate,
            "channels": true.shape[1],
            "samples": true.shape[2],
        },
    )


def _why_not(reference: Tensor, estimate: Tensor) -> str:
    if is_silent(reference):
        return "the reference is silent throughout"
    return "the estimate is silent throughout" if is_silent(estimate) else ""


def match_targets(
    references: Sequence[str], estimates: Sequence[str], targets: Sequence[str] = ()
) -> TargetMembers:
    """Decide what is scored against what.

    Parameters
    ----------
    references, estimates : sequence of str
        Names on both sides.
    targets : sequence of str
        What is asked for; by default every estimate, which together must be everything that the
        references hold. Of estimates that overlap, such as ``accompaniment`` beside ``drums``,
        sums are left out by default.

    Returns
    -------
    dict
        Target → names of the references, and of the estimates, that it is the sum of.

    Raises
    ------
    UsageError
        A name that is on one side only, or references that no estimate covers; lists both sides.
    """
    both = f"references: {', '.join(sorted(references))}; estimates: {', '.join(sorted(estimates))}"
    sources = _single_sources(references)
    wanted = list(targets) or [name for name in estimates if name != "mixture"]
    found: TargetMembers = {}
    for name in wanted:
        try:
            found[name] = (
                _members(name, references, sources),
                _members(name, estimates, _single_sources(estimates)),
            )
        except UsageError:
            raise UsageError(f"target {name!r} is not on both sides; {both}") from None
    if targets:
        return found
    parts = {name: set(_members(name, sources, sources)) for name in found}
    for name in list(found):  # sums of what is there anyway
        rest = set().union(*(parts[other] for other in found if other != name))
        if len(parts[name]) > 1 and parts[name] <= rest:
            del found[name]
    covered = [source for name in found for source in parts[name]]
    missing = [source for source in sources if source not in covered]
    if missing or len(set(covered)) < len(covered) or not found:
        problem = f"no estimate of {', '.join(missing)}" if missing else "estimates overlap"
        raise UsageError(f"{problem}: name the targets to score together (--targets); {both}")
    return found


def _single_sources(names: Sequence[str]) -> list[str]:
    """Leave out what is a sum of the others."""
    singles = [name for name in names if name not in ("mixture", "linear_mixture")]
    if len(singles) > 2 and "accompaniment" in singles and "vocals" in singles:
        singles.remove("accompaniment")
    return [name for name in singles if "+" not in name]


def _members(name: str, names: Sequence[str], sources: Sequence[str]) -> tuple[str, ...]:
    if name in names:
        return (name,)
    if name == "accompaniment":
        return stem_members("no_vocals", sources)
    return stem_members(name, sources)


def _common_rate(signals: Sequence[Signal], sample_rate: int) -> int:
    rates = {s.sample_rate if isinstance(s, Audio) else sample_rate for s in signals}
    if len(rates) > 1:
        listed = ", ".join(f"{rate} Hz" for rate in sorted(rates))
        raise ScoresError(f"sample rates differ: {listed}")
    if not rates or min(rates) <= 0:
        raise ScoresError("nothing to score" if not rates else "a sample rate is not positive")
    return rates.pop()


def _sum(signals: Mapping[str, Signal], members: Sequence[str]) -> Tensor:
    tensors = [as_tensor(signals[name], name) for name in members]
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1:
        raise ScoresError(f"{' and '.join(members)} differ in channels or samples: {shapes}")
    return torch.stack(tensors).sum(dim=0) if len(tensors) > 1 else tensors[0]


def as_tensor(signal: Signal, name: str) -> Tensor:
    """Return ``[channels, samples]`` of any kind of signal."""
    samples = signal.samples if isinstance(signal, Audio) else torch.as_tensor(signal)
    if samples.ndim != 2 or not samples.is_floating_point():
        raise ScoresError(f"{name}: signals are floating-point [channels, samples]")
    return samples


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
