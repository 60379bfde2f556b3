"""A real S3 server for tests, which misbehaves on request, and web servers like it."""

from __future__ import annotations

import hashlib
import http.server
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

import pytest

KEY, SECRET = "AKIATESTTESTTESTTEST", "SecretOfTheTestsWhichNobodyMaySee0000000"

#: Gets a method and a path with its query; returns what happens instead of an answer.
Fault = Callable[[str, str], "Answer | None"]


@dataclass(frozen=True)
class Answer:
    """What a server does instead of answering.

    Attributes
    ----------
    status : int
        0: the connection is cut, after `keep` bytes of the real answer.
    code : str
        S3's name of the error.
    after : bool
        The request is carried out first.
    """

    status: int
    code: str = ""
    keep: int = 0
    after: bool = False


@dataclass
class Store:
    """A running server."""

    endpoint: str
    requests: list[tuple[str, str]] = field(default_factory=list)
    sent: int = 0
    fault: Fault | None = None

    def counts(self) -> Counter[str]:
        return Counter(method for method, _ in self.requests)

    def fail(self, times: int, answer: Answer, method: str = "", part: str = "") -> None:
        """Misbehave for the next requests of a kind."""
        left = [times]

        def fault(asked: str, path: str) -> Answer | None:
            if left[0] and asked.startswith(method) and part in path:
                left[0] -= 1
                return answer
            return None

        self.fault = fault


def start_s3() -> tuple[Store, Callable[[], None]]:
    """Start moto's server; returns it and what stops it."""
    server_module = pytest.importorskip("moto.server", reason="moto's S3 server is not installed")
    serving = pytest.importorskip("werkzeug.serving")
    store = Store("")
    app = server_module.DomainDispatcherApplication(server_module.create_backend_app)

    def counted(environ, start_response):
        path = environ["PATH_INFO"] + (f"?{q}" if (q := environ["QUERY_STRING"]) else "")
        path += "#create" * ("HTTP_IF_NONE_MATCH" in environ)
        store.requests.append((environ["REQUEST_METHOD"], path))
        answer = store.fault(environ["REQUEST_METHOD"], path) if store.fault else None
        if answer is None:
            for chunk in app(environ, start_response):
                store.sent += len(chunk)
                yield chunk
            return
        if answer.keep:
            yield b"".join(app(environ, start_response))[: answer.keep]
        elif answer.after:
            b"".join(app(environ, lambda *_: None))
        if not answer.status:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            if not answer.keep:
                start_response("200 OK", [("Content-Length", "1")])
                yield b"."
            return
        if not answer.after:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = f"<Error><Code>{answer.code}</Code><Message>{answer.code}</Message></Error>".encode()
        start_response(
            f"{answer.status} {answer.code or 'Error'}",
            [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))],
        )
        if environ["REQUEST_METHOD"] != "HEAD":
            yield body

    class Quiet(serving.WSGIRequestHandler):
        def log(self, *_args):
            pass

    server = serving.make_server("127.0.0.1", 0, counted, threaded=True, request_handler=Quiet)
    server.daemon_threads = True
    store.endpoint = f"http://127.0.0.1:{server.port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def stop():
        server.shutdown()
        server.server_close()

    return store, stop


@dataclass
class Web(Store):
    """A web server with files in memory, listed as nginx does.

    Attributes
    ----------
    files : dict of str to bytes
        Path, without a slash in front → content.
    ranges : bool
        Whether it answers ranged requests.
    links : list of str
        More links in every listing.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    links: list[str] = field(default_factory=list)


def start_web() -> tuple[Web, Callable[[], None]]:
    """Start a web server; returns it and what stops it."""
    web = Web("")

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self.answer()

        def do_GET(self):
            self.answer()

        def answer(self):
            web.requests.append((self.command, self.path))
            fault = web.fault(self.command, self.path) if web.fault else None
            if fault is not None and fault.status:
                self.reply(fault.status, fault.code.encode(), {"Retry-After": "0"})
            elif fault is not None and not fault.keep:
                self.close_connection = True
            else:
                self.content(unquote(self.path.partition("?")[0]).lstrip("/"), fault)

        def content(self, path, fault):
            data = web.files.get(path)
            if data is None:
                below = {
                    name.removeprefix(path).split("/")[0] + "/" * ("/" in name.removeprefix(path))
                    for name in web.files
                    if name.startswith(path)
                }
                if not below or (path and not path.endswith("/")):
                    self.reply(404, b"no such file")
                    return
                links = "".join(
                    f'<a href="{link}">{link}</a>\n'
                    for link in ["../", "?C=M;O=A", *map(quote, sorted(below)), *web.links]
                )
                self.reply(200, links.encode(), {"Content-Type": "text/html"})
                return
            headers = {
                "Content-Type": "audio/x-wav",
                "ETag": f'"{hashlib.md5(data).hexdigest()}"',
                "Accept-Ranges": "bytes" if web.ranges else "none",
            }
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if asked and web.ranges:
                first = int(asked[1])
                last = min(int(asked[2] or len(data) - 1), len(data) - 1)
                headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
                self.reply(206, data[first : last + 1], headers, fault)
            else:
                self.reply(200, data, headers, fault)

        def reply(self, status, data, headers=None, fault=None):
            self.send_response(status)
            for name, value in {"Content-Type": "text/plain", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if fault is not None:
                data, self.close_connection = data[: fault.keep], True
            web.sent += len(data)
            self.wfile.write(data)

        def log_message(self, *_args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    web.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def stop():
        server.shutdown()
        server.server_close()

    return web, stop
