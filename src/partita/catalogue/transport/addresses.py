"""Addresses of songs and stems: what is accepted, how it is shown, and names made of keys."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, unquote, urlsplit

from partita.errors import UsageError, one_line
from partita.files import part_of_path

#: Scheme of an address → the distribution that reads it, beside fsspec.
SCHEMES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "memory": "",
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
_MOST_BYTES = 200  # of one part of a path; file systems take 255, and suffixes follow


@dataclass(frozen=True)
class Address:
    """An address, taken apart.

    Attributes
    ----------
    scheme : str
        In lower case; empty: a path on this machine.
    text : str
        As it was given.
    """

    scheme: str
    text: str

    @property
    def is_local(self) -> bool:
        """Whether it is a path on this machine."""
        return not self.scheme

    @property
    def is_writable(self) -> bool:
        """Whether files can be written there."""
        return self.scheme not in ("http", "https")


def scheme_of(address: str) -> str:
    """Return the scheme of an address in lower case; empty: it is a path on this machine."""
    match = _SCHEME.match(address)
    return match[1].lower() if match else ""


def parse_address(text: str) -> Address:
    """Check an address.

    Raises
    ------
    UsageError
        Its scheme is not supported, or it carries a password or a signature: those would end in
        manifests. Stores get credentials by their own mechanisms, web servers by ``~/.netrc``.
    """
    scheme = scheme_of(text)
    if not scheme:
        return Address("", text)
    if scheme == "file":
        return Address("", unquote(urlsplit(text).path))
    if scheme not in SCHEMES or "::" in text.partition("?")[0]:
        known = ", ".join(f"{name}://" for name in SCHEMES if name != "memory")
        raise UsageError(f"{shown(text)}: not an address that is supported ({known})")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{shown(text)}: is not an address") from error
    if not host and scheme != "memory":
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
    return Address(scheme, text)


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
    return f"{folder.rstrip('/')}/{name}" if folder.rstrip("/") else f"{folder}{name}"


def file_name(address: str) -> str:
    """Return the last part of an address, decoded, without its query."""
    if scheme_of(address).startswith("http"):
        return unquote(urlsplit(address).path.rstrip("/").rpartition("/")[2])
    return address.rstrip("/").rpartition("/")[2]


def safe_path(key: str) -> str:
    """Return a key of a store as a relative path that stays below the folder it is joined to.

    Empty parts, ``.`` and ``..`` and characters that no file name may have are replaced. Parts
    that are too long for file systems are cut, with a hash of the whole so that they stay
    different.
    """
    parts = [part for part in key.replace("\\", "/").split("/") if part not in ("", ".")]
    return PurePosixPath(*map(_safe_part, parts)).as_posix() if parts else "_"


def _safe_part(part: str) -> str:
    # A lone surrogate, as damaged names have, cannot be encoded for a store.
    text = part.encode("utf-8", "replace").decode("utf-8")
    text = "".join(char if char.isprintable() else "_" for char in part_of_path(text))
    text = text.replace(":", "_") if re.match(r"[A-Za-z]:", text) else text  # a drive
    data = text.encode("utf-8")
    if len(data) <= _MOST_BYTES:
        return text
    digest = hashlib.sha256(data).hexdigest()[:12]
    suffix = PurePosixPath(text).suffix
    suffix = suffix if len(suffix.encode("utf-8")) <= 12 else ""
    kept = data[: _MOST_BYTES - len(digest) - 1 - len(suffix)].decode("utf-8", "ignore")
    return f"{kept}-{digest}{suffix}"
