"""``partita train``."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Self

import typer

from partita.cli.console import ProgressDisplay, format_time, print_error, set_up_logging
from partita.cli.licensing import CommercialOnly, check_licences
from partita.cli.options import Quiet, Verbose
from partita.errors import AudioWriteError, ModelError, UsageError, one_line, write_error
from partita.training.process import prepare_process
from partita.weights.resolve import resolve

if TYPE_CHECKING:
    from partita.training.run_folder import RunFolder

_READING = "reading the data set"


def train(
    recipe: Annotated[
        str, typer.Argument(help="Name of a recipe (partita models lists them), or a .toml file.")
    ],
    data: Annotated[Path, typer.Option(help="Data set with the true stems.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the weights.", show_default="runs/RECIPE"),
    ] = None,
    settings: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting of the recipe; may be repeated."
        ),
    ] = [],  # noqa: B006 (typer copies it)
    sources: Annotated[
        str | None,
        typer.Option(help="Sources to separate, such as flute,guitar; the same as --set sources=…"),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="WEIGHTS",
            help="Start from weights: a name, a checkpoint, the folder of a training.",
        ),
    ] = None,
    subset: Annotated[
        str | None,
        typer.Option(help="Subset of training tracks.", show_default="train, if there is one"),
    ] = None,
    layout: Annotated[
        str,
        typer.Option(help="Layout of the data set, as in partita data info; unaligned: SOURCE/*."),
    ] = "auto",
    commercial_only: CommercialOnly = False,
    device: Annotated[str, typer.Option(help="Device: auto, cpu, cuda, cuda:N.")] = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the training in the folder.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the training in the folder.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Train a model on a data set.

    Ctrl-C and SIGTERM save the state of the training; --resume continues to
    the same weights as an uninterrupted training. In several processes:
    torchrun --nproc-per-node N -m partita train …

    Exit status: 0 done, 1 something cannot be read or written, 2 wrong usage.
    """
    prepare_process()
    is_first = int(os.environ.get("RANK", "0")) == 0  # one process prints for all
    quiet = quiet or not is_first
    set_up_logging(verbose=verbose, quiet=quiet)
    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other")
    if start:
        plan = resolve(start)
        start = plan.name
        check_licences([plan], commercial_only=commercial_only)
    if sources is not None:
        settings = [*settings, f"sources={sources}"]
    folder = out or Path("runs") / Path(recipe).name.removesuffix(".toml")
    from partita.training.recipes import DICTIONARIES, load_recipe

    if recipe == DICTIONARIES:
        if resume or start:
            raise UsageError(f"recipe {recipe!r} takes a minute: it has no --resume and no --from")
        return _learn_dictionaries(data, folder, settings, (subset, layout), overwrite, quiet)
    try:
        import lightning_fabric  # noqa: F401
    except ImportError as error:
        raise UsageError('training needs Lightning Fabric: pip install "partita[train]"') from error
    from partita.devices import choose_device
    from partita.training.run import Start, train

    chosen = Start(load_recipe(recipe), settings, start)
    with _Display(enabled=not quiet) as display, _Signals(display) as signals:
        try:
            run = train(
                chosen,
                data,
                folder,
                observer=display,
                subset=subset,
                layout=layout,
                device=choose_device(device),
                resume=resume,
                overwrite=overwrite,
                progress=display.reading,
                cancel=signals.cancel,
            )
        except InterruptedError:
            _draw(folder, is_first)
            display.say(f"{one_line(folder)}: state saved; --resume continues from it", error=True)
            signals.end()
    _draw(folder, is_first)
    if not quiet:
        _summarise(run)
    return 0


class _Display(ProgressDisplay):
    """Shows a training: a progress bar on a terminal, lines elsewhere."""

    _INTERVAL_S = 10.0

    def __init__(self, *, enabled: bool) -> None:
        super().__init__(enabled=enabled)
        self._reads: Any = None
        self._shows: Any = None
        self._begun: tuple[float, int] | None = None
        self._printed_s, self._text = 0.0, ""

    def say(self, line: str, *, error: bool = False) -> None:
        """Print a line, unless quiet."""
        if self._enabled:
            self.print(line, error=error)

    def reading(self, done_s: float, total_s: float | None) -> None:
        """Show the progress of reading a data set."""
        if self._reads is None:
            self._reads = self.song(_READING)
        self._reads(done_s, total_s)

    @property
    def has_begun(self) -> bool:
        """Whether a step is done."""
        return self._begun is not None

    def step(self, step: int, steps: int, loss: float) -> None:
        """Show a step."""
        now = time.monotonic()
        if self._begun is None:
            self._begun = now, step
            self.finish(_READING)
            self._shows = self.steps(steps)
            return
        since, first = self._begun
        rate = (step - first) / max(now - since, 1e-9)
        self._text = f"{rate:.3g} steps/s, {format_time((steps - step) / max(rate, 1e-9))} left"
        self._shows(step, f"step {step} of {steps} · loss {loss:.4g} · {rate:.3g} steps/s")

    def epoch(self, row: Mapping[str, float]) -> None:
        """Print an epoch; without a progress bar, at most every few seconds."""
        now = time.monotonic()
        if not self._enabled or (now - self._printed_s < self._INTERVAL_S and not self._bar):
            return
        self._printed_s = now
        parts = [f"epoch {row['epoch']:.0f}"]
        for part in ("train", "valid"):
            if part in row:
                each = [f"{k.partition('_')[2]} {v:.3g}" for k, v in row.items()
                        if k.startswith(f"{part}_")]  # fmt: skip
                parts.append(f"{part} {row[part]:.4g} ({', '.join(each)})")
        if not self._bar:  # it prints that itself
            parts.append(self._text)
        self.print(" · ".join(filter(None, parts)), error=True)


class _Signals:
    """Ctrl-C and SIGTERM: the first ends the training after the current step, the second at once.

    Before the first step is done there is nothing to save, and the first signal ends the program.
    """

    _WATCHED = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, display: _Display) -> None:
        self.cancel = threading.Event()
        self._display, self._last = display, int(signal.SIGINT)
        self._before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def __enter__(self) -> Self:
        for each in self._WATCHED:
            handler = signal.getsignal(each)
            if callable(handler):  # otherwise the parent process ignores it
                self._before[each] = handler
                signal.signal(each, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._last, is_last = number, self.cancel.is_set() or not self._display.has_begun
        self.cancel.set()
        if is_last:
            self._before[number](number, frame)

    def end(self) -> NoReturn:
        """End the program as the signal would."""
        self._before[self._last](self._last, None)
        raise KeyboardInterrupt


def _draw(folder: Path, is_first: bool) -> None:
    """Draw the losses, if matplotlib is installed."""
    from partita.reports._canvas import require_matplotlib
    from partita.reports.losses import draw_losses
    from partita.training.run_folder import RunFolder, read_losses

    losses = RunFolder(folder).losses
    if not (is_first and losses.exists()):
        return
    with contextlib.suppress(UsageError):
        require_matplotlib()
        try:
            draw_losses(read_losses(losses), folder / "losses.png", title=one_line(folder))
        except AudioWriteError as error:  # the weights are saved in any case
            print_error(f"warning: {error}")


def _summarise(run: RunFolder) -> None:
    from partita.training.run_folder import read_losses

    rows = read_losses(run.losses)
    watched = "valid" if "valid" in rows[0] else "train"
    best = min(rows, key=lambda row: row[watched]) if watched == "valid" else rows[-1]
    name = one_line(run.path)
    print(f"{one_line(run.model)}: epoch {best['epoch']:.0f}, {watched} loss {best[watched]:.4g}")
    print(
        f"  {rows[-1]['epoch']:.0f} epochs in {format_time(rows[-1]['seconds'])} · {name}/losses.*"
    )
    print(f"  use it: partita separate SONG --model {name}")


def _learn_dictionaries(
    data: Path,
    folder: Path,
    settings: list[str],
    chosen_tracks: tuple[str | None, str],
    overwrite: bool,
    quiet: bool,
) -> int:
    """Learn the dictionaries of NMFD, by factorisation instead of gradients."""
    path = folder / "nmfd.safetensors"
    if path.exists() and not overwrite:
        raise UsageError(f"{one_line(path)} exists; --overwrite replaces it")
    from partita.datasets import open_dataset
    from partita.training.nmf_training.dictionaries import DictionaryRecipe, learn_dictionaries
    from partita.weights.checkpoint import save_checkpoint

    chosen = DictionaryRecipe.from_settings(settings)
    subset, layout = chosen_tracks
    dataset = open_dataset(data, subset=subset, layout=layout)
    if subset is None and any(track.subset == "train" for track in dataset):
        dataset = open_dataset(data, subset="train", layout=layout)
    with ProgressDisplay(enabled=not quiet) as display:
        for problem in () if quiet else (*dataset.problems, *dataset.warnings):
            display.print(f"partita: warning: {problem}", error=True)
        try:
            model = learn_dictionaries(dataset, chosen, progress=display.count("learning, step"))
        except ModelError as error:  # of --set
            raise UsageError(str(error)) from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_checkpoint(path, model)
    except OSError as error:
        raise write_error(path, error) from error
    if not quiet:
        names = ", ".join(model.config.learned)
        print(f"{one_line(path)}: {model.config.components} templates each of {names}")
        print(f"  use it: partita separate SONG --model {one_line(path)}")
    return 0
