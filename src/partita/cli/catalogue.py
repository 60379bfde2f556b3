"""``partita catalogue``."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from partita.cli.catalogue_lines import (
    RunDisplay,
    hours_text,
    settled_text,
    songs_text,
    status_lines,
)
from partita.cli.commands import Command
from partita.cli.console import ProgressDisplay, print_error, set_up_logging
from partita.cli.flags import with_flags
from partita.cli.licensing import CommercialOnly, check_licences
from partita.cli.options import PRECISION, SHIFTS, Device, Quiet, Verbose
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
from partita.errors import UsageError
from partita.weights.aliases import own_name
from partita.weights.cards import DEFAULT_MODEL
from partita.weights.resolve import resolve

if TYPE_CHECKING:
    from partita.catalogue.engine import Engine
    from partita.catalogue.records import RunSettings
    from partita.catalogue.store import Manifest

_INTERRUPTED = 130
_ENGINES = ("local", "ray")
_Manifest = Annotated[
    str,
    typer.Argument(
        metavar="MANIFEST",
        help="The folder of the manifest, here or in a store (s3://…).",
        show_default=False,
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for each song.")]

app = typer.Typer(help="Separate thousands of songs, on one machine or many.")


@app.callback()
def catalogue() -> None:
    """Separate thousands of songs, on one machine or many."""


def _manifest(address: str) -> Manifest:
    from partita.catalogue.store import Manifest

    return Manifest(address)


@app.command("plan", cls=Command)
def plan(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Files, folders, patterns, addresses (s3://bucket/prefix/), and tables "
            "(.csv, .tsv, .parquet) of addresses.",
            show_default=False,
        ),
    ],
    out: Annotated[str, typer.Option("--out", "-o", help="The manifest: a folder, or s3://…")],
    column: Annotated[
        str | None,
        typer.Option(
            help="Column of the addresses in tables.", show_default="address, path, url, …"
        ),
    ] = None,
    depth: Annotated[
        str,
        typer.Option(
            help="How much of each song is read: sound (its first minute: finds duplicates), "
            "header (its length), listing (nothing)."
        ),
    ] = "sound",
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Songs read at once.", show_default="all cores"),
    ] = None,
    json_lines: _Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """List songs, with their lengths and duplicates, in a manifest.

    Exit status: 0 all can be separated, 1 some cannot, 2 wrong usage.
    """
    set_up_logging(verbose=verbose, quiet=quiet)
    from partita.catalogue import planning

    display = ProgressDisplay(enabled=not (quiet or json_lines))
    with display, _interruptible("nothing was planned; the same command begins again"):
        count = display.count("songs found", is_named=True)

        def tell(number: int, song: Any) -> None:
            count(number, None)
            if song.fault:
                display.print(f"partita: {song.fault}", error=True)
            if json_lines:
                facts = {name: value for name, value in dataclasses.asdict(song).items() if value}
                facts.pop("fingerprint", None)
                display.print(json.dumps(facts), whole=True)

        header = planning.plan(
            inputs,
            _manifest(out),
            column=column,
            depth=planning.checked_depth(depth),
            jobs=jobs or os.cpu_count() or 1,
            progress=tell,
        )
    if not (quiet or json_lines):
        text = f"{songs_text(header.songs)}, {hours_text(header.total_s)}"
        text += f"; {header.duplicates} sound like another one" if header.duplicates else ""
        text += f"; {header.faults} cannot be separated" if header.faults else ""
        print(f"{text}\npartita catalogue run {out} --out FOLDER separates them")
    return int(header.faults > 0)


@app.command("run", cls=Command)
def run(
    manifest: _Manifest,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", help="Where the stems go: a folder, or s3://…", show_default=False
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", "--model", "-n", help="Weights.", show_default=DEFAULT_MODEL),
    ] = None,
    filename: Annotated[str | None, FILENAME] = None,
    stems: Stems = None,
    two_stems: TwoStems = None,
    format_: Annotated[str | None, FORMAT] = None,
    bits: Annotated[str | None, BITS] = None,
    bitrate: Bitrate = None,
    segment: Segment = None,
    overlap: Overlap = None,
    shifts: Annotated[int | None, SHIFTS] = None,
    seed: Annotated[int | None, SEED] = None,
    precision: Annotated[str | None, PRECISION] = None,
    sum_to_mix: Annotated[bool | None, SUM_TO_MIX] = None,
    wiener: Annotated[int | None, WIENER] = None,
    keep_rate: Annotated[bool | None, KEEP_RATE] = None,
    report: Annotated[bool | None, REPORT] = None,
    commercial_only: CommercialOnly = False,
    device: Device = "auto",
    engine: Annotated[str, typer.Option(help=f"{', '.join(_ENGINES)}.")] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="Of the Ray cluster.", show_default="RAY_ADDRESS, else this machine"),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", min=1, help="Workers.", show_default="1; on Ray, what finds place"
        ),
    ] = None,
    cores: Annotated[
        int | None,
        typer.Option(min=1, help="Of each worker on Ray.", show_default="1; 4 beside a GPU"),
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option(min=0, help="Of each worker on Ray.", show_default="1 if there are any"),
    ] = None,
    songs: Annotated[
        int | None,
        typer.Option(min=1, help="At once in each worker on Ray.", show_default="1; 4 on a GPU"),
    ] = None,
    tries: Annotated[
        int, typer.Option(min=1, help="A song that failed so often is quarantined.")
    ] = 3,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.0, help="Longest time of a song: these seconds and 10 times its length."
        ),
    ] = 600.0,
    memory_mb: Annotated[
        int | None, typer.Option(min=1, help="Largest memory of a worker in MB, on Linux.")
    ] = None,
    skip_duplicates: Annotated[
        bool, typer.Option("--skip-duplicates", help="Leave out songs that sound like another.")
    ] = False,
    metrics: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, metavar="PORT", help="Serve figures for Prometheus; 0: any."
        ),
    ] = None,
    json_lines: _Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Separate what is left of a plan.

    The first run fixes destination, weights and format; later ones need not repeat them.
    Exit status: 0 all done, 1 some song failed, 2 wrong usage.
    """
    set_up_logging(verbose=verbose, quiet=quiet)
    from partita.catalogue.engine import Policy
    from partita.catalogue.running import CatalogueRun

    given = _given(
        destination=out,
        model=name,
        filename=filename,
        stems=_stems(stems, two_stems),
        format=format_,
        bits=bits,
        bitrate=bitrate,
        keep_rate=keep_rate,
        quality=report,
    )
    sound = _given(
        segment_s=segment,
        overlap=overlap,
        shifts=shifts,
        seed=seed,
        precision=precision,
        sum_to_mix=sum_to_mix,
        wiener=wiener,
    )
    found = _manifest(manifest)
    found.header()
    settings = found.begin(_settings(found, given, sound))
    check_licences([resolve(settings.model)], commercial_only=commercial_only)
    policy = Policy(most_tries=tries, timeout_s=timeout or None, memory_mb=memory_mb)
    working = CatalogueRun(
        found,
        settings,
        _engine(engine, jobs, address=address, cores=cores, gpus=gpus, songs=songs),
        policy,
        device=device,
        skip_duplicates=skip_duplicates,
    )
    display = RunDisplay(working.progress, as_json=json_lines, quiet=quiet)
    cancel = threading.Event()
    records = working.records(cancel)
    with (
        _interruptible("the same command continues"),
        _metrics(metrics, working, display, quiet=quiet or json_lines) as counted,
        display,
        contextlib.closing(records),
    ):
        for record in records:
            if counted is not None:
                counted.add(record)
            display.tell(record)
    if not (quiet or json_lines):
        print(settled_text(working.progress))
        if working.progress.outcomes["failed"] or working.progress.outcomes["quarantined"]:
            print(f"partita catalogue status {manifest} names what failed")
    states = found.counts()
    return int(states["failed"] + states["quarantined"] > 0)


@app.command("status", cls=Command)
def status(
    manifest: _Manifest,
    json_lines: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    most: Annotated[int, typer.Option(min=0, help="Failures that are named.")] = 20,
) -> int:
    """Tell how far a catalogue is, and what failed."""
    from partita.catalogue.running import survey

    found = _manifest(manifest)
    state = survey(found)
    failures = found.records(("failed", "quarantined"))
    if json_lines:
        named = [
            {"address": each.address, "outcome": each.outcome, "kind": each.kind,
             "cause": with_flags(each.cause)}
            for each in failures
        ]  # fmt: skip
        print(json.dumps({**dataclasses.asdict(state), "failures": named}))
    else:
        print("\n".join(status_lines(state, failures, most, found.settings())))
    return 0


@app.command("retry", cls=Command)
def retry(
    manifest: _Manifest,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="Only failures of this kind (partita catalogue status); may be repeated."
        ),
    ] = None,
) -> int:
    """Ask for another try at songs that failed; the next run makes it."""
    from partita.catalogue.running import ask_again

    count = ask_again(
        _manifest(manifest),
        ("failed", "quarantined"),
        "asked for by partita catalogue retry",
        kinds=kind or (),
    )
    print(f"{songs_text(count)} will be tried again: partita catalogue run {manifest}")
    return 0


@app.command("verify", cls=Command)
def verify(
    manifest: _Manifest,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Songs at once.", show_default="all cores"),
    ] = None,
    sums: Annotated[
        bool,
        typer.Option("--sums/--no-sums", help="Read the songs too: whether the stems add up."),
    ] = True,
    ask_again: Annotated[
        bool, typer.Option("--retry", help="Let the next run make again what is at fault.")
    ] = False,
    json_lines: _Json = False,
    quiet: Quiet = False,
) -> int:
    """Read all stems: that they decode, have their length, are unchanged and add up.

    Exit status: 0 all are sound, 1 some are not.
    """
    from partita.catalogue import running, verifying

    found = _manifest(manifest)
    total = found.counts()["done"]
    good = bad = 0
    display = ProgressDisplay(enabled=not (quiet or json_lines))
    with display, _interruptible("nothing was changed"):
        count = display.count("songs verified")
        for verdict in verifying.verify(found, jobs=jobs or os.cpu_count() or 1, sums=sums):
            good, bad = good + (not verdict.fault), bad + bool(verdict.fault)
            count(good + bad, total)
            record = verdict.record
            if json_lines:
                facts = {"address": record.address, "sound": not verdict.fault}
                facts |= {"fault": verdict.fault} if verdict.fault else {}
                facts |= {"note": verdict.note} if verdict.note else {}
                display.print(json.dumps(facts), whole=True)
            if verdict.fault:
                display.print(f"partita: {record.address}: {verdict.fault}", error=True)
                if ask_again:
                    running.ask_again_for(found, record, verdict.shard, verdict.fault)
            elif verdict.note and not quiet:
                text = f"partita: warning: {record.address}: sum not verified: {verdict.note}"
                display.print(text, error=True)
    if not (quiet or json_lines):
        are = "is" if good == 1 else "are"
        print(f"{songs_text(good)} {are} sound" + (f", {bad} not" if bad else ""))
    return int(bad > 0)


@app.command("export", cls=Command)
def export(
    manifest: _Manifest,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE.parquet", help="The table.")
    ] = Path("catalogue.parquet"),
) -> int:
    """Write all facts of all songs into a parquet file."""
    from partita.catalogue import exporting

    count = exporting.export(_manifest(manifest), out)
    print(f"{out}: {songs_text(count)}")
    return 0


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that were typed."""
    return {name: value for name, value in options.items() if value is not None}


def _stems(stems: str | None, two_stems: str | None) -> tuple[str, ...] | None:
    if two_stems is not None:
        if stems is not None:
            raise UsageError("`stems` and `two_stems` exclude each other")
        return two_stems, f"no_{two_stems}"
    return None if stems is None else tuple(stems.split(","))


def _settings(manifest: Manifest, given: dict[str, Any], sound: dict[str, Any]) -> RunSettings:
    """Return the settings of a run: what was typed, else those of an earlier run."""
    from partita.catalogue.running import run_settings

    begun = manifest.settings()
    earlier: dict[str, Any] = {}
    if begun is not None:
        names = ("destination", "model", "filename", "stems", "format", "bits", "bitrate")
        earlier = {name: getattr(begun, name) for name in (*names, "keep_rate", "quality")}
        sound = {**begun.options, **sound}
    wanted = {**earlier, **given}
    if "destination" not in wanted:
        raise UsageError("the first run needs --out FOLDER, where the stems go")
    model = resolve(own_name(wanted.pop("model", DEFAULT_MODEL)))
    return run_settings(wanted.pop("destination"), model, options=sound, **wanted)


def _engine(name: str, jobs: int | None, **of_ray: Any) -> Engine:
    if name == "ray":
        from partita.catalogue.ray_engine import RayEngine

        return RayEngine(jobs=jobs, **of_ray)
    if name != "local":
        raise UsageError(f"`engine` {name!r} is not one of {', '.join(_ENGINES)}")
    for option, value in of_ray.items():
        if value is not None:
            raise UsageError(f"`{option}` is for `engine` ray")
    from partita.catalogue.local_engine import LocalEngine

    return LocalEngine(jobs or 1)


@contextlib.contextmanager
def _metrics(port: int | None, working: Any, display: RunDisplay, *, quiet: bool) -> Iterator[Any]:
    """Serve figures, if a port was given."""
    if port is None:
        yield None
        return
    from partita.catalogue.metrics import Metrics

    counted = Metrics(working.progress)
    with counted.served(port) as served:
        if not quiet:
            display.say(f"figures for Prometheus: http://127.0.0.1:{served}/metrics")
        yield counted


@contextlib.contextmanager
def _interruptible(advice: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print_error(f"interrupted; {advice}")
        raise SystemExit(_INTERRUPTED) from None
