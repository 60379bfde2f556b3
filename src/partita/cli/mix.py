"""``partita mix``."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from partita.audio.formats import FORMATS
from partita.cli.console import ProgressDisplay, format_time, print_error, set_up_logging
from partita.cli.flags import with_flags
from partita.cli.options import Quiet, Verbose
from partita.cli.outcomes import batch_summary, speed_text
from partita.errors import PartitaError, UsageError, one_line
from partita.mixing.output import Target, find_target
from partita.mixing.recipe import Recipe, load_recipe, recipe_names
from partita.mixing.tempo_key_meter import require_tempo_library

if TYPE_CHECKING:
    from partita.mixing.batch import MixOutcome
    from partita.mixing.mix import MixFiles

_INTERRUPTED = 130


def _list_recipes(wanted: bool) -> None:
    if wanted:
        width = max(map(len, recipe_names()))
        for name in recipe_names():
            print(f"{name:{width}}  {load_recipe(name).summary}")
        raise typer.Exit


def mix(
    songs: Annotated[
        list[str],
        typer.Argument(
            metavar="SONG_FOLDER...",
            help="Folders of stems, as partita separate writes them, or .stem.mp4 files.",
            show_default=False,
        ),
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            "-r",
            help="karaoke, practice-bass, dj-pack, … (--list-recipes), or a .toml file.",
        ),
    ] = None,
    gain: Annotated[
        list[str] | None,
        typer.Option(metavar="STEM=DB", help="Gain of a stem in dB; may be repeated."),
    ] = None,
    pan: Annotated[
        list[str] | None,
        typer.Option(metavar="STEM=PLACE", help="From -1 (left) to 1 (right); may be repeated."),
    ] = None,
    mute: Annotated[
        list[str] | None,
        typer.Option(metavar="STEM", help="Leave a stem out of the mix; may be repeated."),
    ] = None,
    solo: Annotated[
        list[str] | None,
        typer.Option(metavar="STEM", help="Mix only this stem; may be repeated."),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(help="0.5 to 1.5; the pitch stays.", show_default="1"),
    ] = None,
    pitch: Annotated[
        float | None,
        typer.Option(help="Semitones, -12 to 12; the speed stays.", show_default="0"),
    ] = None,
    loudness: Annotated[
        float | None,
        typer.Option(metavar="LUFS", help="Bring the mix to a loudness (BS.1770), such as -14."),
    ] = None,
    minus_one: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STEM", help="Write a track without this stem as well; may be repeated."
        ),
    ] = None,
    click: Annotated[
        bool | None,
        typer.Option(
            "--click/--no-click",
            help="Write a track with a click on every beat as well.",
            show_default="as the recipe says",
        ),
    ] = None,
    click_db: Annotated[
        float | None,
        typer.Option(metavar="DB", help="Let the click be heard in the mix, with this peak."),
    ] = None,
    bpm: Annotated[
        float | None,
        typer.Option(help="About the tempo, if the click is too fast or too slow."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="A file, a .zip, or a folder.")] = Path(
        "mixed"
    ),
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help=f"File format: {', '.join(FORMATS)}.",
            show_default="the suffix of --out, or wav",
        ),
    ] = None,
    bits: Annotated[
        str | None,
        typer.Option(help="Sample format: 16, 24 or float, as for separate.", show_default="16"),
    ] = None,
    bitrate: Annotated[
        str | None, typer.Option(help="Bit rate of lossy formats, such as 192k.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for each song.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    _recipes: Annotated[
        bool,
        typer.Option(
            "--list-recipes", is_eager=True, callback=_list_recipes, help="Print the recipes."
        ),
    ] = False,
) -> int:
    """Mix separated stems: balance, speed, pitch; karaoke, practice tracks, DJ packs.

    Exit status: 0 all done, 1 some song failed, 2 wrong usage.
    """
    set_up_logging(verbose=verbose, quiet=quiet)
    try:
        wanted = (Recipe() if recipe is None else load_recipe(recipe)).changed(
            gain=_numbers("--gain", gain),
            pan=_numbers("--pan", pan),
            mute=_names(mute),
            solo=_names(solo),
            speed=speed,
            pitch=pitch,
            loudness=loudness,
            tracks={f"no_{stem}": f"no_{stem}" for stem in _names(minus_one)},
            click=click,
            click_db=click_db,
            bpm=bpm,
        )
        if click or click_db is not None:
            require_tempo_library()
        target = find_target(out, format_, bits, bitrate)
        return _mix(songs, target, wanted, overwrite=overwrite, as_json=json_lines, quiet=quiet)
    except PartitaError as error:  # nothing was mixed
        for song in dict.fromkeys(songs) if json_lines else ():
            facts = {"input": song, "status": "failed", "error": with_flags(str(error))}
            print(json.dumps(facts), flush=True)
        raise


def _mix(
    songs: list[str], target: Target, recipe: Recipe, *, overwrite: bool, as_json: bool, quiet: bool
) -> int:
    """Mix all songs, tell the outcome of each, return the exit status."""
    from partita.mixing.batch import mix_songs  # which imports PyTorch

    display = ProgressDisplay(enabled=not (quiet or as_json))
    counts: Counter[str] = Counter()
    usage = 0
    started = time.monotonic()
    try:
        with display:
            for outcome in mix_songs(
                songs, target, recipe, overwrite=overwrite, progress=display.song
            ):
                if len(songs) == 1 and isinstance(outcome.exception, UsageError):
                    raise UsageError(outcome.error)
                usage += isinstance(outcome.exception, UsageError)
                counts["failed" if outcome.files is None else "done"] += 1
                _tell(outcome, recipe, display, as_json=as_json, quiet=quiet)
    except KeyboardInterrupt:
        many = f"; {counts['done']} of {len(songs)} songs are done" if len(songs) > 1 else ""
        print_error(f"interrupted{many}")
        raise SystemExit(_INTERRUPTED) from None
    if counts.total() > 1 and not (quiet or as_json):
        print(batch_summary(counts, time.monotonic() - started))
    return 2 if usage == counts.total() else int(counts["failed"] > 0)


def _names(texts: Iterable[str] | None) -> list[str]:
    """Return the stems of an option that may be repeated, and may have several with commas."""
    return [name.strip() for text in texts or () for name in text.split(",") if name.strip()]


def _numbers(option: str, texts: Iterable[str] | None) -> dict[str, float]:
    values: dict[str, float] = {}
    for text in _names(texts):
        stem, equals, number = text.rpartition("=")
        try:
            values[stem.strip()] = float(number.strip().removesuffix("dB").replace("−", "-"))
        except ValueError:
            equals = ""
        if not equals or not stem.strip():
            raise UsageError(f"{option} {one_line(text)} is not of the form STEM=NUMBER")
    return values


def _tell(
    outcome: MixOutcome, recipe: Recipe, display: ProgressDisplay, *, as_json: bool, quiet: bool
) -> None:
    display.finish(outcome.name)
    files = outcome.files
    if files is None:
        display.print(f"partita: {outcome.error}", error=True)
    for warning in files.warnings if files is not None and not quiet else ():
        line = warning if outcome.name in warning else f"{outcome.name}: {warning}"
        display.print(f"partita: warning: {line}", error=True)
    if as_json:
        display.print(json.dumps(_facts(outcome, recipe)), whole=True)
    elif files is not None and not quiet:
        display.print(_summary(outcome.name, files))


def _summary(name: str, files: MixFiles) -> str:
    paths = list(dict.fromkeys(files.paths.values()))
    if len(paths) == 1:
        text = f"{name} → {one_line(paths[0])}"
        if len(files.paths) > 1:
            text += f": {', '.join(map(one_line, files.paths))}"
    else:
        names = ", ".join(one_line(path.name) for path in paths)
        text = f"{name} → {one_line(paths[0].parent)}/: {names}"
    text += (
        f"\n  {format_time(files.duration_s)} in {speed_text(files.duration_s, files.elapsed_s)}"
    )
    if files.loudness_lufs is not None and math.isfinite(files.loudness_lufs):
        text += f" · {files.loudness_lufs:.1f} LUFS, true peak {files.true_peak_db:.1f} dB"
    elif files.gain_db:
        text += f" · {files.gain_db:+.2f} dB to avoid clipping"
    return text if files.tempo_bpm is None else f"{text} · click at {files.tempo_bpm:.0f} BPM"


def _facts(outcome: MixOutcome, recipe: Recipe) -> Mapping[str, Any]:
    files = outcome.files
    facts: dict[str, Any] = {"input": outcome.source, "status": "done" if files else "failed"}
    if recipe.name:
        facts["recipe"] = recipe.name
    if files is None:
        return {**facts, "error": with_flags(outcome.error)}
    facts["files"] = {track: str(path) for track, path in files.paths.items()}
    if any(files.names[track] != path.name for track, path in files.paths.items()):
        facts["names"] = dict(files.names)
    facts |= {
        "format": files.form.name,
        "sample_rate": files.sample_rate,
        "channels": files.channels,
        "duration_s": files.duration_s,
        "elapsed_s": round(files.elapsed_s, 3),
        "gain_db": round(files.gain_db, 4),
        "warnings": [with_flags(text) for text in files.warnings],
    }
    for key in ("loudness_lufs", "true_peak_db", "tempo_bpm"):
        value = getattr(files, key)
        if value is not None:
            facts[key] = round(value, 2) if math.isfinite(value) else None
    return facts
