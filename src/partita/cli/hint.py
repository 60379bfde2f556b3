"""A hint for who separates with the default: better stems exist. Once a day, on terminals only."""

from __future__ import annotations

import contextlib
import sys
from datetime import date
from pathlib import Path

from partita.cli.choices import better_stems
from partita.errors import PartitaError
from partita.weights.cache_folder import cache_folder
from partita.weights.cards import DEFAULT_MODEL
from partita.weights.licences import wants_commercial_only


def hint_at_better_stems(model: str) -> None:
    """Say on a terminal that better stems exist than the default's, and how to get them.

    Where nothing can be kept in the cache folder, nothing is said.
    """
    if model != DEFAULT_MODEL or wants_commercial_only():
        return
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        return
    better = better_stems()
    if better and _is_first_today():
        from rich.console import Console

        text = f"Better stems, slower: {better}; see partita models"
        console = Console(stderr=True, highlight=False, markup=False)
        console.print(text, style="dim", soft_wrap=True)


def _is_first_today() -> bool:
    """Tell whether nothing was said today; from now on, something was.

    An empty file is named after the day: of several processes, one alone can make it.
    """
    name = f"{date.today():%Y-%m-%d}"
    try:
        folder = cache_folder() / "hints"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch(exist_ok=False)
        _remove_others(folder, name)
    except (OSError, PartitaError):  # also FileExistsError: it was said
        return False
    return True


def _remove_others(folder: Path, name: str) -> None:
    for path in folder.iterdir():
        if path.name != name:
            with contextlib.suppress(OSError):
                path.unlink()
