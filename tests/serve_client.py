"""A real `partita serve` in a process of its own, and requests to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

#: Script that makes the page's player `document.player`.
KEEP_PLAYER = """() => {
  if (document.keepsPlayer) return;
  document.keepsPlayer = true;
  const { open } = partita.Player.prototype;
  partita.Player.prototype.open = function (id) {
    document.player = this;
    return open.call(this, id);
  };
}"""
ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return strict_json(self.body)


def strict_json(text):
    """Read JSON as browsers do, which know neither NaN nor Infinity."""

    def refuse(name):
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


class Server:
    """Started when it is made; `kill` or `stop` end it."""

    def __init__(self, library, *options, **environment):
        for name in ("starlette", "uvicorn"):
            pytest.importorskip(name, reason=f"{name} is not installed")
        sources = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "partita", "serve"),
                *("--port", "0", "--library", library, *options),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sources)), **environment},
        )
        self.first_line = self.process.stdout.readline()
        found = re.search(r"http://([^/]+):(\d+)/", self.first_line)
        if found is None:
            self.process.kill()
            raise AssertionError(self.first_line + self.process.stderr.read())
        self.host, self.port = found[1], int(found[2])

    @property
    def address(self):
        return f"http://{self.host}:{self.port}/"

    def ask(self, method, path, body=None, **headers):
        if isinstance(body, dict):
            body = json.dumps(body)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    def get(self, path, **headers):
        return self.ask("GET", path, **headers)

    def post(self, path, body=None, **headers):
        return self.ask("POST", path, body, **headers)

    def upload(self, data, name="song.wav", **headers):
        return self.post(f"/api/songs?name={quote(name, safe='')}", data, **headers)

    def wait_for(self, job, *states, seconds=60):
        """Wait until a job is in one of these states; return it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.get(f"/api/jobs/{job}").json
            if found["state"] in states:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{found} is not {states}")

    def events(self, seen=None):
        """Yield the events' ids and contents."""
        headers = {} if seen is None else {"Last-Event-ID": str(seen)}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", "/api/events", headers=headers)
            answer = connection.getresponse()
            assert answer.headers["content-type"].startswith("text/event-stream")
            number = None
            for line in answer:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "id":
                    number = int(value)
                elif name == "data":
                    yield number, strict_json(value)

    @contextlib.contextmanager
    def little_room(self, size, *, of_children=False):
        """Let no file of the server, or of its processes, grow beyond that many bytes."""
        resource = pytest.importorskip("resource", reason="limits of files are POSIX's")
        if not hasattr(resource, "prlimit"):
            pytest.skip("limits of other processes are Linux's")
        found = [self.process.pid]
        if of_children:
            of_threads = Path(f"/proc/{found[0]}/task").glob("*/children")
            found = [int(pid) for each in of_threads for pid in each.read_text().split()]
        before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in found}
        for pid, (_, hard) in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            for pid, limits in before.items():
                with contextlib.suppress(ProcessLookupError):  # ended meanwhile
                    resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)

    def stop(self):
        """Ctrl-C; return what it has written to standard error, and its status."""
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=30)
        return errors, self.process.returncode

    def kill(self):
        self.process.kill()
        self.process.communicate()
