"""Spectrograms of a track and its stems, as figures 2 to 5 of the paper."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from partita.datasets import Track
from partita.datasets.tracks import MIXTURE, StemFile
from partita.errors import PartitaError, one_line
from partita.reports.content import Picture, Text
from partita.reports.figures import draw_signals
from partita.weights.identity import digest_of


def picture(
    name: str, caption: str, track: Track, stems: Mapping[str, Path] | None, folder: Path
) -> Picture | Text:
    """Draw a mixture and its stems below each other; unless that is there already.

    Parameters
    ----------
    name, caption : str
    track : Track
    stems : mapping of str to Path, optional
        Estimates; by default the track's own stems.
    folder : Path
        Of the PNG file.

    Returns
    -------
    Picture or Text
        A line that says why where it cannot be drawn.
    """
    files = {name: StemFile(path) for name, path in (stems or {}).items()} or track.stems
    try:
        key = digest_of(1, [[name, file.states()] for name, file in files.items()], track.name)
        path = folder / f"{name}-{key[:12]}.png"
        if not path.exists():
            signals = {MIXTURE: track.load(MIXTURE)}
            drawn = Track(track.name, track.path, track.subset, files)
            signals |= drawn.load_stems()
            for old in folder.glob(f"{name}-*.png"):
                with contextlib.suppress(OSError):
                    old.unlink()
            folder.mkdir(parents=True, exist_ok=True)
            draw_signals(signals, path, title=track.name)
    except (PartitaError, OSError) as error:
        return Text(f"{caption}: cannot be drawn: {one_line(error)}")
    return Picture(name, caption, path)
