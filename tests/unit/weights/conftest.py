"""What tests of fetched weights share."""

import http.server
import threading

import pytest


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the files of its server's dict, and writes down what it was asked for."""

    def do_GET(self):
        name = self.path.lstrip("/")
        self.server.asked.append(name)
        if name not in self.server.files:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.files[name])))
        self.end_headers()
        self.wfile.write(self.server.files[name])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """A server on this machine: `files`, name → content, and `asked`, what it was asked for."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.files, running.asked = {}, []
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()
