"""Files of object stores and web servers."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from partita.audio.audio_reader import AudioReader
from partita.catalogue.files import Listed
from partita.catalogue.transport.addresses import joined, scheme_of, shown
from partita.catalogue.transport.faults import Patience, explained, retried
from partita.catalogue.transport.fetching import fetched
from partita.catalogue.transport.filesystems import file_system, path_of
from partita.catalogue.transport.listing import list_store, version_of
from partita.catalogue.transport.publishing import publish
from partita.catalogue.transport.ranged import RangedFile, UnsizedError

#: Of files that are read whole: records and shards of a plan.
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class StoreFiles:
    """Access to S3 (``s3://``), Google Cloud Storage (``gs://``) and web servers (read only).

    Parameters
    ----------
    patience : Patience
        How often a busy store is asked again.
    """

    patience: Patience = field(default_factory=Patience)

    def find(self, address: str) -> Listed:
        """Return size and version of a file."""
        facts = self._do(address, lambda store, path: store.info(path))
        if facts["type"] == "directory":
            raise FileNotFoundError(errno.ENOENT, "is a folder", shown(address))
        return Listed(address, facts["size"], version_of(facts))

    def list(self, prefix: str) -> Iterator[Listed]:
        """Yield the files below a folder, page by page, hidden ones left out."""
        return list_store(prefix, self.patience)

    @contextlib.contextmanager
    def open_source(self, address: str, version: str = "") -> Iterator[Path]:
        """Fetch a file into a temporary one."""
        with fetched(address, version, self.patience) as path:
            yield path

    @contextlib.contextmanager
    def open_reader(self, address: str) -> Iterator[AudioReader]:
        """Open a song without fetching more of it than is read."""
        from partita.audio.ffmpeg import FFmpegReader
        from partita.audio.reader import open_audio

        name = shown(address)
        with contextlib.ExitStack() as stack:
            try:
                source = stack.enter_context(RangedFile(address, self.patience))
            except UnsizedError:
                path = stack.enter_context(self.open_source(address))
                yield stack.enter_context(open_audio(path))
                return
            yield stack.enter_context(FFmpegReader(Path(name), name, source=source))

    def read(self, address: str) -> bytes:
        """Return a small file's content."""
        data: bytes = self._do(address, _content)
        if len(data) >= _MOST_BYTES:
            raise OSError(errno.EFBIG, f"has more than {_MOST_BYTES >> 20} MiB", shown(address))
        return data

    def write_once(self, address: str, data: bytes) -> bool:
        """Write a small file that is not there yet.

        The store itself refuses a second one (``If-None-Match: *``). Where it does not know that
        request, two writers at the same moment may both be told that they were the first.
        """
        self._check_writable(address)
        return bool(self._do(address, lambda store, path: _written_once(store, path, data)))

    def publish(self, folder: Path, destination: str) -> None:
        """Upload all files of a folder, then give all of them their names."""
        self._check_writable(destination)
        files = {
            path: joined(destination, path.relative_to(folder).as_posix())
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        publish(files, self.patience)

    def remove(self, address: str) -> None:
        """Remove a file."""
        self._check_writable(address)
        with contextlib.suppress(FileNotFoundError):
            self._do(address, lambda store, path: store.rm_file(path))

    def join(self, folder: str, *parts: str) -> str:
        """Return the address of something below a folder."""
        return joined(folder, "/".join(part.strip("/") for part in parts))

    def _do(self, address: str, action: Any) -> Any:
        store, path = file_system(address), path_of(address)
        return retried(lambda: action(store, path), address, self.patience)

    def _check_writable(self, address: str) -> None:
        if scheme_of(address).startswith("http"):
            reason = "web servers take no files: choose a folder, s3:// or gs://"
            raise OSError(errno.EROFS, reason, shown(address))


def _content(store: Any, path: str) -> bytes:
    """Read in one request; without an end, S3 would be asked for the size first."""
    try:
        return bytes(store.cat_file(path, start=0, end=_MOST_BYTES))
    except OSError as error:
        if explained(error, path).errno == errno.EINVAL:  # nothing is in the range: an empty file
            return bytes(store.cat_file(path))
        raise


def _written_once(store: Any, path: str, data: bytes) -> bool:
    try:
        store.pipe_file(path, data, mode="create")
    except OSError as error:
        if isinstance(error, NotImplementedError) or error.errno == errno.ENOSYS:
            if store.exists(path):
                return False
            store.pipe_file(path, data)
            return True
        if isinstance(error, FileExistsError) or error.errno == errno.EEXIST:
            # Perhaps our own: it was written, but the answer got lost.
            return _content(store, path) == data
        raise
    return True
