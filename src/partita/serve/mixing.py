"""A mix of stems, as a process of its own makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from partita.child_process import Reporter
from partita.mixing.output import find_target
from partita.mixing.recipe import Recipe
from partita.mixing.tempo_key import TempoKey
from partita.serve.records import finite
from partita.serve.worker import in_peoples_words


@dataclass(frozen=True)
class MixResult:
    """What a mix has led to.

    Attributes
    ----------
    gain_db : float
        Of the whole mix, against clipping or for the loudness that was wanted.
    loudness_lufs : float or None
        Where a loudness was wanted; None also for silence.
    warnings : tuple of str
    """

    gain_db: float
    loudness_lufs: float | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Mixdown:
    """A mix to make.

    Attributes
    ----------
    name : str
        The song's.
    stems : mapping of str to Path
    recipe : Recipe
    out : Path
        A file, or a zip archive of several.
    format : str
        One of `partita.audio.formats.FORMATS`.
    bits : str or None
    tempo : TempoKey or None
        The song's, for a click; None: estimated if there is to be one.
    """

    name: str
    stems: Mapping[str, Path]
    recipe: Recipe
    out: Path
    format: str
    bits: str | None
    tempo: TempoKey | None = None

    @property
    def names(self) -> dict[str, str]:
        """See `partita.serve.worker.Task`."""
        files = {str(path): f"{self.name} ({stem})" for stem, path in self.stems.items()}
        return {**files, str(self.out): self.out.name}

    def run(self, report: Reporter) -> MixResult:
        """Write it."""
        from partita.datasets.tracks import StemFile
        from partita.mixing.mix import mix_song
        from partita.mixing.song import StemSong

        song = StemSong(self.name, {stem: StemFile(path) for stem, path in self.stems.items()})
        files = mix_song(
            song,
            find_target(self.out, self.format, self.bits),
            self.recipe,
            overwrite=True,
            progress=lambda done_s, total_s: report.progress(done_s, total_s, "mixing"),
            tempo=self.tempo,
        )
        return MixResult(
            gain_db=files.gain_db,
            loudness_lufs=finite(files.loudness_lufs),
            warnings=tuple(in_peoples_words(self.names, each) for each in files.warnings),
        )
