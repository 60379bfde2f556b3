"""Pins: what was fetched for a web name, so that the name never stands for other files.

Nothing here imports PyTorch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from partita.errors import WeightsCorruptError, one_line
from partita.files import exists, whole_file
from partita.weights.cache_folder import cache_folder
from partita.weights.web_names import HubName, WebAddress, is_web_name, local_file

_FILE = "pin.json"
_MOST_BYTES = 100_000
_MOST_LABEL_CHARS = 60


@dataclass(frozen=True)
class PinnedFile:
    """A fetched file.

    Attributes
    ----------
    filename : str
        In the folder of the name.
    address : str
    size : int
        In bytes.
    sha256 : str
    """

    filename: str
    address: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Pin:
    """The files that a web name stands for since it was first fetched.

    Attributes
    ----------
    name : str
    files : tuple of PinnedFile
        The checkpoint, then its configuration, if it has one.
    revision : str
        The repository's commit; empty for addresses.
    tag : str
        The server's ETag or modification date of the checkpoint; empty: none.
    licence : str
        As the repository's card states it; empty: not stated.
    fetched : str
        Date, as ``2026-11-29``.
    """

    name: str
    files: tuple[PinnedFile, ...]
    revision: str
    tag: str
    licence: str
    fetched: str


def requested_name(found: HubName | WebAddress) -> str:
    """Return the name of what is fetched; it excludes a local configuration."""
    return f"{found.text}@{found.config}" if is_web_name(found.config) else found.text


def web_folder(found: HubName | WebAddress) -> Path:
    """Return the cache folder for the files of a name."""
    digest = hashlib.sha256(requested_name(found).encode()).hexdigest()
    return cache_folder() / "web" / f"{local_file(found.label)[:_MOST_LABEL_CHARS]}-{digest[:12]}"


def read_pin(folder: Path) -> Pin | None:
    """Return the pin of a folder; None: there is none.

    Raises
    ------
    WeightsCorruptError
        The pin is damaged.
    """
    path = folder / _FILE
    if not exists(path):
        return None
    try:
        with path.open("rb") as file:
            said = json.loads(file.read(_MOST_BYTES))
        files = tuple(PinnedFile(**_texts(each, ("size",))) for each in said.pop("files"))
        names = {Path(file.filename).name for file in files}
        if not files or names != {file.filename for file in files}:
            raise ValueError
        return Pin(files=files, **_texts(said))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsCorruptError(
            f"{one_line(path)}: damaged; remove {one_line(folder)} to fetch the model again"
        ) from error


def write_pin(folder: Path, pin: Pin) -> None:
    """Write the pin of a folder.

    Raises
    ------
    OSError
        It cannot be written.
    """
    with whole_file(folder / _FILE) as partial:
        partial.write_text(json.dumps(dataclasses.asdict(pin), indent=2), encoding="utf-8")


def remove_others(folder: Path, pin: Pin) -> None:
    """Remove the files of a folder that are not pinned (older versions)."""
    names = {_FILE, *(file.filename for file in pin.files)}
    for path in folder.iterdir():
        if path.name not in names and path.is_file():
            path.unlink()


def _texts(values: dict[str, Any], numbers: tuple[str, ...] = ()) -> dict[str, Any]:
    for key, value in values.items():
        if type(value) is not (int if key in numbers else str):
            raise TypeError
    return values
