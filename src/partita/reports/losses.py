"""A picture of how a training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from partita.reports._canvas import (
    caption,
    count_axis,
    label_x,
    new_figure,
    render,
    show_plainly,
    write_picture,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANELS = {"train": "training", "valid": "validation"}
_HEIGHT_IN = 4.2
_ROOM = 1.05  # factor between the curves and the edges
_FAR, _DECADES = 5.0, 1000.0  # highest loss by lowest
_NAME_CHARS = 30
_MARKED = 60  # epochs: fewer than these have a dot each


def draw_losses(history: Sequence[Mapping[str, float]], path: Path, *, title: str) -> None:
    """Draw the losses of every source, and their whole in black, epoch by epoch.

    Parameters
    ----------
    history : sequence of mapping
        Rows of ``losses.csv``, at least one: ``epoch``, ``train``, ``train_SOURCE``, and the same
        for ``valid`` where something was held out.
    path : Path
        A PNG.
    title : str

    Raises
    ------
    AudioWriteError
        The picture cannot be written.
    """
    parts = [part for part in _PANELS if part in history[0]]
    figure, panels = new_figure(1, _HEIGHT_IN, title, widths=[1.0] * len(parts), share=False)
    values = [row[key] for row in history for key in row if key.partition("_")[0] in parts]
    for part, axes in zip(parts, panels[0], strict=True):
        _draw(axes, history, part)
        caption(axes, _PANELS[part])
        count_axis(axes.xaxis)
        label_x(axes, "epoch")
        _scale(axes, values)
    panels[0][0].set_ylabel("loss", fontsize=9)
    write_picture(render(figure), path)


def _draw(axes: Axes, history: Sequence[Mapping[str, float]], part: str) -> None:
    epochs = [row["epoch"] for row in history]
    marker = "." if len(epochs) < _MARKED else ""
    keys = [key for key in history[0] if key.startswith(f"{part}_")]
    lines = [
        axes.plot(epochs, [row[key] for row in history], marker=marker, lw=1.2)[0] for key in keys
    ]
    whole = [row[part] for row in history]
    lines += axes.plot(epochs, whole, marker=marker, color="black", lw=2.0)
    names = [*(key.removeprefix(f"{part}_") for key in keys), "mean" if len(keys) > 1 else "loss"]
    # Named afterwards: matplotlib leaves out names that begin with an underscore.
    legend = axes.legend(lines, ["…"] * len(lines), fontsize=8, frameon=False)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)
        show_plainly(text, _NAME_CHARS)
    axes.grid(visible=True, which="both", color="0.9", lw=0.6)


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """Give all panels one scale: logarithmic where losses are positive and fall far."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = min(values), max(values)
    if low > 0 and high >= _FAR * low:
        axes.set_yscale("log")
        axes.set_ylim(low / _ROOM, high * _ROOM)
        digits = [1.0, 2.0, 5.0] if high < _DECADES * low else [1.0]
        axes.yaxis.set_major_locator(LogLocator(subs=digits))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        room = (_ROOM - 1) * ((high - low) or 1.0)
        axes.set_ylim(low - room, high + room)
