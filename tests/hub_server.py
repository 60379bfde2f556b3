"""A web server of this machine's that answers as the Hugging Face Hub does, and hands out files."""

import contextlib
import hashlib
import http.server
import json
import re
import sys
import threading
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".ckpt", ".pt", ".bin")


@dataclass
class Repo:
    """A repository: the files of its newest commit, and what its card says."""

    files: dict
    commit: str = "a" * 40
    card: dict = field(default_factory=dict)
    gated: bool = False  # the files; what there is, everybody may know
    hidden: bool = False


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        self.server.tokens.append(self.headers.get("Authorization"))
        if path in self.server.files:
            self._answer(self.server.files[path])
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._say(self.server.repos.get(match[1]), match[1], match[2])
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._hand_out(self.server.repos.get(match[1]), match[2], match[3])
        elif path.removeprefix("/cdn/") in self.server.stored:
            self._send(self.server.stored[path.removeprefix("/cdn/")])
        else:
            self._refuse(404)

    do_HEAD = do_GET  # noqa: N815 (the server calls it so)

    def _answer(self, answer):
        if callable(answer):
            self.close_connection = True
            with contextlib.suppress(OSError):  # they are left
                answer(self)
        else:
            self._send(answer)

    def _say(self, repo, name, revision):
        if repo is None or repo.hidden:
            return self._refuse(401)
        if revision not in (None, "main", repo.commit):
            return self._refuse(404, {"X-Error-Code": "RevisionNotFound"})
        siblings = []
        for path, content in repo.files.items():
            entry = {"rfilename": path, "size": len(content)}
            if path.endswith(LARGE):
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
            siblings.append(entry)
        said = {"id": name, "modelId": name, "sha": repo.commit, "private": False, "tags": []}
        said |= {"gated": "auto" if repo.gated else False, "downloads": 0, "likes": 0}
        if repo.card:
            said["cardData"] = repo.card
        return self._send(json.dumps({**said, "siblings": siblings}).encode())

    def _hand_out(self, repo, revision, path):
        if repo is None or path not in repo.files or revision not in ("main", repo.commit):
            return self._refuse(404, {"X-Error-Code": "EntryNotFound"})
        if repo.gated and self.headers.get("Authorization") != "Bearer hf_secret":
            return self._refuse(401, {"X-Error-Code": "GatedRepo"})
        content = repo.files[path]
        digest = hashlib.sha256(content).hexdigest()
        headers = {"X-Repo-Commit": repo.commit, "ETag": f'"{digest}"'}
        if not path.endswith(LARGE):
            return self._send(content, headers)
        self.server.stored[digest] = content
        place = f"http://localhost:{self.server.server_port}/cdn/{digest}"  # another host's name
        size = {"X-Linked-Size": str(len(content)), "X-Linked-ETag": f'"{digest}"'}
        self.send_response(302)
        for key, value in {**headers, **size, "Location": place, "Content-Length": "0"}.items():
            self.send_header(key, value)
        return self.end_headers()

    def _send(self, content, headers=()):
        start, cut = 0, self.server.cut_after if "/cdn/" in self.path else None
        self.server.ranges.append(self.headers.get("Range"))
        if match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(match[1])
        self.send_response(206 if start else 200)
        found = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', **dict(headers)}
        if start:
            found["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        for key, value in {**found, "Content-Length": str(len(content) - start)}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            with contextlib.suppress(OSError):
                self.wfile.write(content[start:cut])
        self.close_connection = cut is not None

    def _refuse(self, status, headers=()):
        self.send_response(status)
        for key, value in {**dict(headers), "Content-Length": "0"}.items():
            self.send_header(key, value)
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Say nothing of clients that have heard enough."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


@contextlib.contextmanager
def hub_server():
    """Give a running server: `repos`, name → Repo; `files`, path → content or an answer.

    With `cut_after`, large files of repositories break off behind so many bytes.
    """
    with Server(("127.0.0.1", 0), Handler) as server:
        server.repos, server.files, server.stored = {}, {}, {}
        server.asked, server.tokens, server.ranges, server.cut_after = [], [], [], None
        server.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
