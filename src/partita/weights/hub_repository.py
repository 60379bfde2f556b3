"""Repositories of the Hugging Face Hub: which files they hold, and where these are.

Address and login are those of `huggingface_hub` (``HF_ENDPOINT``, ``HF_TOKEN``, ``hf auth login``).
What the server says is fetched and bounded here, since nobody knows who wrote it. Nothing here
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
        Its bytes; 0: they are not said.
    sha256 : str
        Its hash; empty: it is not said, as of small files.
    """

    address: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Repository:
    """What a repository says of itself.

    Attributes
    ----------
    commit : str
        The state of it that all addresses are of.
    files : mapping of str to HubFile
        By their paths.
    licence : str
        What its card states; empty: nothing.
    headers : mapping of str to str
        To send along when a file is asked for: they say who asks.
    """

    commit: str
    files: Mapping[str, HubFile]
    licence: str
    headers: Mapping[str, str]


def read_repository(name: HubName, revision: str = "") -> Repository:
    """Ask for what a repository holds.

    Parameters
    ----------
    name : HubName
    revision : str
        The state that is wanted in the place of the name's.

    Raises
    ------
    WeightsUnavailableError
        `huggingface_hub` is not installed, or set to stay offline; no network, no such repository
        or revision, none that this person may see; or the reply is none.
    """
    library = _library()
    if library.constants.HF_HUB_OFFLINE:
        raise WeightsUnavailableError(f"{name.text}: HF_HUB_OFFLINE is set, so no server is asked")
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
            f"{name.text}: the server does not say what it holds ({address})"
        ) from error
    return Repository(one_line(str(commit)[:_SHOWN_CHARS]), files, licence, headers)


def refused_file(name: HubName, error: HttpStatusError) -> WeightsUnavailableError:
    """Return what to say where a repository shows its files, and does not hand one out."""
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
    """Return what a refused question means."""
    what = f"no repository {name.repository}"
    if revision:
        what += f", or none with the revision {one_line(revision[:_SHOWN_CHARS])}"
    if status == 401:  # the answer to unknown names as well
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
    """Return the licence that a repository's card states in its metadata; empty: none."""
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
