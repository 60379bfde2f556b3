"""``partita train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from partita.cli.console import ProgressDisplay, set_up_logging
from partita.errors import (
    ModelError,
    UnknownNameError,
    UsageError,
    one_line,
    write_error,
)

_RECIPES = ("nmfd",)


def train(
    recipe: Annotated[str, typer.Argument(help=f"What to train: {', '.join(_RECIPES)}.")],
    data: Annotated[Path, typer.Option(help="Data set with the true stems.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the weights.", show_default="runs/RECIPE"),
    ] = None,
    settings: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe; may be repeated."),
    ] = [],  # noqa: B006 (typer copies it)
    subset: Annotated[
        str | None,
        typer.Option(help="Learn from these tracks.", show_default="train, where there is one"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace weights that are there.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show details.")] = False,
) -> int:
    """Learn weights from a data set.

    Exit status: 0 done, 1 something cannot be read or written, 2 wrong usage.
    """
    set_up_logging(verbose=verbose, quiet=quiet)
    if recipe not in _RECIPES:
        raise UnknownNameError("recipe", recipe, _RECIPES)
    path = (out or Path("runs") / recipe) / f"{recipe}.safetensors"
    if path.exists() and not overwrite:
        raise UsageError(f"{one_line(path)} is there already; --overwrite replaces it")
    from partita.datasets import open_dataset
    from partita.training.dictionaries import DictionaryRecipe, learn_dictionaries
    from partita.weights.checkpoint import save_checkpoint

    chosen = DictionaryRecipe.from_settings(settings)
    dataset = open_dataset(data, subset=subset)
    if subset is None and any(track.subset == "train" for track in dataset):
        dataset = open_dataset(data, subset="train")
    with ProgressDisplay(enabled=not quiet) as display:
        for problem in () if quiet else dataset.problems:
            display.print(f"partita: warning: {problem}", error=True)
        try:
            model = learn_dictionaries(
                dataset, chosen, steps=lambda total: display.count("learning, step", total)
            )
        except ModelError as error:  # what --set asked for
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
