"""``partita separate``."""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from partita.audio.formats import FORMATS, StemFormat, stem_format
from partita.catalogue import (
    DEFAULT_TEMPLATE,
    BatchOptions,
    Outcome,
    OutputPlan,
    Song,
    find_songs,
    separate_songs,
)
from partita.cli.console import ProgressDisplay, format_time, set_up_logging
from partita.errors import UnknownNameError, UsageError, one_line
from partita.stems import choose_stems
from partita.weights.cards import DEFAULT_MODEL, get_card
from partita.weights.chain import chain_sources
from partita.weights.own import own_checkpoint

if TYPE_CHECKING:
    from partita.passage import Progress
    from partita.separation import Separator


def separate(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Files, folders (searched through), globs, or - for standard input.",
            show_default=False,
        ),
    ],
    name: Annotated[
        str,
        typer.Option(
            "--name",
            "--model",
            "-n",
            help="Weights (see: partita models), a checkpoint, the folder of a training, "
            "or a chain: spleeter-2stems+hpss.",
        ),
    ] = DEFAULT_MODEL,
    out: Annotated[Path, typer.Option("--out", "-o", help="Output folder.")] = Path("separated"),
    filename: Annotated[
        str, typer.Option(help="Where each stem goes below the output folder.")
    ] = DEFAULT_TEMPLATE,
    stems: Annotated[
        str | None,
        typer.Option(help="Only these: vocals,drums; sums are allowed: drums+bass."),
    ] = None,
    two_stems: Annotated[
        str | None, typer.Option(metavar="STEM", help="STEM and no_STEM, nothing else.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help=f"{', '.join(FORMATS)}.")] = "wav",
    bits: Annotated[
        str | None,
        typer.Option(
            help="16, 24 or float (wav); 16 or 24 (flac; stem.mp4 with ALAC).",
            show_default="16; stem.mp4: AAC",
        ),
    ] = None,
    bitrate: Annotated[str | None, typer.Option(help="Of lossy formats, such as 192k.")] = None,
    start: Annotated[float, typer.Option(min=0.0, help="Start of the excerpt, seconds.")] = 0.0,
    duration: Annotated[float | None, typer.Option(help="Length of the excerpt, seconds.")] = None,
    segment: Annotated[
        float | None, typer.Option(help="Window length, seconds.", show_default="the model's own")
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option(help="Of the windows, 0 to 0.95.", show_default="the model's own"),
    ] = None,
    shifts: Annotated[
        int, typer.Option(min=0, help="Average this many random delays: better, slower.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="For --shifts.")] = 0,
    device: Annotated[
        str, typer.Option("--device", "-d", help="auto, cpu, cuda[:N], mps.")
    ] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16, float16.")] = "auto",
    sum_to_mix: Annotated[
        bool, typer.Option("--sum-to-mix", help="Stems add up to the mixture.")
    ] = False,
    wiener: Annotated[
        int, typer.Option(min=0, help="Iterations of a Wiener filter: purer, rougher stems.")
    ] = 0,
    keep_rate: Annotated[
        bool,
        typer.Option("--keep-rate", help="Stems in the song's own sample rate and channel count."),
    ] = False,
    figures: Annotated[
        bool, typer.Option("--figures", help="Pictures beside the stems: spectrograms, templates.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Songs at once.")] = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Skip songs whose stems are all there.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace stems that are there.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per input on standard output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show details.")] = False,
) -> int:
    """Separate songs into stems.

    Exit status: 0 all done, 1 some input failed, 2 wrong usage.
    """
    set_up_logging(verbose=verbose, quiet=quiet)
    if duration is not None and not 0 < duration < math.inf:
        raise UsageError(f"--duration {duration:g} is not a positive number of seconds")
    if not start < math.inf:
        raise UsageError(f"--start {start:g} is not a number of seconds")
    if figures and "-" in inputs:
        raise UsageError("--figures reads the song a second time, which - does not allow")
    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other")
    output = stem_format(form, bits, bitrate)
    choice = stems.split(",") if stems is not None else []
    plan = OutputPlan(out, filename, output, name, _stem_names(name, choice, two_stems))

    def make() -> Separator:
        from partita.separation import Separator

        return Separator(
            name,
            stems=choice,
            two_stems=two_stems,
            device=device,
            precision=precision,
            segment_s=segment,
            overlap=overlap,
            shifts=shifts,
            seed=seed,
            sum_to_mix=sum_to_mix,
            wiener=wiener,
        )

    draw = _figures(plan, start, duration) if figures else None
    failed = False
    with ProgressDisplay(enabled=not (quiet or as_json)) as display:

        def progress(song: Song) -> Progress:
            return display.song(one_line(song.source))

        songs = separate_songs(
            find_songs(inputs, outputs=[out, out / plan.model_name]),
            plan,
            _once(make),
            BatchOptions(start, duration, keep_rate, resume, overwrite, jobs),
            progress=progress,
            draw=draw,
        )
        # Closed also when an interrupt comes in here: that is what stops the songs still running.
        with contextlib.closing(songs) as outcomes:
            for outcome in outcomes:
                failed |= outcome.status == "failed"
                if outcome.status == "failed":
                    display.print(f"partita: {outcome.error}", error=True)
                display.finish(one_line(outcome.source))
                for warning in outcome.files.warnings if outcome.files and not quiet else ():
                    display.print(f"partita: warning: {warning}", error=True)
                if as_json:
                    display.print(json.dumps(_as_json(outcome, name, output)))
                elif not quiet and outcome.status != "failed":
                    display.print(_summary(outcome))
    return int(failed)


def _figures(plan: OutputPlan, start: float, duration: float | None) -> Any:
    """Return what draws a song once its stems are there."""
    from partita.reports.figures import Recording, require_matplotlib
    from partita.reports.song import draw_song, draw_song_factors

    require_matplotlib()  # rather now than after an hour

    def draw(separator: Separator, song: Song, stems: Mapping[str, Path]) -> None:
        mixture = Recording(Path(song.source), start_s=start, duration_s=duration)
        title = f"{one_line(song.track)} · {plan.model_name}"
        draw_song(
            mixture,
            stems,
            plan.figure_path(song, "spectrograms"),
            title=title,
            in_one=plan.form.holds_all_stems,
        )
        draw_song_factors(separator, mixture, plan.figure_path(song, "factors"), title=title)

    return draw


def _stem_names(name: str, stems: list[str], two_stems: str | None) -> list[str]:
    """Check models and stems against the cards, before anything slow starts."""
    return list(choose_stems(chain_sources(name, _sources), stems=stems, two_stems=two_stems))


def _sources(model: str) -> tuple[str, ...]:
    if own_checkpoint(model) is not None:
        from partita.weights.store import load_model

        return load_model(model).sources
    try:
        return get_card(model).sources
    except UnknownNameError:
        _refuse_oracle(model)
        raise


def _refuse_oracle(name: str) -> None:
    from partita.evaluation.oracles import ORACLES

    if name in ORACLES:
        raise UsageError(
            f"{name!r} is an oracle, which needs the true stems: "
            f"partita benchmark --data FOLDER --model {name}"
        )


def _once(make: Any) -> Any:
    """Return a function that calls `make` the first time only, from whichever thread."""
    lock = threading.Lock()
    made: list[Any] = []

    def get() -> Any:
        with lock:
            if not made:
                made.append(make())
            return made[0]

    return get


def _summary(outcome: Outcome) -> str:
    paths = list(dict.fromkeys((outcome.paths or {}).values()))
    common = paths[0].parent
    names = ", ".join(one_line(path.relative_to(common) if path.is_relative_to(common) else path)
                      for path in paths)  # fmt: skip
    text = f"{one_line(outcome.source)} → {one_line(common)}/: {names}"
    files = outcome.files
    if files is None:
        return f"{text} (finished earlier, skipped)"
    speed = files.duration_s / max(files.elapsed_s, 1e-9)
    text += (
        f"\n  {format_time(files.duration_s)} in {files.elapsed_s:.1f} s, {speed:.0f}× real time"
    )
    text += f" · null depth {_null_text(files.null_depth_db)}"
    if files.gain_db:
        text += f" · all stems {files.gain_db:+.2f} dB against clipping"
    return text


def _null_text(null_depth_db: float) -> str:
    return "−∞ dB" if math.isinf(null_depth_db) else f"{null_depth_db:.0f} dB"


def _as_json(outcome: Outcome, name: str, form: StemFormat) -> dict[str, Any]:
    result: dict[str, Any] = {"input": outcome.source, "status": outcome.status, "model": name}
    if outcome.paths is not None:
        result["stems"] = {stem: str(path) for stem, path in outcome.paths.items()}
        result["format"] = form.name
    if outcome.files is not None:
        files = outcome.files
        null_depth_db = files.null_depth_db
        result |= {
            "sample_rate": files.sample_rate,
            "channels": files.channels,
            "duration_s": files.duration_s,
            "elapsed_s": round(files.elapsed_s, 3),
            # JSON has no infinity: null stands for an exact sum.
            "null_depth_db": None if math.isinf(null_depth_db) else round(null_depth_db, 2),
            "gain_db": round(files.gain_db, 4),
            "warnings": list(files.warnings),
        }
    if outcome.status == "failed":
        result["error"] = outcome.error
    return result
