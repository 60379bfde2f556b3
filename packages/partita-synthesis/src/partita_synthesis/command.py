"""``partita data synthesize``."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from partita.cli.console import ProgressDisplay, format_time, set_up_logging
from partita.cli.options import Quiet, Verbose
from partita.errors import one_line


def synthesize(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the songs.")],
    stems: Annotated[
        str, typer.Option(help="Stems of the songs; rest or other: all other instruments.")
    ] = "vocals,drums,bass,other",
    songs: Annotated[int, typer.Option(help="Number of songs.")] = 10,
    duration: Annotated[float, typer.Option(help="Length of a song in seconds.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    styles: Annotated[
        list[str],
        typer.Option("--style", metavar="NAME", help="Style to draw from; may be repeated."),
    ] = [],  # noqa: B006 (typer copies it)
    soundfonts: Annotated[
        list[Path],
        typer.Option("--soundfont", metavar="FILE", help="SoundFont to play; may be repeated."),
    ] = [],  # noqa: B006
    midi: Annotated[
        Path | None, typer.Option(help="Folder of MIDI files to play excerpts of.")
    ] = None,
    recordings: Annotated[
        Path | None,
        typer.Option(help="Data set whose vocals and drums are mixed into some songs."),
    ] = None,
    rate: Annotated[int, typer.Option(help="Sample rate in hertz.")] = 44100,
    mono: Annotated[bool, typer.Option("--mono", help="Make mono songs.")] = False,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Number of processes.", show_default="auto"),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Synthesise songs with known stems, for training.

    Songs are composed, played by SoundFonts and built-in synthesisers, sung,
    and mixed. The same options give the same songs; an interrupted
    call resumes. manifest.json lists the licences of all sounds.

    Exit status: 0 done, 1 something cannot be read or written, 2 wrong usage.
    """
    set_up_logging(verbose=verbose, quiet=quiet)
    from partita_synthesis import SynthesisSettings, write_songs

    settings = SynthesisSettings(
        stems=tuple(name.strip() for name in stems.split(",") if name.strip()),
        duration_s=duration,
        sample_rate=rate,
        channels=1 if mono else 2,
        seed=seed,
        styles=tuple(styles),
        soundfonts=tuple(os.fspath(path) for path in soundfonts),
        midi=None if midi is None else os.fspath(midi),
        recordings=None if recordings is None else os.fspath(recordings),
    )
    begun = time.monotonic()
    with ProgressDisplay(enabled=not quiet) as display:
        manifest = write_songs(
            settings,
            songs,
            out,
            jobs=jobs,
            progress=display.song("synthesising"),
        )
    if not quiet:
        _summarise(out, manifest, time.monotonic() - begun)
    return 0


def _summarise(out: Path, manifest: Mapping[str, Any], elapsed_s: float) -> None:
    songs = manifest["songs"]
    styles = Counter(song["style"] for song in songs)
    seconds = len(songs) * manifest["settings"]["duration_s"]
    print(
        f"{one_line(out)}: {len(songs)} song{'' if len(songs) == 1 else 's'}, "
        f"{format_time(seconds)} in {format_time(elapsed_s)}"
    )
    print(f"  {', '.join(f'{count} {name}' for name, count in styles.most_common())}")
    for sound, licence in manifest["licences"].items():
        print(f"  {one_line(sound)}: {one_line(licence)}")
    print(f"  look: partita data info {one_line(out)}")
