"""The folder of a comparison: page, tables, scores, losses, manifest."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from partita.comparison.manifest import as_facts, manifest_of
from partita.comparison.report import MOST_SONGS, report_of
from partita.comparison.results import Comparison, EntrantResult
from partita.datasets import Dataset
from partita.errors import UsageError, write_error
from partita.files import part_of_path, write_text
from partita.progress import Progress
from partita.reports.content import Section, Table
from partita.reports.page import write_page
from partita.reports.table_files import write_table_files
from partita.training.run_folder import RunFolder

MANIFEST = "manifest.json"


def require_packages() -> None:
    """Make sure that a report can be written, before any work is done for it.

    Raises
    ------
    UsageError
        SciPy or Jinja is not installed.
    """
    for name in ("scipy", "jinja2"):
        if importlib.util.find_spec(name) is None:
            raise UsageError(f'a comparison needs {name}: pip install "partita[compare]"')


def write_results(
    comparison: Comparison,
    sections: Sequence[Section],
    out: Path,
    *,
    dataset: Dataset,
    cache: Path,
    command: str = "",
    device: str = "auto",
    title: str = "",
    most_songs: int = MOST_SONGS,
    audio: str = "opus",
    progress: Progress | None = None,
) -> Path:
    """Write the folder of a comparison: page, tables, scores, losses, manifest.

    Parameters
    ----------
    comparison : Comparison
    sections : sequence of Section
    out : Path
        What an earlier comparison left there, and this one has not, is removed.
    dataset : Dataset
        That was compared on, with all its subsets.
    cache : Path
        That the comparison had.
    command : str
        How it was started; empty: from Python.
    device : str
    title : str
        Of the page; by default it says what is compared on what.
    most_songs : int
        Tracks that the page plays.
    audio : {"opus", "flac"}
        Of the page.
    progress : callable, optional
        Counts the signals of the page.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    UsageError
        The format is unknown, or packages are missing.
    AudioReadError
        A song cannot be read.
    AudioWriteError
        The folder cannot be written.
    """
    manifest = manifest_of(comparison, dataset, cache, command=command, device=device)
    folder = OutputFolder(out)
    folder.write_tables(sections)
    folder.write(comparison, manifest)
    report = report_of(
        comparison,
        sections,
        cache=cache,
        facts=as_facts(manifest),
        title=title,
        most_songs=most_songs,
    )
    return write_page(report, out, audio=audio, progress=progress)


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

    def write_tables(self, sections: Iterable[Section]) -> None:
        """Write the tables of sections as csv, Markdown and LaTeX.

        Raises
        ------
        AudioWriteError
            The folder cannot be written.
        """
        for section in sections:
            for block in section.blocks:
                if isinstance(block, Table):
                    paths = write_table_files(block, self.root / "tables")
                    self._written += [path.relative_to(self.root).as_posix()
                                      for path in paths.values()]  # fmt: skip

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
            self._put(MANIFEST, text + "\n")
        except OSError as error:
            raise write_error(self.root, error) from error

    def _write_entrant(self, result: EntrantResult, subsets: Mapping[str, str]) -> None:
        name = part_of_path(result.entrant.name)
        for track, scores in result.scores.items():
            file = f"{track.replace('/', '_')}.json"  # as the benchmark names them
            text = json.dumps(scores.to_json(), indent=1) + "\n"
            place = f"scores/{name}/{subsets[track] or 'test'}/{file}"
            self._put(place, text)
        if result.run is not None and (losses := RunFolder(result.run).losses).exists():
            self._put(f"losses/{name}.csv", losses.read_text(encoding="utf-8"))

    def _put(self, name: str, text: str) -> None:
        write_text(self.root / name, text)
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
