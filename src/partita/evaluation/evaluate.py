"""Scores of one track: references and estimates by name."""

from __future__ import annotations

import logging
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from partita.audio.signal import Audio
from partita.errors import ScoresError, UnknownNameError, UsageError, one_line
from partita.evaluation._decomposition import is_silent
from partita.evaluation.bsseval import bss_eval
from partita.evaluation.checks import find_doubts
from partita.evaluation.scores import METRICS, TargetScores, TrackScores
from partita.evaluation.sdr import mdx_sdr_db, si_sdr_db
from partita.evaluation.signals import Signal, as_reference, as_tensor, is_inaudible
from partita.evaluation.targets import TargetMembers, match_targets
from partita.stem_names import normal_name

_log = logging.getLogger(__name__)

Version = Literal["v4", "v3"]
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
        return {**plain, "targets": list(self.targets)}


def evaluate(
    references: Mapping[str, Signal],
    estimates: Mapping[str, Signal],
    *,
    sample_rate: int | None = None,
    targets: Sequence[str] | str = (),
    version: Version = "v4",
    window_s: float = 1.0,
    hop_s: float | None = None,
    track: str = "",
) -> TrackScores:
    """Score estimates against references with BSS Eval.

    Parameters
    ----------
    references : mapping of str to Audio, Tensor or ndarray ``[channels, samples]``
        The true sources. `Audio` that a lossy codec made is rounded to 16 bits, as musdb does; do
        the same with arrays from such files, see `as_reference`.
    estimates : mapping of str to Audio, Tensor or ndarray ``[channels, samples]``
        Named like references, or like sums of them: ``drums+bass``, ``no_vocals``,
        ``accompaniment``. Names compare in Unicode's composed form; case counts.
    sample_rate : int, optional
        In hertz. Needed where any signal is an array, since windows are counted in seconds;
        `Audio` and `Estimates` know theirs.
    targets : sequence of str, or one text with commas between them
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
        and ``SI-SDR`` of the whole track; NaN where the reference is silent, which is what 16 bits
        round to zero. What looks wrong, such
        as estimates that are late, is in its `warnings`, which are logged as well.

    Raises
    ------
    UsageError
        Names that do not fit, or arrays without a sample rate.
    ScoresError
        Signals that cannot be scored: lengths, rates or channels that differ, NaN, no samples.

    Examples
    --------
    >>> scores = evaluate(references, estimates, sample_rate=44100)  # doctest: +SKIP
    >>> scores.targets["vocals"].frames[0]["SDR"]  # doctest: +SKIP
    """
    names = targets.split(",") if isinstance(targets, str) else targets
    asked = tuple(normal_name(name.strip()) for name in names)
    options = ScoreOptions(version, window_s, window_s if hop_s is None else hop_s, asked)
    references, estimates = _by_name("references", references), _by_name("estimates", estimates)
    members = match_targets(list(references), list(estimates), options.targets)
    rate = _common_rate([*references.values(), *estimates.values()], sample_rate)
    needed = dict.fromkeys(name for ours, _ in members.values() for name in ours)
    true = {name: as_reference(references[name], name) for name in needed}
    needed = dict.fromkeys(name for _, theirs in members.values() for name in theirs)
    signals = {name: as_tensor(estimates[name], name) for name in needed}
    scores = score_signals(
        *sum_targets(members, true, signals), sample_rate=rate, options=options, track=track
    )
    for warning in scores.warnings:
        _log.warning("%s", f"{one_line(track)}: {warning}" if track else warning)
    return scores


def _by_name(kind: str, signals: Mapping[str, Signal]) -> dict[str, Signal]:
    """Bring names to one Unicode form, in which they are compared."""
    if not isinstance(signals, Mapping):
        raise UsageError(f"{kind} are a mapping of names to signals, not {type(signals).__name__}")
    found: dict[str, Signal] = {}
    for name, signal in signals.items():
        if not isinstance(name, str):
            raise UsageError(f"names of {kind} are texts, not {name!r}")
        if normal_name(name) in found:
            called = one_line(normal_name(name))
            raise UsageError(f"two {kind} are called {called!r}: name one otherwise")
        found[normal_name(name)] = signal
    return found


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
    """Cut or fill up signals, and say so."""
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
) -> TrackScores:
    """Score signals ``[channels, samples]`` of the same names and shapes.

    Parameters
    ----------
    references, estimates : mapping of str to Tensor ``[channels, samples]``
    warnings : sequence of str
        What is known to be odd; more is added.
    sample_rate : int
        In hertz.
    options : ScoreOptions
    track : str
    look_for_mistakes : bool
        Whether estimates may be late, of another song, or the like; see `find_doubts`.
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
    whole_track = math.isinf(options.window_s)
    duration_s = true.shape[-1] / sample_rate
    hop_s = min(options.hop_s, duration_s)  # an infinite one: the first window only
    scores = bss_eval(
        true,
        estimated,
        window=None if whole_track else max(1, round(options.window_s * sample_rate)),
        hop=None if whole_track else max(1, round(hop_s * sample_rate)),
        framewise_filters=options.version == "v3",
    )
    values = {metric: getattr(scores, metric.lower()).tolist() for metric in METRICS}
    found = {}
    for index, name in enumerate(names):
        columns = [values[metric][index] for metric in METRICS]
        found[name] = TargetScores(
            name=name,
            frames=[dict(zip(METRICS, frame, strict=True)) for frame in zip(*columns, strict=True)],
            whole=_whole_track_figures(true[index], estimated[index]),
            scored_with=tuple(names),
            reason=_why_not(true[index], estimated[index]),
        )
    unscored = [f"{name}: {target.reason}" for name, target in found.items() if target.reason]
    return TrackScores(
        track=track,
        targets=found,
        window_s=min(options.window_s, duration_s),
        hop_s=hop_s,
        settings={
            **replace(options, targets=tuple(names)).as_settings(),
            "sample_rate": sample_rate,
            "channels": true.shape[1],
            "samples": true.shape[2],
        },
        warnings=(*warnings, *doubts, *unscored),
    )


def _whole_track_figures(reference: Tensor, estimate: Tensor) -> dict[str, float]:
    """Return figures without windows; there is none of a silent reference.

    A silent estimate has a uSDR of 0 dB: the error is the reference. No gain makes it better, and
    SI-SDR, which asks for the best gain, is not defined.
    """
    if not reference.any():
        return {"uSDR": math.nan, "SI-SDR": math.nan}
    si_sdr = si_sdr_db(reference, estimate) if estimate.any() else math.nan
    return {"uSDR": mdx_sdr_db(reference, estimate), "SI-SDR": si_sdr}


def _why_not(reference: Tensor, estimate: Tensor) -> str:
    """Say why BSS Eval has no figures."""
    for kind, signal, consequence in (
        ("reference", reference, "no score"),
        ("estimate", estimate, "only uSDR has a value (0 dB)"),
    ):
        if not signal.any():
            return f"the {kind} is silent: {consequence}"
        if is_silent(signal):
            return f"the channels of the {kind} cancel each other: silent to BSS Eval, no score"
    return ""


def _common_rate(signals: Sequence[Signal], sample_rate: int | None) -> int:
    if sample_rate is None and not all(isinstance(signal, Audio) for signal in signals):
        raise UsageError("arrays do not know their sample rate: pass sample_rate=…, in hertz")
    rates = {signal.sample_rate for signal in signals if isinstance(signal, Audio)}
    if sample_rate is not None:
        rates.add(_whole_rate(sample_rate))
    if len(rates) > 1:
        listed = ", ".join(f"{rate} Hz" for rate in sorted(rates))
        raise ScoresError(f"sample rates differ: {listed}: resample one side")
    if min(rates) <= 0:
        raise ScoresError("a sample rate is not positive")
    return rates.pop()


def _whole_rate(sample_rate: object) -> int:
    """Return a rate as an int, whatever kind of number it is."""
    if isinstance(sample_rate, numbers.Real) and not isinstance(sample_rate, bool):
        rate = float(sample_rate)
        if rate.is_integer():  # neither NaN nor infinity
            return int(rate)
    raise UsageError(f"sample_rate is a whole number of hertz, not {sample_rate!r}")


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
