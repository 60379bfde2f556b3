"""``partita doctor``: everything that somebody who helps wants to know, and a self test."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from partita.cli.diagnosis import diagnosis, healthy
from partita.cli.flags import with_flags
from partita.cli.terminal import terminal_columns, wrapped


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Print versions, extras, devices, caches and decoders, and separate ten seconds."""
    report = diagnosis()
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        for section, facts in report.items():
            print(section.replace("_", " "))
            for key, value in facts.items():
                name = key if key.isupper() else key.replace("_", " ")
                line = f"  {name:<14} {value}"
                print(wrapped(with_flags(line), 17, terminal_columns()))
    return 0 if healthy(report) else 1
