"""Addresses of songs and stems: what is accepted, how it is shown, and names made of keys."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from urllib.parse import parse_qsl, unquote, urlsplit

from partita.errors import UsageError, one_line
from partita.files import part_of_path

#: Scheme of an address → the distribution that reads it, beside fsspec.
SCHEMES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "http": "aiohttp",
    "https": "aiohttp",
}
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://[^\s'\"<>]+", re.IGNORECASE)
#: Parts of the names of parameters that carry secrets: X-Amz-Signature, AWSAccessKeyId, sig, …
_SECRET_NAME = re.compile(
    r"sig|token|key|credential|secret|passw|pwd|auth|policy|hmac|jwt|session", re.IGNORECASE
)
#: Longer values of parameters are not shown: nobody names a song like that.
_MOST_VALUE_CHARS = 24
_KEY_ID = re.compile(r"\b(?:AKIA|ASIA|GOOG)[A-Z0-9]{12,}\b")
_HIDDEN = "…"
_DRIVE = re.compile(r"[A-Za-z]:")
_MOST_BYTES = 200  # of one part of a path; file systems take 255, and suffixes follow
_HASH_CHARS = 12


def scheme_of(address: str) -> str:
    """Return the scheme of an address in lower case; empty: it is a path on this machine."""
    match = _SCHEME.match(address)
    return match[1].lower() if match else ""


def check_address(text: str) -> None:
    """Check an address of a store or a web server.

    Raises
    ------
    UsageError
        Its scheme is not supported, or it carries a password or a signature: those would end in
        manifests. Stores get credentials by their own mechanisms, web servers by ``~/.netrc``.
    """
    scheme = scheme_of(text)
    if scheme not in SCHEMES or "::" in text.partition("?")[0]:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise UsageError(f"{shown(text)}: not an address that is supported ({known})")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{shown(text)}: is not an address") from error
    if not host:
        where = "server" if scheme.startswith("http") else "bucket"
        raise UsageError(f"{shown(text)}: names no {where}")
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            f"{shown(text)}: carries a user name or password: keep them out of addresses "
            "(~/.netrc for web servers, the store's own credentials for others)"
        )
    secrets = [name for name, _ in parse_qsl(parts.query) if _SECRET_NAME.search(name)]
    if secrets and scheme.startswith("http"):
        raise UsageError(
            f"{shown(text)}: carries a secret ({one_line(secrets[0])}) that a manifest would keep: "
            "give the address in the store (s3://, gs://), or download the song first"
        )
    if not text.isprintable():
        raise UsageError(f"{shown(text)}: has control characters")
    if {".", ".."} & set(key_of(text).split("/")):  # web clients would ask for another file
        raise UsageError(f"{shown(text)}: has a part . or .., which cannot be asked for")


def check_destination(address: str) -> None:
    """Check an address that files are written to.

    Raises
    ------
    UsageError
        As for `check_address`, or it is a web server's.
    """
    check_address(address)
    if scheme_of(address).startswith("http"):
        raise UsageError(f"{shown(address)}: web servers take no files: choose a folder, s3:// …")


def shown(address: str) -> str:
    """Return an address for messages and records: one line, without passwords and signatures."""
    return one_line(_ADDRESS.sub(lambda match: _redacted(match[0]), _KEY_ID.sub(_HIDDEN, address)))


def _redacted(address: str) -> str:
    scheme, _, rest = address.partition("://")
    place, mark, query = rest.partition("?")
    host, slash, path = place.partition("/")
    if "@" in host:
        host = f"{_HIDDEN}@{host.rpartition('@')[2]}"
    if mark:
        query = "&".join(_parameter(part) for part in query.partition("#")[0].split("&"))
    return f"{scheme}://{host}{slash}{path}{mark}{query}"


def _parameter(text: str) -> str:
    name, equals, value = text.partition("=")
    if len(name) > _MOST_VALUE_CHARS and not equals:
        return _HIDDEN
    secret = _SECRET_NAME.search(name) or len(value) > _MOST_VALUE_CHARS
    return f"{name}{equals}{_HIDDEN}" if secret and equals else text


def joined(folder: str, name: str) -> str:
    """Return the address of a file below a folder.

    Parameters
    ----------
    folder : str
    name : str
        A relative path with slashes, as `safe_path` returns it.
    """
    # Damaged names of local files have lone surrogates, which no store takes.
    name = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return f"{folder.rstrip('/')}/{name}"


def key_of(address: str) -> str:
    """Return where a file is on its server or in its bucket: decoded, without a query."""
    if scheme_of(address).startswith("http"):
        return unquote(urlsplit(address).path).lstrip("/")
    return address.partition("://")[2].partition("/")[2]


def place_of(address: str) -> str:
    """Return the bucket or server of an address, without a user's name."""
    return address.partition("://")[2].partition("/")[0].rpartition("@")[2]


def safe_path(key: str) -> str:
    """Return a key of a store as a relative path that stays below the folder it is joined to.

    Empty parts and ``.`` are left out; ``..`` and characters that no file name may have are
    replaced. Parts that are too long for file systems are cut, with a hash of the whole so that
    they stay different.
    """
    parts = [part for part in key.replace("\\", "/").split("/") if part not in ("", ".")]
    return "/".join(map(_safe_part, parts)) or "song"


def _safe_part(part: str) -> str:
    text = "".join("_" if unicodedata.category(char) == "Cc" else char for char in part)
    text = part_of_path(text.replace(":", "_") if _DRIVE.match(text) else text)
    data = text.encode("utf-8", "surrogateescape")
    if len(data) <= _MOST_BYTES:
        return text
    kept = data[: _MOST_BYTES - _HASH_CHARS - 1].decode("utf-8", "ignore")
    return f"{kept}-{hashlib.sha256(data).hexdigest()[:_HASH_CHARS]}"
