"""``partita export``."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from partita.cli.console import set_up_logging
from partita.cli.licensing import CommercialOnly, check_licences
from partita.cli.options import Quiet, Verbose
from partita.errors import UsageError, one_line, write_error
from partita.weights.aliases import own_name
from partita.weights.plan import ModelPlan
from partita.weights.resolve import resolve

if TYPE_CHECKING:
    from partita.export.quality import StemLoss
    from partita.export.web import WebPage

_FLOAT32, _FLOAT16, _WEB = "float32", "float16", "web"
_ONNX = "onnx"


def export(
    name: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Weights, a checkpoint, a training's folder, a chain or an ensemble.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="The file; of several models, or a web page, the folder."),
    ],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            help="onnx, pt2 (torch.export), or web: a page that separates in the browser.",
        ),
    ] = "onnx",
    quantise: Annotated[
        str, typer.Option(help="Store weights of ONNX files as float32, float16 or int8.")
    ] = _FLOAT32,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole",
            help="Put transform and masks into the ONNX file: a mixture in, stems out.",
        ),
    ] = False,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Songs, or a data set with true stems, on which to measure what --quantise costs.",
            show_default="an example song",
        ),
    ] = None,
    commercial_only: CommercialOnly = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Export a model for programs without PyTorch, checked against PyTorch."""
    set_up_logging(verbose=verbose, quiet=quiet)
    name = own_name(name)
    plan = resolve(name)
    check_licences([plan], commercial_only=commercial_only)
    if check is not None and quantise == _FLOAT32:
        raise UsageError("--check measures what --quantise float16 or int8 costs")
    if whole and format_ != _ONNX:
        raise UsageError("--whole is for ONNX files")

    def tell(model: str) -> None:
        if not quiet:
            print(f"{one_line(model)}: exporting and checking", flush=True)

    if format_ == _WEB:
        page = _export_page(plan, out, quantise, tell)
        if not quiet:
            print(f"{one_line(out)}: {page.files} files, {page.size / 1e6:.1f} MB; to open it:")
            folder = shlex.quote(one_line(out))
            print(f"  python -m http.server --bind 127.0.0.1 --directory {folder}")
            print("  and in the browser http://127.0.0.1:8000")
        return
    from partita.export.export import export_model

    try:
        made = export_model(
            plan, out, format=format_, quantise=quantise, whole=whole, progress=tell
        )
    except OSError as error:
        raise write_error(out, error) from error
    if not quiet:
        for file in made:
            print(
                f"{one_line(file.path)}: {file.bytes / 1e6:.1f} MB, opset {file.opset}, "
                f"within {file.difference:.0e} of PyTorch"
                if format_ == _ONNX
                else f"{one_line(file.path)}: {file.bytes / 1e6:.1f} MB, "
                f"within {file.difference:.0e} of PyTorch"
            )
    if quantise != _FLOAT32:
        _print_losses(plan, out, quantise, check)


def _export_page(plan: ModelPlan, out: Path, quantise: str, tell: Callable[[str], None]) -> WebPage:
    if quantise not in (_FLOAT32, _FLOAT16):
        raise UsageError(f"--quantise {one_line(quantise)}: pages have weights in float16")
    from partita.export.web import export_page

    return export_page(plan, out, progress=tell)


def _print_losses(plan: ModelPlan, out: Path, quantise: str, songs: Path | None) -> None:
    """Print what quantised weights cost, by stem, as medians over songs."""
    from partita.export.quality import quantisation_losses

    losses = list(quantisation_losses(plan, resolve(str(out)), songs))
    count = len({each.song for each in losses})
    print(f"{quantise} weights, 30 s of {count} {'song' if count == 1 else 'songs'}, medians:")
    for stem in dict.fromkeys(each.stem for each in losses):
        print(f"  {stem}: {_loss([each for each in losses if each.stem == stem])}")


def _loss(losses: Sequence[StemLoss]) -> str:
    agreement = statistics.median(each.agreement_db for each in losses)
    text = f"{agreement:.1f} dB SDR against the stem of float32 weights"
    known = [each for each in losses if each.lost_db is not None]
    if known:
        before = statistics.median(each.before_db or 0.0 for each in known)
        lost = statistics.median(each.lost_db or 0.0 for each in known)
        text += f"; {lost:.3f} dB SDR lost of {before:.2f}"
    return text
