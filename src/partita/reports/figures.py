"""Pictures of mixtures, estimates and factorisations as PNG files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from partita.audio.reader import BLOCK_SAMPLES, AudioReader, open_audio
from partita.audio.signal import Audio
from partita.errors import UsageError
from partita.reports._canvas import (
    caption,
    count_axis,
    draw_image,
    draw_spectrogram,
    finish,
    frequency_axis,
    label_x,
    new_figure,
    require_matplotlib,
    time_axis,
)
from partita.reports.spectrogram import (
    Columns,
    Levels,
    PooledSpectrogram,
    decibels,
    pool_spectrogram,
)

__all__ = [
    "Recording",
    "draw_factors",
    "draw_signals",
    "draw_spectrograms",
    "require_matplotlib",
]

_MIXTURE = "mixture"
_PANEL_IN = 1.55
#: More components than that are drawn name by name.
_MOST_ROWS = 16
_ROW_IN = 0.95
_SHARP = 16  # pixels of a component in the picture of many, before it is scaled
_SIGNAL_FLOOR_DB = -80.0
_FACTOR_FLOOR_DB = -60.0  # what is fainter was never part of a component
_INK = "0.2"  # a grey


@dataclass(frozen=True)
class Recording:
    """A stretch of a file.

    Attributes
    ----------
    path : Path
    stream : int, optional
        Which audio stream of the file; by default the one that is separated.
    start_s, duration_s : float
        As `partita.audio.reader.open_audio` takes them.
    """

    path: Path
    stream: int | None = None
    start_s: float = 0.0
    duration_s: float | None = None

    def open(self) -> AudioReader:
        """Open it for reading in blocks; errors are those of `open_audio`."""
        return open_audio(
            self.path, start_s=self.start_s, duration_s=self.duration_s, stream=self.stream
        )


def draw_spectrograms(
    recordings: Mapping[str, Recording], path: Path, *, title: str = "", start_s: float = 0.0
) -> None:
    """Draw the spectrograms of files, one below the other, in memory that does not grow.

    Parameters
    ----------
    recordings : mapping of str to Recording
        One panel each, ``mixture`` first.
    path : Path
        The PNG file.
    title : str
        Above the panels.
    start_s : float
        What the time axis begins with.

    Raises
    ------
    UsageError
        matplotlib is not installed, or there are no recordings.
    AudioReadError, AudioWriteError
    """
    require_matplotlib()
    pooled = {}
    for name, each in recordings.items():
        with each.open() as reader:
            blocks = map(torch.from_numpy, reader.blocks())
            pooled[name] = pool_spectrogram(blocks, reader.sample_rate)
    _draw_panels(pooled, path, title, start_s)


def draw_signals(signals: Mapping[str, Audio], path: Path, *, title: str = "") -> None:
    """Draw the spectrograms of signals in memory, as `draw_spectrograms` does for files."""
    require_matplotlib()
    pooled = {
        name: pool_spectrogram(_blocks(audio.samples), audio.sample_rate)
        for name, audio in signals.items()
    }
    _draw_panels(pooled, path, title, 0.0)


def _blocks(samples: Tensor) -> Iterator[Tensor]:
    return (_plain(block) for block in torch.split(samples, BLOCK_SAMPLES, dim=-1))


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().float()


def _draw_panels(
    pooled: Mapping[str, PooledSpectrogram], path: Path, title: str, start_s: float
) -> None:
    if not pooled:
        raise UsageError("there is no signal to draw")
    names = sorted(pooled, key=lambda name: name != _MIXTURE)
    peaks = {name: float(pooled[name].power.max()) for name in names}
    reference = peaks.get(_MIXTURE) or max(peaks.values())
    figure, panels = new_figure(len(names), _PANEL_IN, title)
    for axes, name in zip(panels[:, 0], names, strict=True):
        signal = pooled[name]
        left_s = start_s + signal.start_s
        span = left_s, left_s + signal.column_s * signal.power.shape[1]
        levels = decibels(signal.power, reference, _SIGNAL_FLOOR_DB)
        image = draw_spectrogram(axes, levels, span, signal.sample_rate / 2, _SIGNAL_FLOOR_DB)
        caption(axes, name)
    frequency_axis(panels[0, 0], max(signal.sample_rate for signal in pooled.values()) / 2)
    time_axis(panels[-1, 0], start_s, start_s + max(signal.end_s for signal in pooled.values()))
    finish(figure, panels, image, path)


def draw_factors(
    templates: Tensor,
    activations: Tensor,
    path: Path,
    *,
    names: Sequence[str],
    sample_rate: int,
    hop_samples: int,
    title: str = "",
) -> None:
    """Draw a factorised spectrogram: templates on the left, their activations on the right.

    Up to 16 components have a row each. More are drawn name by name, the templates side by side
    and the activations as a heat map.

    Parameters
    ----------
    templates : Tensor ``[bins, components]`` or ``[bins, components, lags]``
        Magnitudes, bins from 0 Hz to the Nyquist frequency.
    activations : Tensor ``[components, frames]``
    path : Path
        The PNG file.
    names : sequence of str
        One for each component.
    sample_rate, hop_samples : int
        Of the spectrogram.
    title : str

    Raises
    ------
    UsageError
        matplotlib is not installed, or sizes do not fit.
    AudioWriteError
    """
    require_matplotlib()
    if templates.ndim == 2:
        templates = templates[..., None]
    _check_factors(templates, activations, names)
    templates, activations = _plain(templates), _plain(activations)
    hop_s = hop_samples / sample_rate
    columns = Columns(len(names))
    columns.add((activations * templates.sum(dim=(0, 2))[:, None]).mT)
    powers = templates.square().unbind(dim=1)
    factors = _Factors(
        names=names,
        templates=[decibels(power, float(power.max()), _FACTOR_FLOOR_DB) for power in powers],
        activations=columns.means().mT,
        lags_ms=1000 * hop_s * templates.shape[2],
        column_s=hop_s * columns.run,
        end_s=hop_s * activations.shape[1],
        nyquist_hz=sample_rate / 2,
    )
    draw = _draw_components if len(names) <= _MOST_ROWS else _draw_groups
    draw(factors, path, title)


def _check_factors(templates: Tensor, activations: Tensor, names: Sequence[str]) -> None:
    are_factors = templates.ndim == 3 and activations.ndim == 2
    if are_factors and templates.shape[1] == len(activations) == len(names):
        bins, _, lags = templates.shape
        if bins > 1 and names and lags and activations.shape[1]:
            return
    sizes = f"{list(templates.shape)}, {list(activations.shape)} and {len(names)} names"
    raise UsageError(f"templates, activations and names do not fit together: {sizes}")


@dataclass(frozen=True, eq=False)
class _Factors:
    """What is drawn of a factorised spectrogram.

    Attributes
    ----------
    names : sequence of str
        One for each component.
    templates : sequence of ndarray ``[bins, lags]``
        In dB against the loudest place of each.
    activations : Tensor ``[components, columns]``
        For templates that add up to one, in the unit of the spectrogram.
    lags_ms : float
        Length of a template.
    column_s, end_s : float
        Length of a column of the activations, and of all of them.
    nyquist_hz : float
    """

    names: Sequence[str]
    templates: Sequence[Levels]
    activations: Tensor
    lags_ms: float
    column_s: float
    end_s: float
    nyquist_hz: float


def _draw_components(factors: _Factors, path: Path, title: str) -> None:
    """Draw a row for each component; all activations on one scale."""
    figure, panels = new_figure(len(factors.names), _ROW_IN, title, widths=(1, 6))
    times_s = factors.column_s * np.arange(factors.activations.shape[1])
    for row, (left, right) in enumerate(panels):
        span = 0.0, factors.lags_ms
        image = draw_spectrogram(
            left, factors.templates[row], span, factors.nyquist_hz, _FACTOR_FLOOR_DB
        )
        right.fill_between(times_s, factors.activations[row].numpy(), color=_INK, linewidth=0)
        caption(left, factors.names[row])
    top = 1.05 * float(factors.activations.max())
    panels[0, 1].set_ylim(0, top or 1.0)
    frequency_axis(panels[0, 0], factors.nyquist_hz)
    time_axis(panels[-1, 1], 0.0, factors.end_s)
    label_x(panels[-1, 0], "time (ms)")
    caption(panels[0, 1], "activation", "right")
    finish(figure, panels, image, path)


def _draw_groups(factors: _Factors, path: Path, title: str) -> None:
    """Draw a row for each name: its templates side by side, its activations as a heat map."""
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(factors.names):
        groups.setdefault(name, []).append(index)
    figure, panels = new_figure(len(groups), _PANEL_IN, title, widths=(2, 5), share=False)
    peak = float(factors.activations.max()) ** 2
    end_s = factors.column_s * factors.activations.shape[1]
    for (left, right), (name, members) in zip(panels, groups.items(), strict=True):
        span = 0.5, len(members) + 0.5
        # Repeated, because where pixels blend components must not.
        templates = [factors.templates[index].repeat(_SHARP, axis=1) for index in members]
        draw_spectrogram(
            left, np.concatenate(templates, axis=1), span, factors.nyquist_hz, _FACTOR_FLOOR_DB
        )
        powers = factors.activations[members].square()
        levels = decibels(powers, peak, _FACTOR_FLOOR_DB).repeat(_SHARP, axis=0)
        image = draw_image(right, levels, (0.0, end_s, *span), _FACTOR_FLOOR_DB)
        count_axis(left.xaxis)
        count_axis(right.yaxis)
        frequency_axis(left, factors.nyquist_hz)
        caption(left, name)
        right.sharex(panels[-1, 1])
        right.tick_params(labelbottom=right is panels[-1, 1])
    time_axis(panels[-1, 1], 0.0, factors.end_s)
    label_x(panels[-1, 0], "component")
    caption(panels[0, 1], "activations", "right")
    finish(figure, panels, image, path)
