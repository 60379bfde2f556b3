"""Stems into stores: uploaded in parts, and named when all are there."""

from __future__ import annotations

import contextlib
import errno
import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from partita.catalogue.transport.addresses import shown
from partita.catalogue.transport.faults import Patience, retried
from partita.catalogue.transport.filesystems import PART_BYTES, file_system, path_of

_UPLOADS = 4  # at once, each with a part in memory


def publish(files: Mapping[Path, str], patience: Patience) -> None:
    """Upload files; none has its name in the store before all are there.

    Each is uploaded in parts, which nobody sees, then all uploads are completed: an object appears
    whole at that moment. If an upload fails, all are given up; if one cannot be completed, those
    that were are removed. What a killed process uploaded is never seen; a rule of the bucket
    (AbortIncompleteMultipartUpload) clears it away.

    Parameters
    ----------
    files : mapping of Path to str
        Local file → address.
    patience : Patience

    Raises
    ------
    OSError
    """
    uploads: list[_Upload] = [_Upload(path, address, patience) for path, address in files.items()]
    pool = ThreadPoolExecutor(_UPLOADS)
    try:
        for each in [pool.submit(upload.send) for upload in uploads]:
            each.result()
        done: list[_Upload] = []
        try:
            for upload in uploads:
                done.append(upload)
                upload.complete()
        except BaseException:
            for upload in done:
                upload.remove()
            raise
    finally:
        pool.shutdown(cancel_futures=True)
        for upload in uploads:
            upload.give_up()


class _Upload:
    """One file on its way."""

    def __init__(self, path: Path, address: str, patience: Patience) -> None:
        self._path, self._address, self._patience = path, address, patience
        self._store = file_system(address)
        self._file: Any = None
        self._is_named = False

    def send(self) -> None:
        """Upload all parts."""
        retried(self._send, self._address, self._patience)

    def _send(self) -> None:
        self.give_up()
        self._file = self._store.open(
            path_of(self._address), "wb", block_size=PART_BYTES, autocommit=False
        )
        with self._path.open("rb") as source:
            while chunk := source.read(PART_BYTES):
                self._file.write(chunk)
        self._file.close()

    def complete(self) -> None:
        """Give the file its name, and make sure that all of it is there."""
        try:
            retried(self._file.commit, self._address, self._patience)
        except FileNotFoundError:  # completed already: the answer was lost
            if not self._is_there():
                raise
        self._is_named = True
        found = retried(
            lambda: self._store.info(path_of(self._address)), self._address, self._patience
        )
        if found["size"] != self._path.stat().st_size:
            reason = f"{found['size']} of {self._path.stat().st_size} bytes arrived"
            raise OSError(errno.EIO, reason, shown(self._address))

    def _is_there(self) -> bool:
        """Return whether S3 has exactly these parts, by their hashes."""
        parts = getattr(self._file, "parts", None) or ()
        try:
            hashes = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
            found = self._store.info(path_of(self._address))
        except Exception:
            return False
        whole = hashlib.md5(hashes, usedforsecurity=False).hexdigest()
        return bool(parts) and str(found.get("ETag")).strip('"') == f"{whole}-{len(parts)}"

    def give_up(self) -> None:
        """Discard what has no name yet."""
        if self._file is None or self._is_named:
            return
        with contextlib.suppress(Exception):
            self._file.discard()
        self._file.closed = True  # else its destructor uploads what is left
        self._file = None

    def remove(self) -> None:
        """Remove what has its name."""
        if self._is_named or self._is_there():
            with contextlib.suppress(Exception):
                self._store.rm_file(path_of(self._address))
