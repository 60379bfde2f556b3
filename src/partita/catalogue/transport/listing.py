"""The files of a store: page by page, and by patterns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from partita.catalogue.files import Listed
from partita.catalogue.transport.addresses import scheme_of
from partita.catalogue.transport.faults import Patience, retried
from partita.catalogue.transport.filesystems import address_of, file_system, path_of

#: Folders within folders; longer paths are loops of links.
_MOST_DEPTH = 32


def list_store(folder: str, patience: Patience) -> Iterator[Listed]:
    """Yield the files below a folder of a store, hidden ones left out.

    S3 and Google Cloud Storage are read page by page, in the order of the keys; others folder by
    folder. A folder that cannot be read is left out, the others come; then its error is raised.

    Raises
    ------
    OSError
    """
    scheme = scheme_of(folder)
    if scheme == "s3":
        yield from _pages_of_s3(folder, patience)
    elif scheme == "gs":
        yield from _pages_of_google(folder, patience)
    else:
        yield from _folders(folder, patience)


def version_of(facts: dict[str, Any]) -> str:
    """Return what changes when a file's content does; empty: the store does not say."""
    for name in ("ETag", "etag", "generation", "md5Hash", "Last-Modified", "mtime", "created"):
        if facts.get(name):
            return str(facts[name]).strip('"')
    return ""


def _pages_of_s3(folder: str, patience: Patience) -> Iterator[Listed]:
    store = file_system(folder)
    bucket, _, key = path_of(folder).partition("/")
    prefix = f"{key.rstrip('/')}/" if key.rstrip("/") else ""
    going_on: dict[str, str] = {}
    while True:
        ask = partial(store.call_s3, "list_objects_v2", Bucket=bucket, Prefix=prefix, **going_on)
        page = retried(ask, folder, patience)
        for found in page.get("Contents", ()):
            name = str(found["Key"])
            if not _is_hidden(name.removeprefix(prefix)):
                yield Listed(f"s3://{bucket}/{name}", int(found["Size"]), version_of(found))
        if not page.get("IsTruncated"):
            return
        going_on = {"ContinuationToken": page["NextContinuationToken"]}


def _pages_of_google(folder: str, patience: Patience) -> Iterator[Listed]:
    store = file_system(folder)
    bucket, _, key = path_of(folder).partition("/")
    prefix = f"{key.rstrip('/')}/" if key.rstrip("/") else ""
    token: str | None = None
    while True:
        options = {"prefix": prefix, "pageToken": token, "json_out": True}
        page = retried(partial(store.call, "GET", "b/{}/o", bucket, **options), folder, patience)
        for found in page.get("items", ()):
            name = str(found["name"])
            if not _is_hidden(name.removeprefix(prefix)):
                yield Listed(f"gs://{bucket}/{name}", int(found["size"]), version_of(found))
        token = page.get("nextPageToken")
        if not token:
            return


def _folders(folder: str, patience: Patience) -> Iterator[Listed]:
    """Read folder by folder; memory holds the largest one."""
    store = file_system(folder)
    start = folder.rstrip("/") + "/"
    waiting, seen = [(start, 0)], {start}
    first_error: OSError | None = None
    while waiting:
        place, depth = waiting.pop()
        try:
            found = retried(partial(store.ls, path_of(place), detail=True), place, patience)
        except FileNotFoundError as error:
            if scheme_of(folder).startswith("http"):
                first_error = first_error or error
            continue
        except OSError as error:
            first_error = first_error or error
            continue
        below: list[tuple[str, int]] = []
        for facts in sorted(found, key=lambda facts: str(facts["name"])):
            address = address_of(scheme_of(folder), str(facts["name"]))
            if not _is_below(address, start):
                continue
            is_folder = facts["type"] == "directory"
            if _is_hidden(address.removeprefix(start).rstrip("/" if is_folder else "")):
                continue
            if not is_folder:
                yield Listed(address, facts["size"], version_of(facts))
                continue
            address = address.rstrip("/") + "/"
            if address not in seen and depth < _MOST_DEPTH:
                seen.add(address)
                below.append((address, depth + 1))
        waiting += reversed(below)
    if first_error is not None:
        raise first_error


def _is_below(address: str, folder: str) -> bool:
    """Refuse what a listing names outside its folder, and its links to sorted forms of itself."""
    if not address.startswith(folder) or address == folder:
        return False
    if not scheme_of(address).startswith("http"):
        return True
    parts = urlsplit(address)
    return not parts.query and not parts.fragment and ".." not in unquote(parts.path).split("/")


def _is_hidden(name: str) -> bool:
    """Return whether a file, or a folder it is in, is hidden, or is itself only a folder's mark."""
    return name.endswith("/") or not name or any(p.startswith(".") for p in name.split("/"))
