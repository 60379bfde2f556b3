"""What was fetched for a name on the web, written down, so that it cannot become something else.

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
    """A file that was fetched.

    Attributes
    ----------
    filename : str
        Here, below the name's folder.
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
    """What a name on the web stands for since it was first fetched.

    Attributes
    ----------
    name : str
    files : tuple of PinnedFile
        The checkpoint, then what describes it, if anything does.
    revision : str
        The repository's commit; empty: it is no repository.
    tag : str
        What the server says to tell the checkpoint from later ones; empty: nothing.
    licence : str
        What the repository's card states; empty: nothing.
    fetched : str
        The day, as ``2026-11-29``.
    """

    name: str
    files: tuple[PinnedFile, ...]
    revision: str
    tag: str
    licence: str
    fetched: str


def requested_name(found: HubName | WebAddress) -> str:
    """Return what is fetched for a name; a configuration on this machine does not belong to it."""
    return f"{found.text}@{found.config}" if is_web_name(found.config) else found.text


def web_folder(found: HubName | WebAddress) -> Path:
    """Return the folder of the cache where the files of a name are."""
    digest = hashlib.sha256(requested_name(found).encode()).hexdigest()
    return cache_folder() / "web" / f"{local_file(found.label)[:_MOST_LABEL_CHARS]}-{digest[:12]}"


def read_pin(folder: Path) -> Pin | None:
    """Return what was written down in a folder, None where nothing was.

    Raises
    ------
    WeightsCorruptError
        It is damaged.
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
    """Write down what a folder holds.

    Raises
    ------
    OSError
        It cannot be written.
    """
    with whole_file(folder / _FILE) as partial:
        partial.write_text(json.dumps(dataclasses.asdict(pin), indent=2), encoding="utf-8")


def remove_others(folder: Path, pin: Pin) -> None:
    """Remove the files of a folder that are not pinned: those of an earlier state."""
    names = {_FILE, *(file.filename for file in pin.files)}
    for path in folder.iterdir():
        if path.name not in names and path.is_file():
            path.unlink()


def _texts(values: dict[str, Any], numbers: tuple[str, ...] = ()) -> dict[str, Any]:
    for key, value in values.items():
        if type(value) is not (int if key in numbers else str):
            raise TypeError
    return values
