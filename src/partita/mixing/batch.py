"""Mixing several songs: one that fails does not stop the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from partita.errors import AudioWriteError, PartitaError, UsageError, one_line, unexpected
from partita.files import folded
from partita.mixing.mix import MixFiles, mix_song
from partita.mixing.output import Target
from partita.mixing.recipe import Recipe
from partita.mixing.song import find_song
from partita.mixing.speed_pitch import require_stretch
from partita.progress import Progress

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MixOutcome:
    """The outcome of one song.

    Attributes
    ----------
    source : str
    files : MixFiles or None
        None: it failed.
    error : str
        One line, where it failed.
    exception : Exception or None
    """

    source: str
    files: MixFiles | None = None
    error: str = ""
    exception: Exception | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """The name of the song in messages."""
        return one_line(self.source)


def mix_songs(
    sources: Sequence[str],
    target: Target,
    recipe: Recipe,
    *,
    overwrite: bool = False,
    progress: Callable[[str, int, int], Progress] | None = None,
) -> Iterator[MixOutcome]:
    """Mix songs, one after the other; yield the outcome of each.

    Parameters
    ----------
    sources : sequence of str
        Folders of stems, or ``.stem.mp4`` files.
    target : Target
        For several songs, a folder.
    recipe : Recipe
    overwrite : bool
        As for `partita.mixing.mix.mix`.
    progress : callable, optional
        Returns the progress function of a song; called with its name, its number from 1 on, and
        how many there are.

    Raises
    ------
    UsageError
        No song can be mixed: several would go into one file, or the library of `speed` and `pitch`
        is not installed.
    """
    sources = list(dict.fromkeys(sources))
    if len(sources) > 1 and target.kind != "folder":
        raise UsageError(
            f"`out` {one_line(target.path)} takes one song, not {len(sources)}: name a folder"
        )
    if recipe.changes_sound:
        require_stretch()
    return _outcomes(sources, target, recipe, overwrite, progress)


def _outcomes(
    sources: Sequence[str],
    target: Target,
    recipe: Recipe,
    overwrite: bool,
    progress: Callable[[str, int, int], Progress] | None,
) -> Iterator[MixOutcome]:
    taken: dict[str, str] = {}
    for number, source in enumerate(sources, start=1):
        try:
            song = find_song(source)
            other = taken.setdefault(folded(song.name), source)
            if other != source:
                raise AudioWriteError(
                    f"its files would replace those of {one_line(other)}: "
                    "mix it into another folder (`out`)"
                )
            report = progress and progress(one_line(source), number, len(sources))
            files = mix_song(song, target, recipe, overwrite=overwrite, progress=report)
            yield MixOutcome(source, files)
        except PartitaError as error:
            yield _failed(source, str(error), error)
        except Exception as error:
            _log.debug("%s", source, exc_info=True)
            text = f"{unexpected(error)}; `logging.DEBUG` shows details"
            yield _failed(source, text, error)


def _failed(source: str, text: str, error: Exception) -> MixOutcome:
    name = one_line(source)
    line = text if text.startswith(f"{name}: ") else f"{name}: {text}"
    return MixOutcome(source, error=line, exception=error)
