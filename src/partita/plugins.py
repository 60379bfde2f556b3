"""Entry points: what other distributions add to partita, looked up when it is needed.

========================  ==================  ================================================
group                     name, for instance  object
========================  ==================  ================================================
``partita.commands``      ``data.synthesize``  function of ``partita data synthesize``, for Typer
``partita.models``        ``mine``            class of a model, a `partita.models.SeparationModel`
``partita.song_sources``  ``toml``            reads the file of songs to train on:
                                              called with path, recipe and model, it returns
                                              `partita.training.song_sources.SongSource`
========================  ==================  ================================================
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from partita.errors import UsageError, one_line

COMMANDS, MODELS = "partita.commands", "partita.models"
SONG_SOURCES = "partita.song_sources"
#: Names that are worth a hint where no distribution has them: partita's extra that installs it.
_EXTRAS = {(COMMANDS, "data.synthesize"): "synthesis", (SONG_SOURCES, "toml"): "synthesis"}


def plugin_names(group: str) -> list[str]:
    """Return the names that installed distributions have in a group."""
    return sorted(entry_points(group=group).names)


def is_plugin(group: str, name: str) -> bool:
    """Return whether an installed distribution has a name, or one that could be installed."""
    return (group, name) in _EXTRAS or name in entry_points(group=group).names


def load_plugin(group: str, name: str, wanted: object) -> Any:
    """Import the object behind a name for which `is_plugin` is true.

    Parameters
    ----------
    group, name : str
    wanted : object
        What the message begins with: a command, a file.

    Raises
    ------
    UsageError
        The distribution is not installed, or cannot be imported.
    """
    found: list[EntryPoint] = list(entry_points(group=group, name=name))
    if not found:
        extra = _EXTRAS[group, name]
        raise UsageError(
            f'{one_line(wanted)} needs partita-{extra}: pip install "partita[{extra}]"'
        )
    try:
        return found[0].load()
    except (ImportError, AttributeError) as error:
        owner = found[0].dist.name if found[0].dist is not None else found[0].value
        raise UsageError(
            f"{one_line(wanted)}: {owner} cannot be imported: {one_line(error)}"
        ) from error
