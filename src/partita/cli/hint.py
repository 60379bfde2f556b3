"""A hint that better weights than the default exist: once a day, on terminals only."""

from __future__ import annotations

import contextlib
import sys
from datetime import date
from pathlib import Path

from partita.cli.recommendations import better_weights
from partita.errors import PartitaError
from partita.weights.cache_folder import cache_folder
from partita.weights.cards import DEFAULT_MODEL
from partita.weights.licences import wants_commercial_only


def hint_at_better_weights(model: str) -> None:
    """Print on a terminal which weights are better than the default.

    If the cache folder is not writable, no hint is printed.
    """
    if model != DEFAULT_MODEL or wants_commercial_only():
        return
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        return
    better = better_weights()
    if better and _is_first_today():
        from rich.console import Console

        text = f"Better, slower weights: {better}; see partita models"
        console = Console(stderr=True, highlight=False, markup=False)
        console.print(text, style="dim", soft_wrap=True)


def _is_first_today() -> bool:
    """Return True on the first call of a day.

    An empty file named after the day records it: only one of several processes can create it.
    """
    name = f"{date.today():%Y-%m-%d}"
    try:
        folder = cache_folder() / "hints"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch(exist_ok=False)
        _remove_others(folder, name)
    except (OSError, PartitaError):  # FileExistsError too: not the first call
        return False
    return True


def _remove_others(folder: Path, name: str) -> None:
    for path in folder.iterdir():
        if path.name != name:
            with contextlib.suppress(OSError):
                path.unlink()
