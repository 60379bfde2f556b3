"""``partita compare``."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from partita.cli.compare_output import tell_comparison
from partita.cli.console import ProgressDisplay, set_up_logging
from partita.cli.licensing import CommercialOnly, check_licences
from partita.cli.listening import make_listening_test, read_listeners, tell_listeners
from partita.cli.options import Device, Quiet, Verbose
from partita.errors import UnknownNameError, UsageError, one_line
from partita.stem_names import normal_name
from partita.weights.resolve import resolve

if TYPE_CHECKING:
    from partita.comparison.options import CompareOptions
    from partita.comparison.results import Comparison, Entrant
    from partita.datasets import Dataset
    from partita.reports.content import Section

_PRESETS = ("paper",)
_log = logging.getLogger(__name__)


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
    preset: Annotated[
        str | None,
        typer.Option(
            help="paper: compare the systems of the paper instead, and test its hypotheses."
        ),
    ] = None,
    budget: Annotated[
        str,
        typer.Option(help="How much --preset trains and scores: minutes, hours or paper."),
    ] = "minutes",
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
        int,
        typer.Option(min=0, help="Random seed of scored tracks, intervals and listening tests."),
    ] = 0,
    device: Device = "auto",
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", min=1, help="Number of tracks scored at once.", show_default="auto"
        ),
    ] = None,
    songs: Annotated[int, typer.Option(min=0, help="Number of tracks that the page plays.")] = 10,
    audio: Annotated[
        str, typer.Option(help="Format of the page's audio: opus, or flac for Safari before 18.4.")
    ] = "opus",
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
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Compare separators on a data set: train, separate, score, report.

    What is in the cache is not computed again: an interrupted comparison goes
    on, and a changed one computes what has changed.

    Exit status: 0 all done, 1 some entrant or track failed, 2 wrong usage.
    """
    set_up_logging(verbose=verbose, quiet=quiet or as_json)
    from partita.comparison.blind_quality import quality_sections
    from partita.comparison.listening import listening_sections
    from partita.comparison.options import CompareOptions
    from partita.comparison.output import require_packages, write_results
    from partita.comparison.sections import standard_sections
    from partita.evaluation.scoring import ScoreOptions
    from partita.reports.page.coding import page_coding

    require_packages()
    page_coding(audio, 44100)  # refuses an unknown format before anything is computed
    answers = read_listeners(listening_results, context.args, out)
    if settings and not recipes:
        raise UsageError("--set needs --train, whose recipes it changes")
    names = tuple(normal_name(name.strip()) for name in targets.split(",")) if targets else ()
    options = CompareOptions(
        score=ScoreOptions(targets=names),
        subset=subset,
        seconds=seconds,
        seed=seed,
        device=device,
        jobs=jobs,
    )
    with ProgressDisplay(enabled=not (quiet or as_json)) as display:
        run = _Run(data, out, cache or out / "cache", options, commercial_only, display)
        if preset is None:
            found = run.entrants(entrants, trained=(recipes, settings, seeds))
        else:
            chosen = [entrants, recipes, targets, subset, seconds]
            if any(chosen):
                raise UsageError("--preset chooses entrants, tracks and targets by itself")
            found = run.preset(preset, budget)
    status = tell_comparison(found.comparison, as_json=as_json, quiet=quiet)
    status |= bool(found.dataset.problems)
    heard = [] if answers is None else listening_sections(found.comparison, answers)
    with ProgressDisplay(enabled=not (quiet or as_json)) as display:
        blind = quality_sections(
            found.comparison, run.cache, progress=display.count("without references: estimates")
        )
        page = write_results(
            found.comparison,
            [*found.sections, *standard_sections(found.comparison), *blind, *heard],
            out,
            dataset=found.dataset,
            cache=run.cache,
            command=shlex.join(["partita", *sys.argv[1:]]),
            device=device,
            title=found.title,
            most_songs=songs,
            audio=audio,
            progress=display.count("page: signal"),
        )
    if not (as_json or quiet):
        print(f"\n{one_line(page)}: open it in a browser; tables and scores lie beside it")
    if answers is not None:
        tell_listeners(heard, answers, out, quiet=quiet or as_json)
        status |= bool(answers.problems)
    if listening:
        make_listening_test(found.comparison, run.cache, out, quiet=quiet or as_json)
    return status


@dataclass(frozen=True)
class _Found:
    """What was compared.

    Attributes
    ----------
    comparison : Comparison
    dataset : Dataset
    sections : sequence of Section
        Of a preset.
    title : str
    """

    comparison: Comparison
    dataset: Dataset
    sections: Sequence[Section] = ()
    title: str = ""


@dataclass(frozen=True)
class _Run:
    """A comparison as the options say."""

    data: Path
    out: Path
    cache: Path
    options: CompareOptions
    commercial_only: bool
    display: ProgressDisplay

    @cached_property
    def _progress(self) -> Callable[[str, float, float], None]:
        return self.display.work()

    def entrants(
        self, names: Sequence[str], *, trained: tuple[Sequence[str], Sequence[str], str]
    ) -> _Found:
        """Compare named entrants, and trained ones: of recipes, settings and seeds."""
        from partita.comparison.entrants import (
            DEFAULT_ENTRANTS,
            check_entrants,
            named_entrants,
            trained_entrants,
        )
        from partita.datasets import open_dataset

        recipes, settings, seeds = trained
        chosen = named_entrants(names or DEFAULT_ENTRANTS)
        chosen += trained_entrants(recipes, settings, _numbers(seeds))
        check_entrants(chosen)
        dataset = open_dataset(self.data)
        for problem in dataset.problems:
            self.display.print(f"partita: {problem}", error=True)
        for warning in dataset.warnings:
            _log.warning("warning: %s", warning)
        return _Found(self._comparison(dataset, chosen), dataset)

    def preset(self, name: str, budget: str) -> _Found:
        """Compare the systems of a preset."""
        from partita.comparison.paper.budgets import get_budget
        from partita.comparison.paper.experiment import run_paper
        from partita.datasets import open_dataset

        if name not in _PRESETS:
            raise UnknownNameError("preset", name, _PRESETS)

        def compare(
            dataset: Dataset, entrants: Sequence[Entrant], *, targets: tuple[str, ...] = ()
        ) -> Comparison:
            return self._comparison(dataset, entrants, targets)

        found = run_paper(self.data, get_budget(budget), self.out, compare)
        title = f"The paper's systems on {self.data.resolve().name}, budget: {budget}"
        dataset = open_dataset(found.data.table)
        return _Found(found.comparison, dataset, found.sections, title)

    def _comparison(
        self,
        dataset: Dataset,
        entrants: Sequence[Entrant],
        targets: tuple[str, ...] = (),
    ) -> Comparison:
        from partita.comparison.run import compare
        from partita.evaluation.oracles import ORACLES

        named = [each.model for each in entrants if each.model and each.model not in ORACLES]
        check_licences(map(resolve, named), commercial_only=self.commercial_only)
        options = self.options
        if targets:
            options = replace(options, score=replace(options.score, targets=targets))
        return compare(dataset, entrants, options, cache=self.cache, progress=self._progress)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--seeds {one_line(text)}: type whole numbers, such as 0,1,2") from None
