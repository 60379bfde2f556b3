"""The fsspec file system of each scheme, one a process."""

from __future__ import annotations

import functools
import importlib.util
import os
from typing import Any

from partita.catalogue.transport.addresses import SCHEMES, scheme_of
from partita.errors import UsageError

#: Parts of uploads, and ranges of songs: 10,000 parts, as S3 allows, are 80 GB.
PART_BYTES = 8 << 20


def file_system(address: str) -> Any:
    """Return the fsspec file system of an address.

    Credentials, endpoints and regions come from where the store's own tools look for them
    (environment, profiles, roles, ``~/.netrc`` for web servers), and from fsspec's configuration.
    """
    return _file_system(scheme_of(address), os.getpid())


def path_of(address: str) -> str:
    """Return what a file system calls an address: bucket and key, or a web address."""
    scheme = scheme_of(address)
    return address if scheme.startswith("http") else address[len(scheme) + 3 :]


def address_of(scheme: str, path: str) -> str:
    """Return the address of what a file system lists."""
    return path if scheme.startswith("http") else f"{scheme}://{path.lstrip('/')}"


def check_installed(address: str) -> None:
    """Raise UsageError if a package that reads an address is not installed."""
    scheme = scheme_of(address)
    for needed in ("fsspec", SCHEMES[scheme]):
        if importlib.util.find_spec(needed) is None:
            extra = "gs" if scheme == "gs" else "catalogue"
            raise UsageError(f"{scheme}:// needs {needed}: pip install 'partita[{extra}]'")


@functools.lru_cache(maxsize=16)
def _file_system(scheme: str, process: int) -> Any:
    import fsspec

    del process  # connections do not survive a fork
    made = fsspec.filesystem(
        scheme, skip_instance_cache=True, use_listings_cache=False, **_options(scheme)
    )
    if scheme == "s3":
        made.retries = 1  # botocore tries again, and `faults.retried`: three would multiply
    return made


def _options(scheme: str) -> dict[str, Any]:
    if scheme in ("http", "https"):
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=30)
        return {"client_kwargs": {"timeout": timeout, "trust_env": True}}
    if scheme == "s3":
        return {"default_block_size": PART_BYTES}
    return {}
