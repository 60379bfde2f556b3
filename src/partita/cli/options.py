"""Options of many commands, each in one wording."""

from __future__ import annotations

from typing import Annotated

import typer

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print details.")]
Device = Annotated[str, typer.Option("--device", "-d", help="Device: auto, cpu, cuda[:N], mps.")]
SHIFTS = typer.Option(
    min=0, help="Average over this many random delays: slower, better.", show_default="0"
)
PRECISION = typer.Option(
    help="Number format: auto, float32, bfloat16, float16.", show_default="auto"
)
