"""Verdicts on the paper's hypotheses, computed from figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from partita.evaluation.aggregate import bootstrap_interval
from partita.evaluation.scores import mean

#: How a system's estimates are made: with its own settings, without and with a Wiener filter, and
#: with what is left shared out.
AS_IS, BARE, FILTERED, EXACT = "as it is", "no filter", "filter", "exact sums"
KINDS = (AS_IS, BARE, FILTERED, EXACT)
#: What is left of the mixture when all estimates are taken from it: less than a thousandth.
_NEGLIGIBLE_DB = -30.0


def beats_floors(
    values: Mapping[str, Mapping[str, float]],
    sources: Sequence[str],
    kind: str,
    *,
    trained: str,
    floors: Sequence[str],
) -> str:
    """Return whether a trained system is above floors.

    Parameters
    ----------
    values : mapping of str to mapping of str to float
        System → source → SDR in dB.
    sources : sequence of str
    kind : str
        Of songs.
    trained : str
    floors : sequence of str
        Names of systems.
    """
    own = values.get(trained, {})
    if not any(map(math.isfinite, own.values())):
        return f"Hypothesis 1, {kind}: not measured, the network has no scores."
    won = [
        source
        for source in sources
        if all(
            own.get(source, math.nan) > values.get(floor, {}).get(source, math.nan)
            for floor in floors
        )
    ]
    means = {
        name: mean([values.get(name, {}).get(s, math.nan) for s in sources])
        for name in (trained, *floors)
    }
    listed = ", ".join(f"{name} {db(means[name])}" for name in floors)
    above = means[trained] > max(value for n, value in means.items() if n != trained)
    verdict = "holds" if above and len(won) == len(sources) else (
        "holds on average" if above else "does not hold with this budget"
    )  # fmt: skip
    better = " and ".join(won) if won else "none of them"
    return (
        f"Hypothesis 1, {kind} {' and '.join(sources)}: {verdict}. The network's mean SDR is "
        f"{db(means[trained])} ({listed}); it is above both floors for {better}."
    )


def sum_verdict(
    own: float, floor: float, differences: Sequence[float], parts: Sequence[str]
) -> str:
    """Return whether a model learns a sum, and whether that is better than adding estimates.

    Parameters
    ----------
    own, floor : float
        SDR of the sum in dB, of the model that learned it and of the mixture.
    differences : sequence of float
        Of the model and the sum of single estimates, a window each, in dB.
    parts : sequence of str
        What is added up.
    """
    if not math.isfinite(own):
        return "Hypothesis 2: not measured, the network has no scores of the sum."
    holds = "holds" if own > floor else "does not hold with this budget"
    text = (
        f"Hypothesis 2: {holds}: trained on {' + '.join(parts)}, the network has an SDR of "
        f"{db(own)}, the mixture {db(floor)}."
    )
    if len(differences) < 2:
        return f"{text} There are too few windows to compare it with the sum of single estimates."
    low, high = bootstrap_interval(differences, statistic="mean")
    difference = mean(differences)
    seen = "better" if low > 0 else "worse" if high < 0 else "neither better nor worse"
    return (
        f"{text} Against the sum of single estimates it is {seen}: {db(difference, sign=True)} "
        f"(95 % interval {db(low, sign=True)} to {db(high, sign=True)}, over {len(differences)} "
        "windows of these tracks, which says little about others)."
    )


def additive_verdict(depths: Mapping[str, Mapping[str, float]]) -> str:
    """Return which systems' estimates add up.

    Parameters
    ----------
    depths : mapping of str to mapping of str to float
        System → kind, one of `KINDS` → null depth in dB.
    """
    if not depths:
        return "Hypothesis 3: not measured, no system has estimates."
    plain = {name: each[AS_IS] for name, each in depths.items()}
    good = [name for name, value in plain.items() if value <= _NEGLIGIBLE_DB]
    bad = [name for name, value in plain.items() if value > _NEGLIGIBLE_DB]
    text = (
        f"Hypothesis 3: as they are, the estimates of {len(good)} of {len(plain)} systems add up "
        f"to within −{abs(_NEGLIGIBLE_DB):g} dB of the mixture"
    )
    if bad:
        listed = ", ".join(f"{name} {db(plain[name])}" for name in bad)
        text += f"; not those of {listed}"
    gains = [
        (each.get(BARE, each[AS_IS]), each.get(FILTERED, each[AS_IS]))
        for each in depths.values()
        if BARE in each or FILTERED in each
    ]
    if gains:
        better = sum(filtered < bare for bare, filtered in gains)
        text += f". A filter lowers what is left in {better} of {len(gains)}"
    exact = [each[EXACT] for each in depths.values() if EXACT in each]
    if exact:
        text += f"; with sum_to_mix at most {db(max(exact))} are left"
    return f"{text}."


def db(value: float, *, sign: bool = False) -> str:
    """Return decibels as text."""
    text = f"{value:+.1f} dB" if sign else f"{value:.1f} dB"
    return text.replace("-", "−") if math.isfinite(value) else "–"
