"""``partita separate``."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from partita.audio.formats import stem_format
from partita.audio.spool import is_readable_once
from partita.cli import other_programs
from partita.cli.console import parse_time, set_up_logging
from partita.cli.hint import hint_at_better_weights
from partita.cli.licensing import CommercialOnly, check_licences
from partita.cli.options import PRECISION, SHIFTS, Device, Quiet, Verbose
from partita.cli.outcomes import BatchReport
from partita.cli.separation_options import (
    BITS,
    FILENAME,
    FORMAT,
    KEEP_RATE,
    REPORT,
    SEED,
    SUM_TO_MIX,
    WIENER,
    Bitrate,
    Overlap,
    Segment,
    Stems,
    TwoStems,
)
from partita.errors import UnknownNameError, UsageError, one_line
from partita.evaluation.quality.reports import QualityReports
from partita.separation.batch import (
    DEFAULT_TEMPLATE,
    BatchOptions,
    Extra,
    Outcome,
    OutputPlan,
    Song,
    find_songs,
    recorded_settings,
    separate_songs,
)
from partita.stem_names import choose_stems
from partita.weights.aliases import own_name
from partita.weights.cards import DEFAULT_MODEL
from partita.weights.external_checkpoints import name_with_config
from partita.weights.plan import ModelPlan
from partita.weights.resolve import resolve

if TYPE_CHECKING:
    from partita.separation.separator import Separator


def _list_models(wanted: bool) -> None:
    if wanted:
        from partita.cli.models import list_models

        list_models()
        raise typer.Exit


def separate(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Files, folders (recursive), globs, or - for standard input.",
            show_default=False,
        ),
    ],
    name: Annotated[
        str,
        typer.Option(
            "--name",
            "--model",
            "-n",
            help="Weights (partita models lists them), a checkpoint, the folder of a training, "
            "hf:OWNER/NAME, https://…, a chain (spleeter-2stems+hpss) "
            "or an ensemble (htdemucs,umxhq).",
        ),
    ] = DEFAULT_MODEL,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            help="YAML file of another program's checkpoint.",
            show_default="the one beside it",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Output folder.")] = Path("separated"),
    filename: Annotated[str, FILENAME] = DEFAULT_TEMPLATE,
    stems: Stems = None,
    two_stems: TwoStems = None,
    format_: Annotated[str, FORMAT] = "wav",
    bits: Annotated[str | None, BITS] = None,
    bitrate: Bitrate = None,
    start: Annotated[
        str, typer.Option(metavar="TIME", help="Start of the excerpt, in seconds or as m:ss.")
    ] = "0",
    duration: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Length of the excerpt, in seconds or as m:ss."),
    ] = None,
    stream: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Audio stream of a video, counted from 0.",
            show_default="the default stream",
        ),
    ] = None,
    segment: Segment = None,
    overlap: Overlap = None,
    shifts: Annotated[int, SHIFTS] = 0,
    seed: Annotated[int, SEED] = 0,
    device: Device = "auto",
    precision: Annotated[str, PRECISION] = "auto",
    runtime: Annotated[
        str,
        typer.Option(
            help="What computes the networks: torch, onnxruntime, or auto: onnxruntime for "
            "exported files only."
        ),
    ] = "auto",
    sum_to_mix: Annotated[bool, SUM_TO_MIX] = False,
    wiener: Annotated[int, WIENER] = 0,
    stage_cache: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Keep what chains estimate before their last models: a chain with another last "
            "model computes that one only.",
        ),
    ] = None,
    keep_rate: Annotated[bool, KEEP_RATE] = False,
    figures: Annotated[
        bool,
        typer.Option("--figures", help="Save figures with the stems: spectrograms, NMF templates."),
    ] = False,
    report_quality: Annotated[bool, REPORT] = False,
    commercial_only: CommercialOnly = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Number of songs at once.")] = 1,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Skip songs whose stems exist and are up to date."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing stems.")] = False,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for each input.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    _models: Annotated[
        bool,
        typer.Option("--list-models", "-l", hidden=True, is_eager=True, callback=_list_models),
    ] = False,
) -> int:
    """Separate songs into stems.

    Exit status: 0 all done, 1 some input failed, 2 wrong usage.
    """
    set_up_logging(verbose=verbose, quiet=quiet)
    filename = other_programs.template(filename)
    name = own_name(name) if config is None else name_with_config(own_name(name), config)
    report = BatchReport(name, as_json=json_lines, quiet=quiet)
    with report.failures(inputs):
        start_s = parse_time("--start", start)
        duration_s = None if duration is None else parse_time("--duration", duration)
        if device.isdecimal():
            raise UsageError(
                f"--device {device} is not a device; --duration {device} sets the length"
            )
        form = stem_format(format_, bits, bitrate)
        choice = stems.split(",") if stems is not None else []
        model = resolve(name)
        check_licences([model], commercial_only=commercial_only)
        names = choose_stems(_sources(model), stems=choice, two_stems=two_stems)
        plan = OutputPlan(out, filename, form, model.label, list(names))
        settings: dict[str, Any] = {
            "segment_s": segment,
            "overlap": overlap,
            "shifts": shifts,
            "seed": seed,
            "precision": precision,
            "sum_to_mix": sum_to_mix,
            "wiener": wiener,
        }
        options = BatchOptions(
            name,
            model.digest,
            recorded_settings(settings),
            start_s=start_s,
            duration_s=duration_s,
            keep_rate=keep_rate,
            stream=stream,
            resume=resume,
            overwrite=overwrite,
            jobs=jobs,
        )
        songs = list(dict.fromkeys(find_songs(inputs, outputs=[out, out / plan.model_name])))
        separator = _Once(
            lambda: _separator(
                model,
                stems=choice,
                two_stems=two_stems,
                device=device,
                stage_cache=stage_cache,
                runtime=runtime,
                **settings,
            )
        )
        extras = [_figures(songs, separator, plan, options)] if figures else []
        if report_quality:
            report.quality = QualityReports(plan, _songs(songs), name)
            extras.append(report.quality.extra)
        outcomes = separate_songs(
            songs, plan, separator, options, progress=report.progress, extras=extras
        )
        # Closed also when Ctrl-C comes: that stops the songs still running.
        with report.batch(songs, options), contextlib.closing(outcomes):
            for outcome in outcomes:
                report.tell(outcome, plan.form, model)
    if report.status == 0 and not (quiet or json_lines or commercial_only):
        hint_at_better_weights(name)
    return report.status


def _sources(model: ModelPlan) -> tuple[str, ...]:
    """Return the stems of a model; explain names of oracles."""
    try:
        return model.sources
    except UnknownNameError:
        from partita.evaluation.oracles import ORACLES

        for each in model.models:
            if each.name in ORACLES:
                raise UsageError(
                    f"{each.name!r} is an oracle, which needs the true stems: "
                    f"partita benchmark --data FOLDER --model {each.name}"
                ) from None
        raise


def _separator(model: ModelPlan, **options: Any) -> Separator:
    from partita.separation.separator import Separator  # which imports PyTorch

    return Separator(model, **options)


class _Once:
    """Makes a Separator on the first call, from any thread, and returns it on every call."""

    def __init__(self, make: Callable[[], Separator]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._made: Separator | None = None

    def __call__(self) -> Separator:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made


def _songs(found: Sequence[Song | Outcome]) -> list[Song]:
    return [each for each in found if isinstance(each, Song)]


def _figures(
    songs: Sequence[Song | Outcome],
    separator: Callable[[], Separator],
    plan: OutputPlan,
    options: BatchOptions,
) -> Extra:
    """Return what draws the figures of a song after its stems are written."""
    from partita.reports.figures import Recording, require_matplotlib
    from partita.reports.song import draw_song, draw_song_factors

    require_matplotlib()  # before separating, not after an hour of it
    for song in songs:
        if isinstance(song, Song) and (song.source == "-" or is_readable_once(Path(song.source))):
            raise UsageError(
                f"--figures reads the song a second time, which {song.name} does not allow"
            )

    def spectrograms(song: Song) -> Path:
        return plan.path_beside(song, "spectrograms")

    def draw(song: Song, stems: Mapping[str, Path]) -> None:
        mixture = Recording(Path(song.source), options.stream, options.start_s, options.duration_s)
        title = f"{one_line(song.track)} · {plan.model_name}"
        draw_song(
            mixture,
            stems,
            spectrograms(song),
            title=title,
            in_one=plan.form.holds_all_stems,
        )
        draw_song_factors(
            separator(),
            mixture,
            plan.path_beside(song, "factors"),
            title=title,
            keep_rate=options.keep_rate,
        )

    return Extra(path=spectrograms, make=draw)
