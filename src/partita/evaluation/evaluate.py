"""Scoring signals in memory: `partita.evaluate`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Literal

from partita.audio.signal import Audio, whole_rate
from partita.errors import ScoresError, UsageError, one_line
from partita.evaluation.scores import TrackScores
from partita.evaluation.scoring import ScoreOptions, score_signals, sum_targets
from partita.evaluation.signals import Signal, as_reference, as_tensor
from partita.evaluation.targets import Match, match_targets
from partita.progress import Progress
from partita.stem_names import normal_name

_log = logging.getLogger(__name__)

Version = Literal["v4", "v3"]


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
    progress: Progress | None = None,
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
    progress : callable, optional
        Called with the seconds that are scored, and that there are.

    Returns
    -------
    TrackScores
        SDR, ISR, SIR and SAR for each target and window, and ``uSDR`` (Music Demixing Challenge),
        ``SI-SDR`` and ``SI-SAR`` of the whole track; NaN where the reference is silent, which is
        what 16 bits round to zero. What looks wrong, such as estimates that are late, is in its
        `warnings`, which are logged as well.

    Raises
    ------
    UsageError
        Names that do not fit, or arrays without a sample rate.
    ScoresError
        Signals that cannot be scored: lengths, rates or channels that differ, NaN, no samples.

    Examples
    --------
    >>> scores = evaluate(references, estimates, sample_rate=44100)  # doctest: +SKIP
    >>> scores.medians()["vocals"]["SDR"]  # doctest: +SKIP
    """
    names = targets.split(",") if isinstance(targets, str) else targets
    asked = tuple(normal_name(name.strip()) for name in names)
    options = ScoreOptions(version, window_s, window_s if hop_s is None else hop_s, asked)
    references, estimates = _by_name("references", references), _by_name("estimates", estimates)
    match = Match(match_targets(list(references), list(estimates), options.targets))
    rate = _common_rate([*references.values(), *estimates.values()], sample_rate)
    true = {name: as_reference(references[name], name) for name in match.references}
    signals = {name: as_tensor(estimates[name], name) for name in match.estimates}
    scores = score_signals(
        *sum_targets(match.targets, true, signals),
        sample_rate=rate,
        options=options,
        track=track,
        progress=progress,
    )
    for warning in scores.warnings:
        _log.warning("%s", f"{one_line(track)}: {warning}" if track else warning)
    return scores


def _by_name(kind: str, signals: Mapping[str, Signal]) -> dict[str, Signal]:
    """Return signals by their names in one Unicode form."""
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


def _common_rate(signals: Sequence[Signal], sample_rate: int | None) -> int:
    if sample_rate is None and not all(isinstance(signal, Audio) for signal in signals):
        raise UsageError("arrays do not know their sample rate: pass sample_rate=…, in hertz")
    rates = {signal.sample_rate for signal in signals if isinstance(signal, Audio)}
    if sample_rate is not None:
        rates.add(whole_rate(sample_rate))
    if len(rates) > 1:
        listed = ", ".join(f"{rate} Hz" for rate in sorted(rates))
        raise ScoresError(f"sample rates differ: {listed}: resample one side")
    if min(rates) <= 0:
        raise ScoresError("a sample rate is not positive")
    return rates.pop()
