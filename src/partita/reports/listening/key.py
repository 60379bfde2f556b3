"""The key of a listening test: which entrant is behind which id. Listeners never get it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from partita.errors import ScoresError, one_line
from partita.files import write_text

#: In the folder of the comparison, outside the folder that listeners get.
KEY_FILE = "listening-key.json"
_FORMAT = "partita-listening-key"
_VERSION = 1
_BYTES_MAX = 50_000_000

#: What a signal of a trial is; the reference here is the hidden one.
Kind = Literal["entrant", "reference", "low anchor", "interference anchor"]


@dataclass(frozen=True)
class Item:
    """A signal that listeners rate.

    Attributes
    ----------
    id : str
        Of its audio; says nothing about what it is.
    kind : Kind
    entrant : str
        Name of the entrant; empty for the hidden reference and anchors.
    """

    id: str
    kind: Kind
    entrant: str = ""


@dataclass(frozen=True)
class Trial:
    """Signals that are rated beside each other: one excerpt of one stem of one song.

    Attributes
    ----------
    id : str
    song, stem : str
    start_s, duration_s : float
        Of the excerpt in the song.
    reference : str
        Id of the audio that listeners know to be the reference.
    items : tuple of Item
        In the order of their ids.
    """

    id: str
    song: str
    stem: str
    start_s: float
    duration_s: float
    reference: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Pair:
    """Estimates of two entrants, of which listeners say which one they prefer.

    Attributes
    ----------
    id, song, stem : str
    reference : str
        As in `Trial`.
    items : tuple of Item
        Two.
    """

    id: str
    song: str
    stem: str
    reference: str
    items: tuple[Item, Item]


@dataclass(frozen=True)
class ListeningKey:
    """What a listening test consists of.

    Attributes
    ----------
    page : str
        Digest of everything that listeners see and hear; stands in their answers.
    seed : int
    trials : tuple of Trial
    pairs : tuple of Pair
    """

    page: str
    seed: int
    trials: tuple[Trial, ...]
    pairs: tuple[Pair, ...]

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        content = {"format": _FORMAT, "version": _VERSION, **asdict(self)}
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_key(path: Path) -> ListeningKey:
    """Read the key of a listening test.

    Raises
    ------
    ScoresError
        It cannot be read, or is something else.
    """
    content = read_json(path, _FORMAT, _VERSION, _BYTES_MAX)
    try:
        return ListeningKey(
            page=str(content["page"]),
            seed=int(content["seed"]),
            trials=tuple(map(_trial, content["trials"])),
            pairs=tuple(map(_pair, content["pairs"])),
        )
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = one_line(f"{type(error).__name__} {error}")
        raise ScoresError(f"{one_line(path)}: not the key of a test ({reason})") from error


def _trial(said: Mapping[str, Any]) -> Trial:
    return Trial(
        id=str(said["id"]),
        song=str(said["song"]),
        stem=str(said["stem"]),
        start_s=float(said["start_s"]),
        duration_s=float(said["duration_s"]),
        reference=str(said["reference"]),
        items=tuple(map(_item, said["items"])),
    )


def _pair(said: Mapping[str, Any]) -> Pair:
    first, second = map(_item, said["items"])
    return Pair(
        id=str(said["id"]),
        song=str(said["song"]),
        stem=str(said["stem"]),
        reference=str(said["reference"]),
        items=(first, second),
    )


def _item(said: Mapping[str, Any]) -> Item:
    return Item(str(said["id"]), _kind(said["kind"]), str(said["entrant"]))


def _kind(name: str) -> Kind:
    for kind in get_args(Kind):
        if name == kind:
            return kind  # type: ignore[no-any-return]
    raise ValueError(f"unknown kind {name!r}")


def read_json(path: Path, form: str, version: int, bytes_max: int) -> Mapping[str, Any]:
    """Read a JSON object that anybody may have written.

    Parameters
    ----------
    path : Path
    form : str
        What must stand under ``format``.
    version : int
        What must stand under ``version``.
    bytes_max : int

    Raises
    ------
    ScoresError
        It cannot be read, is larger, or is something else.
    """
    name = one_line(path)
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise ScoresError(f"{name}: {one_line(error.strerror or error)}") from error
    if len(data) > bytes_max:
        raise ScoresError(f"{name}: larger than any {form} file")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ScoresError(f"{name}: not a JSON file ({one_line(error)})") from error
    if not isinstance(content, dict) or content.get("format") != form:
        raise ScoresError(f"{name}: not a {form} file")
    if content.get("version") != version or isinstance(content["version"], bool):
        raise ScoresError(
            f"{name}: a {form} file of another version than {version}: read it with the partita "
            "that wrote its page"
        )
    return content
