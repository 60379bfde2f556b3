"""The command line with all its commands."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from partita import __version__
from partita.cli import (
    catalogue,
    compare,
    data,
    doctor,
    evaluate,
    export,
    mix,
    models,
    separate,
    serve,
    train,
)
from partita.cli.commands import Command, Commands, Group, SeparateCommand, wrong_usage
from partita.cli.console import print_error
from partita.errors import PartitaError, UsageError, one_line

app = typer.Typer(
    name="partita",
    cls=Commands,
    help="Music source separation: separate songs into stems, train and score models.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("separate", cls=SeparateCommand)(separate.separate)
app.add_typer(models.app, name="models", cls=Group)
app.command("mix", cls=Command)(mix.mix)
app.command("evaluate", cls=Command)(evaluate.evaluate)
app.command("benchmark", cls=Command)(evaluate.benchmark)
# A shell makes several arguments of the files behind --listening-results.
app.command("compare", cls=Command, context_settings={"allow_extra_args": True})(compare.compare)
app.command("train", cls=Command)(train.train)
app.add_typer(data.app, name="data", cls=Group)
app.add_typer(catalogue.app, name="catalogue", cls=Group)
app.command("export", cls=Command)(export.export)
app.command("serve", cls=Command)(serve.serve)
app.command("doctor", cls=Command)(doctor.doctor)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"partita {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Music source separation."""


def run() -> int:
    """Run the command line; return 0: all done, 1: something failed, 2: wrong usage."""
    command = typer.main.get_command(app)
    try:
        return int(command.main(prog_name="partita", standalone_mode=False) or 0)
    except UsageError as error:
        print_error(str(error))
        return 2
    except PartitaError as error:
        print_error(str(error))
        logging.getLogger(__name__).debug("traceback", exc_info=True)
        return 1
    except Exception as error:
        # Typer's own exceptions, whichever package they come from, can format themselves.
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            print_error(one_line(wrong_usage(error)))
            return int(error.exit_code)
        raise
