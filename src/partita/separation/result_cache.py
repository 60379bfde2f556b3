"""A cache of what a comparison makes: each entry is named after what it was made of."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from partita.audio.work_folder import work_folder
from partita.errors import write_error
from partita.files import sync_folder, whole_file
from partita.weights.download import file_sha256

_log = logging.getLogger(__name__)
_INDEX = "entry.json"
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
_MOST_ATTEMPTS = 100


@dataclass
class Entry:
    """Files that belong together, and facts about them.

    Attributes
    ----------
    folder : Path
        Holds the files.
    facts : dict of str to object
        Values that JSON can represent.
    """

    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)


class Cache:
    """Results by the digest of everything that determines them.

    What is there is complete: entries are written in a hidden folder and get their name when all
    of their files are on the disk. Several processes may share a cache.

    Parameters
    ----------
    root : Path
        Made when the first entry is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, kind: str, key: str) -> Path:
        """Return the folder of an entry, whether it is there or not."""
        return self.root / kind / key[:32]

    def find(self, kind: str, key: str, *, verify: bool = False) -> Entry | None:
        """Return an entry; None if there is none, or if it is damaged: then it is removed.

        Parameters
        ----------
        kind, key : str
        verify : bool
            Compare the files' SHA-256 as well as their lengths.
        """
        folder = self.place(kind, key)
        try:
            index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            facts = dict(index["facts"])
            is_whole = index["key"] == key and all(
                _is_whole(folder / name, said, verify) for name, said in index["files"].items()
            )
        except FileNotFoundError:
            is_whole, facts = False, {}
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            is_whole, facts = False, {}
        if is_whole:
            return Entry(folder, facts)
        if folder.exists():
            _log.warning("%s of the cache is damaged: it is made again", folder)
            shutil.rmtree(folder, ignore_errors=True)
        return None

    @contextlib.contextmanager
    def making(self, kind: str, key: str) -> Iterator[Entry]:
        """Give an entry to fill: files into its folder, facts into its mapping.

        It gets its name at the end of the block; after an exception nothing is left.

        Raises
        ------
        AudioWriteError
            The cache cannot be written.
        """
        place = self.place(kind, key)
        try:
            with work_folder(place.parent) as work:
                made = Entry(work / place.name)
                made.folder.mkdir()
                yield made
                files = {path.name: _described(path) for path in sorted(made.folder.iterdir())}
                content = {"key": key, "facts": made.facts, "files": files}
                with whole_file(made.folder / _INDEX) as partial:
                    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
                self._put(made.folder, place)
                made.folder = place
        except OSError as error:
            raise write_error(self.root, error) from error

    def _put(self, folder: Path, place: Path) -> None:
        """Give an entry its name; of several processes that do, the last one's stays."""
        for attempt in itertools.count():
            shutil.rmtree(place, ignore_errors=True)
            try:
                folder.replace(place)
                break
            except OSError as error:
                if error.errno not in _TAKEN or attempt == _MOST_ATTEMPTS:
                    raise
        sync_folder(place.parent)

    def remember(self, kind: str, key: str, facts: Mapping[str, Any]) -> None:
        """Keep facts without files; raises as `making`."""
        with self.making(kind, key) as made:
            made.facts.update(facts)


def _described(path: Path) -> list[Any]:
    return [path.stat().st_size, file_sha256(path)]


def _is_whole(path: Path, said: list[Any], verify: bool) -> bool:
    size, digest = said
    return path.stat().st_size == size and (not verify or file_sha256(path) == digest)
