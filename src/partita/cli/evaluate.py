"""``partita evaluate`` and ``partita benchmark``."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from partita.cli.comparison import first_names, print_comparison
from partita.cli.console import ProgressDisplay, set_up_logging
from partita.cli.licensing import CommercialOnly, check_licences
from partita.cli.options import PRECISION, SHIFTS, Device, Quiet, Verbose
from partita.errors import UsageError, one_line
from partita.stem_names import normal_name
from partita.weights.aliases import own_name
from partita.weights.resolve import resolve

if TYPE_CHECKING:
    from partita.evaluation.scores import TrackScores
    from partita.evaluation.tasks import RunOptions, ScoredTrack

_MOST_JOBS = 4
_OF_REFERENCES = " the reference "  # part of warnings that all systems share

_Targets = Annotated[
    str | None,
    typer.Option(
        help="Targets to score together, such as vocals,accompaniment or drums+bass,other."
    ),
]
_Version = Annotated[
    str,
    typer.Option(
        "--bss", help="Version of BSS Eval: v4 (one filter per track) or v3 (one per window)."
    ),
]
_Window = Annotated[float, typer.Option(help="Window length in seconds; inf: the whole track.")]
_Hop = Annotated[
    float | None,
    typer.Option(
        help="Hop between windows in seconds.", show_default="the window", metavar="FLOAT"
    ),
]
_Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Write scores as museval's JSON files to this folder."),
]
_Csv = Annotated[
    Path | None, typer.Option("--csv", help="Write medians over windows to this csv file.")
]
_Published = Annotated[
    list[Path],
    typer.Option(
        "--published",
        metavar="FOLDER",
        help="Add a system by its folder of museval JSON files; may be repeated.",
    ),
]
_Resume = Annotated[
    bool, typer.Option("--resume", help="Keep the scores that are in --out already.")
]
_Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, help="Number of tracks at once.", show_default="auto"),
]
_Json = Annotated[
    bool, typer.Option("--json", help="Print one museval JSON object for each track.")
]


def evaluate(
    references: Annotated[
        Path, typer.Argument(help="Data set with the true stems, or a folder or file of one track.")
    ],
    estimates: Annotated[Path, typer.Argument(help="Folder of TRACK/STEM.wav, or of one track.")],
    targets: _Targets = None,
    bss: _Version = "v4",
    window: _Window = 1.0,
    hop: _Hop = None,
    out: _Out = None,
    csv: _Csv = None,
    published: _Published = [],  # noqa: B006 (typer copies it)
    resume: _Resume = False,
    jobs: _Jobs = None,
    as_json: _Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Score estimates against references with BSS Eval.

    Exit status: 0 all done, 1 some track failed, 2 wrong usage.
    """
    set_up_logging(verbose=verbose, quiet=quiet)
    options = _run_options(bss, window, hop, targets, out, resume)
    options = replace(options, jobs=jobs or min(os.cpu_count() or 1, _MOST_JOBS))
    from partita.datasets import open_dataset
    from partita.evaluation.runs import score_datasets

    true, estimated = open_dataset(references), open_dataset(estimates)
    _check_names([estimated.root.resolve().name], published)
    run = score_datasets(true, estimated, options)
    report = _Report(as_json=as_json, quiet=quiet)
    return report.show(run, len(true), published, csv)


def benchmark(
    data: Annotated[
        Path | None, typer.Option("--data", help="Data set with the true stems.")
    ] = None,
    models: Annotated[
        list[str],
        typer.Option(
            "--model",
            "-n",
            help="Weights, a checkpoint, the folder of a training, a chain (a+b), an ensemble "
            "(a,b), or an oracle (mixture, ibm, irm1, irm2, mwf); may be repeated.",
        ),
    ] = [],  # noqa: B006 (typer copies it)
    subset: Annotated[
        str | None, typer.Option(help="Subset of tracks: train, valid or test.")
    ] = None,
    targets: _Targets = None,
    bss: _Version = "v4",
    window: _Window = 1.0,
    hop: _Hop = None,
    device: Device = "auto",
    precision: Annotated[str, PRECISION] = "auto",
    shifts: Annotated[int, SHIFTS] = 0,
    commercial_only: CommercialOnly = False,
    out: _Out = None,
    csv: _Csv = None,
    published: _Published = [],  # noqa: B006 (typer copies it)
    resume: _Resume = False,
    jobs: _Jobs = None,
    as_json: _Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Separate a data set with models and oracles, and score them.

    Exit status: 0 all done, 1 some track failed, 2 wrong usage.
    """
    set_up_logging(verbose=verbose, quiet=quiet)
    if (data is None) != (not models):
        raise UsageError("--data and --model must be given together")
    if data is None and not published:
        raise UsageError("nothing to do: give --data and --model, or --published")
    options = replace(_run_options(bss, window, hop, targets, out, resume), jobs=jobs or 1)
    from partita.datasets import open_dataset
    from partita.evaluation.oracles import ORACLES
    from partita.evaluation.runs import benchmark as run_benchmark
    from partita.evaluation.runs import system_labels
    from partita.separation.separator import Separator

    models = [own_name(model) for model in models]
    learned = [resolve(model) for model in models if model not in ORACLES]
    check_licences(learned, commercial_only=commercial_only)
    _check_names(list(system_labels(models).values()), published)
    report = _Report(as_json=as_json, quiet=quiet, several=len(models) + len(published) > 1)
    if data is None:
        return report.show(_no_tracks(), 0, published, csv)
    dataset = open_dataset(data, subset=subset)
    run = run_benchmark(
        dataset,
        models,
        options,
        separator=partial(Separator, device=device),
        settings={"precision": precision, "shifts": shifts},
    )
    return report.show(run, len(dataset) * len(models), published, csv)


def _no_tracks() -> Generator[ScoredTrack, None, None]:
    yield from ()


def _run_options(
    bss: str,
    window: float,
    hop: float | None,
    targets: str | None,
    out: Path | None,
    resume: bool,
) -> RunOptions:
    from partita.evaluation.scoring import ScoreOptions
    from partita.evaluation.tasks import RunOptions

    names = tuple(normal_name(name.strip()) for name in targets.split(",")) if targets else ()
    score = ScoreOptions(bss, window, window if hop is None else hop, names)
    if resume and out is None:
        raise UsageError("--resume needs --out, the folder of the earlier scores")
    return RunOptions(score, out, resume)


def _check_names(systems: Sequence[str], published: Sequence[Path]) -> None:
    """Refuse two systems of one name: their scores would be mixed."""
    names = [*systems, *(folder.resolve().name for folder in published)]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two systems are called {one_line(name)!r}: rename one folder")


class _Report:
    """Output of a run: lines during the run, then a table.

    Parameters
    ----------
    as_json, quiet : bool
    several : bool
        Whether lines about estimates name their system.
    """

    def __init__(self, *, as_json: bool, quiet: bool, several: bool = False) -> None:
        self._as_json, self._quiet, self._several = as_json, quiet, several
        self._display = ProgressDisplay(enabled=not (quiet or as_json))
        self._systems: dict[str, list[TrackScores]] = {}
        self._failed: list[str] = []
        self._warned: set[str] = set()
        self._missing = _Missing()

    def show(
        self,
        run: Generator[ScoredTrack, None, None],
        total: int,
        published: Sequence[Path],
        csv: Path | None,
    ) -> int:
        """Print the scores of a run and published scores; return the exit status."""
        from partita.evaluation.runs import read_published
        from partita.evaluation.tables import comparison_rows, write_csv

        others = itertools.chain.from_iterable(map(read_published, published))
        with self._display as display, contextlib.closing(run):
            count = display.count("scoring")
            count(0, total)
            for done, outcome in enumerate(itertools.chain(run, others), start=1):
                count(done, total)
                self._add(outcome)
        if csv is not None:
            write_csv(csv, self._systems)
        if self._systems and not (self._quiet or self._as_json):
            rows, remarks = comparison_rows(self._systems), self._missing.lines(self._systems)
            print_comparison(rows, self._failed, remarks)
        return int(bool(self._failed))

    def _add(self, outcome: ScoredTrack) -> None:
        is_named = self._several and outcome.system
        system = f"{one_line(outcome.system)}: " if is_named else ""
        for warning in () if self._quiet else outcome.warnings:
            self._warn(warning if _OF_REFERENCES in warning else system + warning)
        if outcome.scores is None:
            self._failed.append(system + outcome.track)
            self._display.print(f"partita: {system}{outcome.error}", error=True)
            return
        self._systems.setdefault(outcome.system, []).append(outcome.scores)
        self._missing.add(outcome)
        if self._as_json:
            item = {"system": outcome.system, **outcome.scores.to_json()}
            if outcome.left_out:
                item["left_out"] = dict(outcome.left_out)
            self._display.print(json.dumps(item), whole=True)

    def _warn(self, line: str) -> None:
        if line not in self._warned:
            self._display.print(f"partita: warning: {line}", error=True)
        self._warned.add(line)


class _Missing:
    """Targets that could not be scored, with the songs of each system."""

    def __init__(self) -> None:
        self._tracks: dict[tuple[str, str, str], list[str]] = {}

    def add(self, outcome: ScoredTrack) -> None:
        for name, lacking in outcome.left_out.items():
            self._tracks.setdefault((outcome.system, name, lacking), []).append(outcome.track)

    def lines(self, systems: Mapping[str, Sequence[TrackScores]]) -> list[str]:
        return [
            f"{system}: {name} not scored in {len(tracks)} of {len(systems[system])}, "
            f"{lacking} lack it: {first_names(tracks)}"
            for (system, name, lacking), tracks in self._tracks.items()
        ]
