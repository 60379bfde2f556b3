"""Records beside the stems of how they were made, so that resuming keeps only stems as wanted.

One hidden JSON file for each song, with sets of stems: wav and flac, or different choices of stems,
may be in one folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from partita.errors import one_line, write_error
from partita.files import whole_file
from partita.weights.download import file_sha256

_FORMAT = "partita-stems-1"
#: The files of records in a folder.
RECORDS = ".stems-*.json"
_HEAD_BYTES = 1 << 20
_PROBE_BYTES = 1 << 16
_PROBES = 16
_LARGEST_MANIFEST = 1 << 24  # bytes


@dataclass(frozen=True)
class FileMark:
    """Identifies the content of a file.

    Attributes
    ----------
    name : str
    size : int
        In bytes.
    mtime_ns : int
        Time of its last modification.
    pieces_sha256 : str
        Of its first megabyte and, for longer files, of pieces spread over the rest.
    sha256 : str
        Of all of it.
    """

    name: str
    size: int
    mtime_ns: int
    pieces_sha256: str
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the mark of a file.

        Raises
        ------
        OSError
            The file cannot be read.
        """
        found = path.stat()
        size = found.st_size
        return cls(
            path.name, size, found.st_mtime_ns, _hash_of_pieces(path, size), file_sha256(path)
        )

    def fits(self, path: Path) -> bool:
        """Return whether a file still has that content.

        Pieces are always read, because copying tools preserve times; all of it only if the time
        differs.
        """
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode) or found.st_size != self.size:
                return False
            if self.pieces_sha256 != _hash_of_pieces(path, found.st_size):
                return False
            return found.st_mtime_ns == self.mtime_ns or self.sha256 == file_sha256(path)
        except OSError:
            return False


def _hash_of_pieces(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(_HEAD_BYTES))
        rest = size - _HEAD_BYTES
        if rest <= _PROBES * _PROBE_BYTES:
            digest.update(file.read(max(0, rest)))
        else:
            for probe in range(1, _PROBES + 1):  # the last one is the file's end
                file.seek(_HEAD_BYTES + rest * probe // _PROBES - _PROBE_BYTES)
                digest.update(file.read(_PROBE_BYTES))
    return digest.hexdigest()


@dataclass(frozen=True)
class Making:
    """How a set of stems was made.

    Attributes
    ----------
    version : str
        partita's.
    model : str
        Its name.
    weights : str
        SHA-256 of the model, see `partita.weights.plan.ModelPlan.digest`.
    options : mapping of str to int, float, str, bool, list or None
        All options that change the sound or the files, by name.
    """

    version: str
    model: str
    weights: str
    options: Mapping[str, Any]

    def difference(self, wanted: Making) -> str:
        """Return how these stems differ from the wanted ones; empty: they do not."""
        if self.weights != wanted.weights:
            other = one_line(self.model)
            return f"other model: {other}" if self.model != wanted.model else "other weights"
        names = [
            name.replace("_", "-")
            for name in sorted(self.options.keys() | wanted.options.keys())
            if self.options.get(name) != wanted.options.get(name)
        ]
        if names:
            return f"other options: {', '.join(map(one_line, names))}"
        if self.version != wanted.version:
            return f"made by partita {one_line(self.version)}"
        return ""


@dataclass(frozen=True)
class _StemSet:
    """Stems that were made together.

    Attributes
    ----------
    making : Making or None
        None: they are being replaced.
    source : FileMark or None
        The song; None: it was not a file, such as standard input.
    files : mapping of str to FileMark
        By path below the folder of the record.
    """

    making: Making | None
    source: FileMark | None
    files: Mapping[str, FileMark]


class Manifest:
    """The record of the stems of one song.

    Parameters
    ----------
    path : Path
        Its path.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def covers(self, paths: Mapping[str, Path]) -> bool:
        """Return whether it concerns these stems; True also if it cannot be read."""
        if not self._path.exists():
            return False
        sets = self._read()
        names = self._names(paths).values()
        return sets is None or any(name in stems.files for stems in sets for name in names)

    def difference(self, paths: Mapping[str, Path], wanted: Making, source: Path) -> str:
        """Return why stems must be made again.

        Parameters
        ----------
        paths : mapping of str to Path
            Stem name → file.
        wanted : Making
        source : Path
            The song.

        Returns
        -------
        str
            A few words; empty: the stems are as wanted.
        """
        sets = self._read()
        if sets is None:
            return "the record beside the stems is damaged"
        names = self._names(paths)
        first = next(iter(names.values()))
        stems = next((stems for stems in sets if first in stems.files), None)
        if stems is None or stems.making is None:
            return "not finished"
        reason = _source_difference(stems.source, source) or stems.making.difference(wanted)
        for stem, name in names.items():
            if reason:
                break
            if name not in stems.files:
                reason = "stems of several runs"
            elif not stems.files[name].fits(paths[stem]):
                reason = f"{one_line(paths[stem].name)} changed"
        return reason

    def write(self, paths: Mapping[str, Path], making: Making, source: FileMark | None) -> None:
        """Record how the stems were made.

        Parameters
        ----------
        paths : mapping of str to Path
            Stem name → file.
        making : Making
        source : FileMark or None
            The song as it was read; None: it is not a file.

        Raises
        ------
        OSError
            A stem cannot be read, or the record cannot be written.
        """
        marks = {name: FileMark.of(paths[stem]) for stem, name in self._names(paths).items()}
        self._add(_StemSet(making, source, marks))

    @contextlib.contextmanager
    def replacing(self, paths: Mapping[str, Path]) -> Iterator[None]:
        """Record existing stems as unfinished while they are replaced.

        A killed process leaves that record. If nothing was replaced, the old record is restored.

        Raises
        ------
        AudioWriteError
            The record cannot be written; the stems are not replaced.
        """
        present = [path for path in set(paths.values()) if path.exists()]
        if not present or not self._path.parent.is_dir():
            yield
            return
        states = [_state(path) for path in present]
        try:
            before = self._path.read_bytes() if self._path.is_file() else None
            self._add(_StemSet(None, None, dict.fromkeys(self._names(paths).values(), _NO_MARK)))
        except OSError as error:
            where = self._path if self._path.exists() else self._path.parent
            raise write_error(where, error) from error
        try:
            yield
        except BaseException:
            if states == [_state(path) for path in present]:
                with contextlib.suppress(OSError):
                    self._restore(before)
            raise

    def _restore(self, content: bytes | None) -> None:
        if content is None:
            self._path.unlink(missing_ok=True)
        else:
            with whole_file(self._path) as partial:
                partial.write_bytes(content)

    def _names(self, paths: Mapping[str, Path]) -> dict[str, str]:
        folder = self._path.parent
        return {stem: path.relative_to(folder).as_posix() for stem, path in paths.items()}

    def _add(self, new: _StemSet) -> None:
        """Write a set, and the others without its files."""
        sets = [new]
        for stems in self._read() or []:
            files = {name: mark for name, mark in stems.files.items() if name not in new.files}
            if files and any((self._path.parent / name).exists() for name in files):
                sets.append(_StemSet(stems.making, stems.source, files))
        content = {"format": _FORMAT, "sets": [asdict(stems) for stems in sets]}
        with whole_file(self._path) as partial:
            partial.write_text(json.dumps(content, indent=1), encoding="ascii")

    def _read(self) -> list[_StemSet] | None:
        """Return the sets, an empty list without a record; None: it cannot be read."""
        try:
            found = self._path.stat()
            if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST_MANIFEST:
                return None
            content = json.loads(self._path.read_bytes())
            if content["format"] != _FORMAT:
                return None
            return [_stem_set(stems) for stems in content["sets"]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None


def unfinished_stems(folder: Path) -> frozenset[str]:
    """Return the names of files in a folder that a killed run was about to replace.

    Folders without records have none.

    Raises
    ------
    OSError
        The folder cannot be read.
    """
    sets = [stems for path in folder.glob(RECORDS) for stems in Manifest(path)._read() or []]
    return frozenset(name for stems in sets if stems.making is None for name in stems.files)


_NO_MARK = FileMark("", -1, 0, "", "")


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _source_difference(made_of: FileMark | None, source: Path) -> str:
    if made_of is not None and made_of.fits(source):
        return ""
    if made_of is None or made_of.name == source.name:
        return "the song changed"
    return f"made of {one_line(made_of.name)}"


def _stem_set(content: dict[str, Any]) -> _StemSet:
    files = {str(name): FileMark(**mark) for name, mark in content["files"].items()}
    making, source = content["making"], content["source"]
    return _StemSet(
        Making(**{**making, "options": dict(making["options"])}) if making else None,
        FileMark(**source) if source else None,
        files,
    )
