"""Common parts of all figures: size, texts, axes, colours and the file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from partita.errors import UsageError, write_error
from partita.files import whole_file
from partita.reports.spectrogram import Levels, on_scale, rows_on_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from matplotlib.text import Text
    from PIL.Image import Image

#: Axes ``[rows, columns]``.
PanelGrid = npt.NDArray[Any]

_WIDTH_IN = 12.0
_MARGIN_IN = 0.9  # title and time axis together
_BAR_IN = 0.16
_DPI = 150
_COLOURS = "magma"
_COLOUR_STEPS, _GREY_STEPS = 80, 16  # a dB or less each; greys are the edges of letters
_FONT = "DejaVu Sans"  # comes with matplotlib
_TICK_PT, _LABEL_PT, _TITLE_PT = 8, 9, 11
_TITLE_CHARS, _CAPTION_CHARS = 110, 90  # fit into the width, unless most of them are wide
_LABELLED_HZ = {100: "100", 1000: "1k", 10000: "10k"}
_MARKED_HZ = [digit * decade for decade in _LABELLED_HZ for digit in range(2, 10)]
_CLOCK_FROM_S = 120.0
_CLOCK_SPAN_S = 10.0  # ticks are less than a second apart in less than that
_CLOCK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)
_MOST_TICKS = 12


def require_matplotlib() -> None:
    """Make sure that figures can be drawn, before any work is done for them.

    Raises
    ------
    UsageError
        matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise UsageError('figures need matplotlib: pip install "partita[report]"') from error


def new_figure(
    rows: int, row_in: float, title: str, *, widths: Sequence[float] = (1.0,), share: bool = True
) -> tuple[Figure, PanelGrid]:
    """Return a figure and its panels.

    Parameters
    ----------
    rows : int
    row_in : float
        Height of a row in inches.
    title : str
        Above all panels.
    widths : sequence of float
        Of the columns, in proportion.
    share : bool
        The panels of a column have the same axes, labelled at the lowest one.

    Returns
    -------
    Figure
    ndarray of Axes ``[rows, columns]``
    """
    from matplotlib.figure import Figure

    figure = Figure((_WIDTH_IN, _MARGIN_IN + row_in * rows), dpi=_DPI, layout="constrained")
    if title:
        show_plainly(figure.suptitle(title, fontsize=_TITLE_PT), _TITLE_CHARS)
    shared: Literal["col", "none"] = "col" if share else "none"
    panels: PanelGrid = figure.subplots(
        rows, len(widths), sharex=shared, sharey=shared, squeeze=False, width_ratios=widths
    )
    for axes in panels.flat:
        axes.tick_params(labelsize=_TICK_PT)
    return figure, panels


def caption(axes: Axes, name: str, side: Literal["left", "right"] = "left") -> None:
    """Write a name above one end of a panel."""
    text = axes.set_title(name, loc=side, fontsize=_LABEL_PT, fontweight="bold", pad=3)
    show_plainly(text, _CAPTION_CHARS)


def show_plainly(text: Text, most_chars: int) -> None:
    """Show what people named as it is: no formulas between dollars, no letters the font lacks."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    known = get_font(findfont(FontProperties(family=_FONT))).get_charmap()
    shown = "".join(char if ord(char) in known else "\N{WHITE SQUARE}" for char in text.get_text())
    if len(shown) > most_chars:
        shown = shown[: most_chars - 1] + "…"
    text.set(text=shown, parse_math=False, fontfamily=_FONT)


def draw_spectrogram(
    axes: Axes, levels: Levels, span: tuple[float, float], nyquist_hz: float, floor_db: float
) -> AxesImage:
    """Draw ``[bins, columns]`` in dB from one place of the x axis to another."""
    extent = *span, 0.0, float(on_scale(nyquist_hz))
    return draw_image(axes, rows_on_scale(levels, nyquist_hz), extent, floor_db)


def draw_image(
    axes: Axes, levels: Levels, extent: tuple[float, float, float, float], floor_db: float
) -> AxesImage:
    """Draw ``[rows, columns]`` in dB, from left to right and from bottom to top of `extent`."""
    axes.set_facecolor("black")  # where one signal is shorter than another
    return axes.imshow(
        levels,
        origin="lower",
        aspect="auto",
        extent=extent,
        vmin=floor_db,
        vmax=0.0,
        cmap=_colours(),
        interpolation_stage="data",  # colours, when blended, leave the map
    )


def frequency_axis(axes: Axes, nyquist_hz: float) -> None:
    """Label the y axis, which lies on the scale of `on_scale`."""
    shown = [hertz for hertz in _LABELLED_HZ if hertz <= nyquist_hz]
    marked = [hertz for hertz in _MARKED_HZ if hertz <= nyquist_hz]
    axes.set_ylim(0.0, float(on_scale(nyquist_hz)))
    axes.set_yticks(on_scale(shown), labels=[_LABELLED_HZ[hertz] for hertz in shown])
    axes.set_yticks(on_scale(marked), minor=True)
    axes.tick_params(axis="y", which="minor", length=2)


def time_axis(axes: Axes, start_s: float, end_s: float) -> None:
    """Label the x axis in seconds, from two minutes on in minutes and seconds."""
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    axes.set_xlim(start_s, end_s)
    length_s = end_s - start_s
    is_clock = end_s > _CLOCK_FROM_S and length_s > _CLOCK_SPAN_S
    if is_clock:
        hours = math.ceil(length_s / (3600 * _MOST_TICKS))
        fitting = (step for step in _CLOCK_STEPS_S if length_s <= step * _MOST_TICKS)
        axes.xaxis.set_major_locator(MultipleLocator(next(fitting, 3600 * hours)))
        axes.xaxis.set_major_formatter(FuncFormatter(_clock))
    label_x(axes, "time (m:ss)" if is_clock else "time (s)")


def label_x(axes: Axes, text: str) -> None:
    """Label the x axis."""
    axes.set_xlabel(text, fontsize=_LABEL_PT)


def _clock(seconds: float, _: int | None) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def count_axis(axis: Axis) -> None:
    """Label an axis with whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))


def finish(figure: Figure, panels: PanelGrid, image: AxesImage, path: Path) -> None:
    """Add the labels and the colour bar of all panels and write the file; whole or not at all.

    Raises
    ------
    AudioWriteError
    """
    from matplotlib.ticker import MultipleLocator

    figure.supylabel("frequency (Hz)", fontsize=_LABEL_PT)
    length = figure.get_figheight() / _BAR_IN
    bar = figure.colorbar(image, ax=panels, pad=0.01, fraction=0.03, aspect=length)
    bar.locator = MultipleLocator(20)
    bar.set_label("dB", fontsize=_LABEL_PT)
    bar.ax.tick_params(labelsize=_TICK_PT)
    write_picture(_render(figure), path)


def write_picture(picture: Image, path: Path) -> None:
    """Write a PNG; whole or not at all.

    Raises
    ------
    AudioWriteError
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            picture.save(partial, format="png", dpi=(_DPI, _DPI), optimize=True)
    except OSError as error:
        raise write_error(path, error) from error


def _colours() -> Colormap:
    import matplotlib

    return matplotlib.colormaps[_COLOURS].resampled(_COLOUR_STEPS)


def render(figure: Figure) -> Image:
    """Return the picture of a figure."""
    import PIL.Image  # which matplotlib needs, too
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return PIL.Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]


def _render(figure: Figure) -> Image:
    """Return the picture in its own few colours, a quarter of the bytes of a full one."""
    import PIL.Image

    full = render(figure)
    colours = _colours()(range(_COLOUR_STEPS), bytes=True)[:, :3]
    greys = np.linspace(0, 255, _GREY_STEPS).round().astype(np.uint8)[:, None].repeat(3, axis=1)
    palette = PIL.Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([colours, greys]).tobytes())
    return full.quantize(palette=palette, dither=PIL.Image.Dither.NONE)
