"""``partita compare``."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from partita.cli.comparison import print_comparison
from partita.cli.console import ProgressDisplay, set_up_logging
from partita.cli.licensing import CommercialOnly, check_licences
from partita.cli.listening import make_listening_test, read_listeners, show_listeners
from partita.cli.terminal import fitting, terminal_columns
from partita.errors import UsageError, one_line
from partita.stem_names import normal_name
from partita.weights.resolve import resolve

if TYPE_CHECKING:
    from partita.comparison.results import Comparison, Entrant, EntrantResult


def compare(
    context: typer.Context,
    data: Annotated[Path, typer.Option("--data", help="Data set with the true stems.")],
    entrants: Annotated[
        list[str],
        typer.Option(
            "--entrants",
            "--model",
            "-n",
            metavar="NAME",
            help="Weights, a checkpoint, the folder of a training, a chain (a+b), an ensemble "
            "(a,b), an oracle (mixture, ibm, irm1, irm2, mwf), or a .toml file of entrants; may be "
            "repeated.",
            show_default="mixture, four-stems, mwf",
        ),
    ] = [],  # noqa: B006 (typer copies it)
    recipes: Annotated[
        list[str],
        typer.Option(
            "--train",
            metavar="RECIPE",
            help="Train a recipe on the tracks that are not scored, and compare it, too; may be "
            "repeated.",
        ),
    ] = [],  # noqa: B006 (typer copies it)
    settings: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting of all recipes, such as epochs=5; may be repeated.",
        ),
    ] = [],  # noqa: B006 (typer copies it)
    seeds: Annotated[
        str, typer.Option(help="Train each recipe once with each of these seeds, such as 0,1,2.")
    ] = "0",
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for page, tables and scores.")
    ] = Path("comparison"),
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder of trainings, estimates and scores that are not computed again.",
            show_default="OUT/cache",
        ),
    ] = None,
    subset: Annotated[
        str | None,
        typer.Option(
            help="Subset that is scored: train, valid or test.",
            show_default="test, if there is one",
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="Compare this much of each track, from its middle.", show_default="all"),
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            help="Targets to score together, such as vocals,accompaniment or drums+bass,other."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed of which tracks are scored, and of intervals.")
    ] = 0,
    device: Annotated[
        str, typer.Option("--device", "-d", help="Device: auto, cpu, cuda[:N], mps.")
    ] = "auto",
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", min=1, help="Number of tracks scored at once.", show_default="auto"
        ),
    ] = None,
    listening: Annotated[
        bool, typer.Option("--listening", help="Make a blind listening test in OUT/listening, too.")
    ] = False,
    listening_results: Annotated[
        list[Path],
        typer.Option(
            "--listening-results",
            metavar="FILE...",
            help="Read answers to the listening test in OUT: files that listeners' browsers saved, "
            "or their folder.",
        ),
    ] = [],  # noqa: B006 (typer copies it)
    commercial_only: CommercialOnly = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for each entrant.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print details.")] = False,
) -> int:
    """Compare separators on a data set: train, separate, score, report.

    What is in the cache is not computed again: an interrupted comparison goes
    on, and a changed one computes what has changed.

    Exit status: 0 all done, 1 some entrant or track failed, 2 wrong usage.
    """
    set_up_logging(verbose=verbose, quiet=quiet or as_json)
    from partita.comparison.entrants import (
        DEFAULT_ENTRANTS,
        check_entrants,
        named_entrants,
        trained_entrants,
    )
    from partita.comparison.manifest import manifest_of
    from partita.comparison.options import CompareOptions
    from partita.comparison.output import OutputFolder
    from partita.comparison.run import compare as run_comparison
    from partita.datasets import open_dataset
    from partita.evaluation.scoring import ScoreOptions

    answers = read_listeners(listening_results, context.args, out)
    if settings and not recipes:
        raise UsageError("--set needs --train, whose recipes it changes")
    chosen = named_entrants(entrants or DEFAULT_ENTRANTS)
    chosen += trained_entrants(recipes, settings, _numbers(seeds))
    check_entrants(chosen)
    _check_licences(chosen, commercial_only)
    names = tuple(normal_name(name.strip()) for name in targets.split(",")) if targets else ()
    options = CompareOptions(
        score=ScoreOptions(targets=names),
        subset=subset,
        seconds=seconds,
        seed=seed,
        device=device,
        jobs=jobs,
    )
    dataset, cache = open_dataset(data), cache or out / "cache"
    with ProgressDisplay(enabled=not (quiet or as_json)) as display:
        for problem in (*dataset.problems, *dataset.warnings):
            display.print(f"partita: warning: {problem}", error=True)
        comparison = run_comparison(dataset, chosen, options, cache=cache, progress=display.work())
    command = shlex.join(["partita", *sys.argv[1:]])
    manifest = manifest_of(comparison, dataset, cache, command=command, device=device)
    OutputFolder(out).write(comparison, manifest)
    status = _tell(comparison, out, as_json=as_json, quiet=quiet)
    if answers is not None:
        show_listeners(comparison, answers, out, quiet=quiet or as_json)
        status |= bool(answers.problems)
    if listening:
        make_listening_test(comparison, cache, out, quiet=quiet or as_json)
    return status


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--seeds {one_line(text)}: type whole numbers, such as 0,1,2") from None


def _check_licences(entrants: Sequence[Entrant], commercial_only: bool) -> None:
    from partita.evaluation.oracles import ORACLES

    plans = [resolve(each.model) for each in entrants if each.model and each.model not in ORACLES]
    check_licences(plans, commercial_only=commercial_only)


def _tell(comparison: Comparison, out: Path, *, as_json: bool, quiet: bool) -> int:
    """Print what a comparison found; return the exit status."""
    from partita.cli.console import print_error
    from partita.evaluation.tables import comparison_rows

    failed = []
    for result in comparison.results:
        name = one_line(result.entrant.name)
        failed += [f"{name}: {track or 'all tracks'}" for track in result.failures]
        for line in result.failures.values():
            print_error(f"{name}: {line}")
        if as_json:
            print(json.dumps(_as_json(result)), flush=True)
    if not (as_json or quiet):
        systems = {each.entrant.name: list(each.scores.values()) for each in comparison.results}
        rows = comparison_rows({name: scores for name, scores in systems.items() if scores})
        print_comparison(rows, failed, [_tracks_line(comparison)], elsewhere="--json")
        _print_costs(comparison.results)
        print(f"{one_line(out)}: scores/, manifest.json")
    return int(bool(failed))


def _tracks_line(comparison: Comparison) -> str:
    parts = [f"scored: {len(comparison.tracks)} of {len(comparison.tracks) + _others(comparison)}"]
    if comparison.seconds is not None:
        parts.append(f"{comparison.seconds:g} s from the middle of each")
    if comparison.trained_on:
        drawn = f", drawn with seed {comparison.seed}" if comparison.is_drawn else ""
        parts.append(f"trained on {len(comparison.trained_on)} others{drawn}")
    return "; ".join(parts)


def _others(comparison: Comparison) -> int:
    return len(comparison.trained_on)


def _as_json(result: EntrantResult) -> dict[str, Any]:
    return {
        "entrant": result.entrant.name,
        "model": result.entrant.model or str(result.run),
        "costs": dataclasses.asdict(result.costs),
        "null_depth_db": dict(result.null_depth_db),
        "failures": dict(result.failures),
        "scores": [scores.to_json() for scores in result.scores.values()],
    }


def _print_costs(results: Sequence[EntrantResult]) -> None:
    """Print the costs of all entrants; columns that do not fit are left out."""
    rows = [["entrant", "× real time", "memory MB", "parameters", "null dB", "licence"]]
    for result in results:
        costs, depths = result.costs, list(result.null_depth_db.values())
        rows.append(
            [
                one_line(result.entrant.name),
                _figure(costs.times_realtime, ".3g"),
                _figure(costs.memory_mb, ".0f"),
                _figure(costs.parameters, ","),
                _figure(max(depths, default=None), ".1f"),
                one_line(costs.licence or "–"),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = fitting(widths, [5, 4, 3, 2], terminal_columns())
    print()
    for row in rows:
        left = {0, 5}
        cells = [row[i].ljust(widths[i]) if i in left else row[i].rjust(widths[i]) for i in shown]
        print("  ".join(cells).rstrip())


def _figure(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
