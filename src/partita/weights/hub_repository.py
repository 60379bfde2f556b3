"""Repositories of the Hugging Face Hub: their files, addresses and licence.

Address and login are those of `huggingface_hub` (``HF_ENDPOINT``, ``HF_TOKEN``, ``hf auth login``).
Replies of the server are bounded here, since they are not trusted. Nothing here
imports PyTorch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from partita.errors import WeightsUnavailableError, one_line
from partita.weights.http_fetch import HttpStatusError, fetch_bytes
from partita.weights.web_names import HUB, HubName

_MOST_BYTES = 20_000_000
_MOST_FILES = 20_000
_SHA256_DIGITS = 64
_SHOWN_CHARS = 100
_LOGIN = "log in with hf auth login, or set HF_TOKEN"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository.

    Attributes
    ----------
    address : str
    size : int
        In bytes; 0: not stated.
    sha256 : str
        Empty: not stated, as for small files.
    """

    address: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Repository:
    """The metadata of a repository.

    Attributes
    ----------
    commit : str
        The commit of all addresses.
    files : mapping of str to HubFile
        Path → file.
    licence : str
        As its card states it; empty: not stated.
    headers : mapping of str to str
        HTTP headers for requests of files (authorisation).
    """

    commit: str
    files: Mapping[str, HubFile]
    licence: str
    headers: Mapping[str, str]


def read_repository(name: HubName, revision: str = "") -> Repository:
    """Fetch the metadata of a repository.

    Parameters
    ----------
    name : HubName
    revision : str
        Revision to use instead of the name's.

    Raises
    ------
    WeightsUnavailableError
        `huggingface_hub` is missing or set to offline; no network; no such repository or revision,
        or no access to it; or an invalid reply.
    """
    library = _library()
    if library.constants.HF_HUB_OFFLINE:
        raise WeightsUnavailableError(f"{name.text}: HF_HUB_OFFLINE is set")
    endpoint = os.environ.get("HF_ENDPOINT", library.constants.ENDPOINT).rstrip("/")
    headers = library.utils.build_hf_headers(library_name="partita")
    address = f"{endpoint}/api/models/{name.repository}"
    wanted = revision or name.revision
    if wanted:
        address += f"/revision/{quote(wanted, safe='')}"
    try:
        reply = fetch_bytes(f"{address}?blobs=true", _MOST_BYTES, headers)
    except HttpStatusError as error:
        raise _refusal(name, error.status, wanted) from error
    try:
        said = json.loads(reply)
        commit = said.get("sha") or wanted or "main"
        place = f"{endpoint}/{name.repository}/resolve/{quote(str(commit), safe='')}"
        files = _files(said["siblings"], place)
        licence = _licence(said)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsUnavailableError(
            f"{name.text}: the server's reply is invalid ({address})"
        ) from error
    return Repository(one_line(str(commit)[:_SHOWN_CHARS]), files, licence, headers)


def refused_file(name: HubName, error: HttpStatusError) -> WeightsUnavailableError:
    """Return the error for a repository that lists its files but refuses one."""
    if error.status in (401, 403):
        return WeightsUnavailableError(
            f"{name.text} is gated (HTTP status {error.status}): ask for access on its page, then "
            f"{_LOGIN}"
        )
    return WeightsUnavailableError(f"{name.text}: {error}")


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise WeightsUnavailableError(
            f"names that begin with {HUB} need huggingface_hub: pip install 'partita[hub]'"
        ) from error
    import huggingface_hub.constants
    import huggingface_hub.utils

    return huggingface_hub


def _refusal(name: HubName, status: int, revision: str) -> WeightsUnavailableError:
    """Return the error for a refused request."""
    what = f"no repository {name.repository}"
    if revision:
        what += f", or none with the revision {one_line(revision[:_SHOWN_CHARS])}"
    if status == 401:  # also for unknown names
        reason = f"there is {what}, or it is private or gated: then {_LOGIN}"
    elif status == 403:
        reason = f"the server refuses: ask for access on the repository's page, then {_LOGIN}"
    elif status == 404:
        reason = f"there is {what}"
    else:
        reason = "the server refuses"
    return WeightsUnavailableError(f"{name.text}: {reason} (HTTP status {status})")


def _files(siblings: Any, place: str) -> dict[str, HubFile]:
    if not isinstance(siblings, list) or len(siblings) > _MOST_FILES:
        raise ValueError
    files = {}
    for entry in siblings:
        path, size, stored = entry["rfilename"], entry.get("size"), entry.get("lfs") or {}
        if not isinstance(path, str):
            raise TypeError
        digest = str(stored.get("sha256") or "").lower()
        is_digest = len(digest) == _SHA256_DIGITS and set(digest) <= set("0123456789abcdef")
        files[path] = HubFile(
            f"{place}/{quote(path)}",
            size if type(size) is int and size > 0 else 0,
            digest if is_digest else "",
        )
    return files


def _licence(said: Mapping[str, Any]) -> str:
    """Return the licence in the metadata of a repository's card; empty: none."""
    card = said.get("cardData")
    stated = card if isinstance(card, dict) else {}
    licence = stated.get("license")
    if licence == "other":
        licence = stated.get("license_name") or licence
    if isinstance(licence, list):
        licence = " AND ".join(map(str, licence))
    if licence is None:
        tags = said.get("tags")
        named = [tag for tag in tags if str(tag).startswith("license:")] if tags else []
        licence = str(named[0]).partition(":")[2] if named else ""
    return one_line(str(licence).strip()[:_SHOWN_CHARS])
