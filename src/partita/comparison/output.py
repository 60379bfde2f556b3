"""The folder of a comparison: scores, tables, losses, manifest."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from partita.comparison.results import Comparison, EntrantResult
from partita.errors import write_error
from partita.files import part_of_path, whole_file
from partita.training.run_folder import RunFolder

MANIFEST = "manifest.json"
_FILES = "files"


class OutputFolder:
    """The folder of a comparison; what an earlier comparison left and this has not is removed.

    Parameters
    ----------
    root : Path
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._written: list[str] = []

    def write(self, comparison: Comparison, manifest: Mapping[str, Any]) -> None:
        """Write scores, losses and, last, the manifest.

        Raises
        ------
        AudioWriteError
            The folder cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for result in comparison.results:
                self._write_entrant(result, {t.name: t.subset for t in comparison.tracks})
            before = self._earlier_files()
            for name in sorted(before - set(self._written)):
                self._remove(name)
            text = json.dumps({**manifest, _FILES: sorted(self._written)}, indent=1)
            self._put(MANIFEST, lambda path: path.write_text(text + "\n", encoding="utf-8"))
        except OSError as error:
            raise write_error(self.root, error) from error

    def claim(self, path: Path) -> None:
        """Note that a file below the folder belongs to this comparison."""
        self._written.append(path.relative_to(self.root).as_posix())

    def _write_entrant(self, result: EntrantResult, subsets: Mapping[str, str]) -> None:
        name = part_of_path(result.entrant.name)
        for track, scores in result.scores.items():
            file = f"{track.replace('/', '_')}.json"  # as the benchmark names them
            text = json.dumps(scores.to_json(), indent=1) + "\n"
            place = f"scores/{name}/{subsets[track] or 'test'}/{file}"
            self._put_text(place, text)
        if result.run is not None and (losses := RunFolder(result.run).losses).exists():
            self._put(f"losses/{name}.csv", lambda path: shutil.copyfile(losses, path))

    def _put_text(self, name: str, text: str) -> None:
        path = self.root / name
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if path.read_text(encoding="utf-8") == text:  # its time stays as well
                self._written.append(name)
                return
        self._put(name, lambda partial: partial.write_text(text, encoding="utf-8"))

    def _put(self, name: str, write: Callable[[Path], object]) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            write(partial)
        self._written.append(name)

    def _earlier_files(self) -> set[str]:
        try:
            found = json.loads((self.root / MANIFEST).read_text(encoding="utf-8"))[_FILES]
            return {name for name in found if isinstance(name, str)}
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return set()

    def _remove(self, name: str) -> None:
        path = self.root / name
        if not path.resolve().is_relative_to(self.root.resolve()):
            return  # somebody else wrote that manifest
        with contextlib.suppress(OSError):
            path.unlink()
            path.parent.rmdir()  # if nothing else is in it
            path.parent.parent.rmdir()
