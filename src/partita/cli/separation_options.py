"""Options of the commands that separate songs."""

from __future__ import annotations

from typing import Annotated

import typer

from partita.audio.formats import FORMATS
from partita.separation.batch import DEFAULT_TEMPLATE

TwoStems = Annotated[
    str | None, typer.Option(metavar="STEM", help="Separate into STEM and no_STEM.")
]
Bitrate = Annotated[str | None, typer.Option(help="Bit rate of lossy formats, such as 192k.")]
Stems = Annotated[
    str | None,
    typer.Option(
        help="Separate only these stems, such as vocals,drums or the sum drums+bass.",
        show_default="all",
    ),
]
Segment = Annotated[
    float | None,
    typer.Option(help="Length of windows in seconds.", show_default="the model's own"),
]
Overlap = Annotated[
    float | None,
    typer.Option(help="Overlap of windows, 0 to 0.95.", show_default="the model's own"),
]

# The commands differ in what stands for an option that is not given: its default, or None where an
# earlier run may have fixed it.
FILENAME = typer.Option(
    help="Path of each stem below the output folder.", show_default=DEFAULT_TEMPLATE
)
FORMAT = typer.Option("--format", help=f"File format: {', '.join(FORMATS)}.", show_default="wav")
BITS = typer.Option(
    help="Sample format: 16, 24 or float (wav); 16 or 24 (flac, ALAC in stem.mp4).",
    show_default="16; stem.mp4: AAC",
)
SEED = typer.Option(help="Random seed of --shifts.", show_default="0")
SUM_TO_MIX = typer.Option("--sum-to-mix", help="Make the stems add up to the mixture exactly.")
WIENER = typer.Option(
    min=0,
    help="Iterations of a Wiener filter: less interference, more artifacts.",
    show_default="0",
)
KEEP_RATE = typer.Option("--keep-rate", help="Keep the song's sample rate and channel count.")
REPORT = typer.Option(
    "--report",
    help="Estimate the quality of the stems, without references: report.json beside them.",
)
