"""Box plots and paired plots as rows of marks on one axis, in percent of its width."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from partita.reports.content import BoxPlot, PairedPlot

_MOST_TICKS = 7
_MARGIN = 0.04  # of the axis, at both ends


@dataclass(frozen=True)
class Mark:
    """A value on a row: where it is, and what it says when it is pointed at."""

    at: float
    text: str


@dataclass(frozen=True)
class Row:
    """A system or a pair.

    Attributes
    ----------
    name : str
    points : sequence of Mark
    box : tuple of float or None
        Lower whisker, lower quartile, median, upper quartile, upper whisker.
    interval : tuple of float or None
        Low, estimate, high.
    text : str
        For readers who do not see the row.
    """

    name: str
    points: Sequence[Mark]
    box: tuple[float, float, float, float, float] | None = None
    interval: tuple[float, float, float] | None = None
    text: str = ""


@dataclass(frozen=True)
class Strips:
    """A plot: panels of rows over one axis.

    Attributes
    ----------
    panels : mapping of str to sequence of Row
        Target → rows.
    ticks : sequence of Mark
    label : str
        Of the axis.
    zero : float or None
        Where zero is, if a line is to be drawn there.
    """

    panels: Mapping[str, Sequence[Row]]
    ticks: Sequence[Mark]
    label: str
    zero: float | None = None


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    ticks: Sequence[float] = field(default=())

    def at(self, value: float) -> float:
        """Return a place in percent."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    def marks(self) -> list[Mark]:
        return [Mark(self.at(tick), f"{tick:g}".replace("-", "−")) for tick in self.ticks]


def box_strips(plot: BoxPlot) -> Strips:
    """Return a box plot: boxes from quartile to quartile, whiskers to the last value in 1.5 boxes.

    Values that are no numbers are left out.
    """
    groups = {
        group: {name: _finite(values) for name, values in boxes.items()}
        for group, boxes in plot.groups.items()
    }
    axis = _axis(
        value for boxes in groups.values() for box in boxes.values() for value in box.values()
    )
    panels = {
        group: [_box_row(name, values, axis) for name, values in boxes.items()]
        for group, boxes in groups.items()
    }
    return Strips(panels, axis.marks(), plot.y_label)


def paired_strips(plot: PairedPlot) -> Strips:
    """Return a paired plot: a panel for each target, a row for each pair, its interval on top."""
    targets = dict.fromkeys(target for pair in plot.differences.values() for target in pair)
    intervals = [each for pair in plot.intervals.values() for each in pair.values()]
    axis = _axis(
        [
            0.0,
            *(v for p in plot.differences.values() for t in p.values() for v in t.values()),
            *(value for interval in intervals for value in interval),
        ]
    )
    panels = {
        target: [
            _pair_row(
                pair,
                _finite(differences[target]),
                plot.intervals.get(pair, {}).get(target),
                axis,
            )
            for pair, differences in plot.differences.items()
            if target in differences
        ]
        for target in targets
    }
    return Strips(panels, axis.marks(), plot.y_label, zero=axis.at(0.0))


def _box_row(name: str, values: Mapping[str, float], axis: _Axis) -> Row:
    points = [Mark(axis.at(value), f"{label}: {_text(value)}") for label, value in values.items()]
    if not values:
        return Row(name, points, text="no values")
    found = np.array(list(values.values()))
    low, middle, high = (float(each) for each in np.percentile(found, [25, 50, 75]))
    reach = 1.5 * (high - low)
    inner = found[(found >= low - reach) & (found <= high + reach)]
    box = (float(inner.min()), low, middle, high, float(inner.max()))
    first, last = _text(found.min()), _text(found.max())
    text = f"median {_text(middle)}, from {first} to {last}, {len(found)} values"
    placed = tuple(axis.at(each) for each in box)
    return Row(name, points, box=(placed[0], placed[1], placed[2], placed[3], placed[4]), text=text)


def _pair_row(
    name: str,
    values: Mapping[str, float],
    interval: tuple[float, float, float] | None,
    axis: _Axis,
) -> Row:
    points = [Mark(axis.at(value), f"{label}: {_text(value)}") for label, value in values.items()]
    if interval is None or not all(map(math.isfinite, interval)):
        return Row(name, points, text=f"{len(values)} values, no interval")
    estimate, low, high = interval
    text = f"{_text(estimate)}, interval from {_text(low)} to {_text(high)}, {len(values)} values"
    return Row(name, points, interval=(axis.at(low), axis.at(estimate), axis.at(high)), text=text)


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {label: value for label, value in values.items() if math.isfinite(value)}


def _text(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _axis(values: Iterable[float]) -> _Axis:
    found = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(found), max(found)
    if high - low < 1e-6:
        low, high = low - 1, high + 1
    margin = _MARGIN * (high - low)
    low, high = low - margin, high + margin
    step = _step((high - low) / _MOST_TICKS)
    first = math.ceil(low / step)
    ticks = [round(step * number, 9) for number in range(first, math.floor(high / step) + 1)]
    return _Axis(low, high, ticks)


def _step(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, … times a power of ten that is `least` or more."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(
        power * factor for factor in (1.0, 2.0, 5.0, 10.0) if power * factor >= least * 0.999
    )
