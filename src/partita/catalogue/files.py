"""Access to files: the interface of stores, and its implementation for local folders."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from partita.audio.audio_reader import AudioReader
from partita.audio.reader import open_audio
from partita.errors import AudioReadError, one_line
from partita.files import sync_file, sync_folder


@dataclass(frozen=True)
class Listed:
    """A file of a store.

    Attributes
    ----------
    address : str
    size : int or None
        In bytes.
    version : str
        Changes when the content does, see `partita.catalogue.records.PlannedSong`.
    """

    address: str
    size: int | None
    version: str


class SourceChangedError(OSError):
    """A song is not any more what it was when somebody looked at it."""


class NoSongError(OSError):
    """A file that is no song, by its size."""


class Files(Protocol):
    """Access to one kind of store. All methods may be called by many processes at once.

    Addresses are those of the store (``s3://bucket/key``), or local paths. Errors are OSErrors:
    FileNotFoundError, PermissionError, TimeoutError and ConnectionError mean what they say, and
    what a store answers in its own way is one of them or an OSError with one line of text.
    Implementations can be pickled, and hold no connection when they are.
    """

    def find(self, address: str) -> Listed:
        """Return size and version of a file; FileNotFoundError: there is none."""

    def list(self, prefix: str) -> Iterator[Listed]:
        """Yield the files below a folder, in the order of their addresses, page by page.

        A folder that is not there has none.
        """

    def open_source(self, address: str, version: str = "") -> AbstractContextManager[Path]:
        """Give a path that `partita.audio.reader.open_audio` opens, while the context lasts.

        A local file is itself; others are there for as long. SourceChangedError: it has another
        version than the one that is expected, or changed while it was fetched.
        """

    def open_reader(self, address: str) -> AbstractContextManager[AudioReader]:
        """Open a song of which only the beginning is read, or nothing but its length.

        Of a song in a store, only ranges are fetched. The length of mp3 and other files that do
        not state theirs may be an estimate.
        """

    def read(self, address: str) -> bytes:
        """Return a small file's content."""

    def write_once(self, address: str, data: bytes) -> bool:
        """Write a small file, whole or not at all; False: it is there already, nothing changed."""

    def publish(self, folder: Path, destination: str) -> None:
        """Put all files of a local folder below a destination; each appears whole or not at all.

        What has the same name is replaced. No file appears before all are there to be named.
        """

    def remove(self, address: str) -> None:
        """Remove a file; nothing happens if there is none."""

    def join(self, folder: str, *parts: str) -> str:
        """Return the address of something below a folder."""


class LocalFiles:
    """Files of this machine, or of a file system that several machines share."""

    def find(self, address: str) -> Listed:
        """Return size and version of a file; AudioReadError: a pipe or the like, which may wait."""
        found = Path(address).stat()
        if not stat.S_ISREG(found.st_mode):
            raise AudioReadError(f"{one_line(address)}: is not a file")
        return Listed(address, found.st_size, str(found.st_mtime_ns))

    def list(self, prefix: str) -> Iterator[Listed]:
        """Yield the files below a folder, in the order of their paths, hidden ones left out."""
        try:
            with os.scandir(prefix) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        for entry in found:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from self.list(entry.path)
            else:
                with contextlib.suppress(FileNotFoundError, AudioReadError):
                    yield self.find(entry.path)

    @contextlib.contextmanager
    def open_reader(self, address: str) -> Iterator[AudioReader]:
        """Open a song."""
        with self.open_source(address) as path, open_audio(path) as reader:
            yield reader

    @contextlib.contextmanager
    def open_source(self, address: str, version: str = "") -> Iterator[Path]:
        """Give the path itself."""
        if version and self.find(address).version != version:
            raise SourceChangedError(errno.ESTALE, "was changed", address)
        with Path(address).open("rb"):  # says why not, as other stores do
            yield Path(address)

    def read(self, address: str) -> bytes:
        """Return a file's content."""
        return Path(address).read_bytes()

    def write_once(self, address: str, data: bytes) -> bool:
        """Write a file that is not there yet; it is on the disk before it has its name."""
        path = Path(address)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.partial")
        try:
            partial.write_bytes(data)
            sync_file(partial)
            _name_once(partial, path)
        except FileExistsError:
            return False
        finally:
            partial.unlink(missing_ok=True)
        sync_folder(path.parent)
        return True

    def publish(self, folder: Path, destination: str) -> None:
        """Copy files beside their final names, put them on the disk, then rename all."""
        root = Path(destination)
        pairs = []
        try:
            for source in sorted(path for path in folder.rglob("*") if path.is_file()):
                final = root / source.relative_to(folder)
                final.parent.mkdir(parents=True, exist_ok=True)
                partial = final.with_name(f".{final.name[:40]}.{uuid.uuid4().hex}.partial")
                pairs.append((partial, final))
                shutil.copyfile(source, partial)
                sync_file(partial)
            for partial, final in pairs:
                partial.replace(final)
        finally:
            for partial, _ in pairs:
                partial.unlink(missing_ok=True)
        for parent in {final.parent for _, final in pairs}:
            sync_folder(parent)

    def remove(self, address: str) -> None:
        """Remove a file."""
        Path(address).unlink(missing_ok=True)

    def join(self, folder: str, *parts: str) -> str:
        """Return a path below a folder."""
        return str(Path(folder, *parts))


def _name_once(partial: Path, path: Path) -> None:
    """Give a file its name if nothing has it yet, else raise FileExistsError."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if path.exists():
            raise FileExistsError(str(path)) from None
        partial.replace(path)


_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def is_local(address: str) -> bool:
    """Return whether an address is a path of this machine."""
    return _SCHEME.match(address) is None


def absolute(address: str) -> str:
    """Return an address that means the same in a process with another current folder."""
    return str(Path(address).absolute()) if is_local(address) else address


def files_of(address: str) -> Files:
    """Return what accesses an address.

    Raises
    ------
    UsageError
        Nothing that is installed does, or the address carries a password or a signature.
    """
    if is_local(address):
        return LocalFiles()
    from partita.catalogue.transport.addresses import check_address
    from partita.catalogue.transport.filesystems import check_installed
    from partita.catalogue.transport.store_files import StoreFiles

    check_address(address)
    check_installed(address)
    return StoreFiles()
