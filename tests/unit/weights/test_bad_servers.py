"""Servers that do what no server should: one line says what it was, and soon."""

import contextlib
import hashlib
import os
import socket
import ssl
import threading
import time

import pytest
import trustme

from partita.errors import WeightsCorruptError, WeightsUnavailableError
from partita.weights import http_fetch
from partita.weights.download import download_url

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MOST = 200_000


@pytest.fixture(scope="module")
def authority():
    """Signs certificates that nobody trusts but these tests."""
    return trustme.CA()


@pytest.fixture(scope="module")
def context(authority):
    """TLS with a certificate for this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def serve(context):
    """Start servers that answer each request with a function's bytes, or what it yields."""
    ended, threads, listeners = threading.Event(), [], []

    def start(answer, *, secure=False):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def talk():
            while not ended.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    connection.settimeout(2)
                    if secure:
                        connection = context.wrap_socket(connection, server_side=True)
                    with connection:
                        request = connection.recv(65536).decode("latin-1")
                        said = answer(request)
                        for part in [said] if isinstance(said, bytes) else said:
                            connection.sendall(part)
                            if ended.is_set():
                                break
                        with contextlib.suppress(OSError):
                            connection.shutdown(socket.SHUT_WR)
                            connection.recv(1)

        threads.append(threading.Thread(target=talk, daemon=True))
        threads[-1].start()
        return f"{'https' if secure else 'http'}://127.0.0.1:{listener.getsockname()[1]}/file.th"

    yield start
    ended.set()
    for listener in listeners:
        with contextlib.suppress(OSError):
            socket.create_connection(listener.getsockname(), 1).close()
        listener.close()
    for thread in threads:
        thread.join(5)


def fails(url, tmp_path, match, error=WeightsUnavailableError):
    """Check that a download fails in one line, soon, and leaves nothing under the final name."""
    started = time.monotonic()
    with pytest.raises(error, match=match) as info:
        download_url(url, SHA256, tmp_path / "file.th", most_bytes=MOST)
    assert time.monotonic() - started < 20
    assert str(info.value).isprintable()
    assert len(str(info.value)) < 600
    assert not (tmp_path / "file.th").exists()
    partial = tmp_path / ".file.th.partial"
    assert not partial.exists() or partial.stat().st_size <= MOST
    return str(info.value)


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def endless(head, part=b"x" * 65536):
    yield head
    while True:
        yield part


ENDLESS = {
    "body": lambda: endless(OK + b"\r\n"),
    "chunks": lambda: endless(CHUNKED, b"10000\r\n" + b"x" * 65536 + b"\r\n"),
    "small chunks": lambda: endless(CHUNKED, b"1\r\nx\r\n" * 10_000),
    "one chunk": lambda: endless(CHUNKED + b"ffffffffff\r\n"),
    "trailers": lambda: endless(CHUNKED + b"0\r\n", b"a: b\r\n" * 1000),
    "not yet": lambda: endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_endless_replies(serve, tmp_path, kind):
    url = serve(lambda _: ENDLESS[kind]())
    fails(url, tmp_path, "exceeds the limit of 0 MB|sends too much")


def test_lengths_beyond_what_was_expected(serve, tmp_path):
    url = serve(lambda _: OK + b"Content-Length: 999999999999\r\n\r\n" + CONTENT)
    fails(url, tmp_path, "exceeds the limit")
    assert list(tmp_path.iterdir()) == []


BROKEN = {
    "nothing": b"",
    "no status": b"hello\r\n\r\n",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "odd status": b"HTTP/1.1 abc OK\r\n\r\n",
    "huge status": b"HTTP/1.1 999999999999 OK\r\n\r\n",
    "escapes": b"HTTP/1.1 \x1b[31m\x1b]0;evil\x07 OK\r\n\r\n",
    "escapes in the reason": b"HTTP/1.1 404 \x1b[31mevil\x07\r\nContent-Length: 0\r\n\r\n",
    "long line": b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n",
    "long header": OK + b"a: " + b"x" * 100_000 + b"\r\n\r\n",
    "many headers": OK + b"a: b\r\n" * 500 + b"\r\n",
    "chunk size": CHUNKED + b"zz\r\nabc",
    "negative chunk": CHUNKED + b"-5\r\nabc",
    "long chunk size": CHUNKED + b"1" * 100_000,
    "chunk cut": CHUNKED + b"ff\r\nabc",
    "no last chunk": CHUNKED + b"3\r\nabc\r\n",
    "chunk without an end": CHUNKED + b"3\r\nabcdefgh",
    "too short": OK + b"Content-Length: 5000\r\n\r\nabc",
    "compressed": OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
    "unauthorised": b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\x1b[31m\r\n\r\n",
    "nothing missing": b"HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_replies(serve, tmp_path, kind):
    fails(serve(lambda _: BROKEN[kind]), tmp_path, "http://127.0.0.1")


@pytest.mark.parametrize("length", [b"-1", b"x", b"1e3", b"3", b""])
def test_lengths_that_are_wrong(serve, tmp_path, length):
    url = serve(lambda _: OK + b"Content-Length: " + length + b"\r\n\r\n" + b"abcdef")
    fails(url, tmp_path, "SHA-256 is", WeightsCorruptError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 204 No Content\r\n\r\n", OK + b"Content-Length: 0\r\n\r\n", OK + b"\r\n"]
)
def test_replies_without_content(serve, tmp_path, reply):
    fails(serve(lambda _: reply), tmp_path, "the server sent nothing")
    assert list(tmp_path.iterdir()) == []


PLACES = [
    "file:///etc/passwd",
    "ftp://127.0.0.1/file",
    "gopher://127.0.0.1/",
    "data:text/plain,hello",
    "javascript:1",
    "http://[::1",
    "http://\x1b[31m/",
    "http://user:pass\x00@127.0.0.1/",
    "//",
    "/file.th",  # to itself, again and again
]


@pytest.mark.parametrize("place", PLACES)
def test_redirections(serve, tmp_path, place):
    head = f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()
    fails(serve(lambda _: head), tmp_path, "http://127.0.0.1")


def test_https_is_never_left(serve, authority, tmp_path, monkeypatch):
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    reply = OK + f"Content-Length: {len(CONTENT)}\r\n\r\n".encode() + CONTENT
    plain, secure = serve(lambda _: reply), serve(lambda _: reply, secure=True)

    def to(place):
        return lambda _: f"HTTP/1.1 302 Found\r\nLocation: {place}\r\n\r\n".encode()

    fails(serve(to(plain), secure=True), tmp_path, "redirects to http://.* which is not fetched")
    for place in (secure, serve(to(secure), secure=True), serve(to(plain))):
        download_url(place, SHA256, tmp_path / "file.th", most_bytes=MOST)
        assert (tmp_path / "file.th").read_bytes() == CONTENT
        (tmp_path / "file.th").unlink()


def test_certificates_are_checked(serve, tmp_path):
    reply = OK + f"Content-Length: {len(CONTENT)}\r\n\r\n".encode() + CONTENT
    fails(serve(lambda _: reply, secure=True), tmp_path, "(?i)certificate")


SLOW = {
    "silent": b"",
    "head": OK,
    "body": OK + b"Content-Length: 90000\r\n\r\n",
    "chunk": CHUNKED + b"ffff\r\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SLOW)
@pytest.mark.parametrize("drip", [b"", b"x"])
def test_slow_servers(serve, tmp_path, monkeypatch, kind, drip):
    monkeypatch.setattr(http_fetch, "_TIMEOUT_S", 0.5)

    def slow(_):
        yield SLOW[kind]
        while True:
            time.sleep(0.1)
            yield drip

    fails(serve(slow), tmp_path, "timed out|sends too slowly")


def ranged(said, start=None):
    """Answer with the rest of the content; say another Content-Range."""

    def answer(request):
        asked = [line for line in request.splitlines() if line.startswith("Range:")]
        if not asked:
            return OK + f"Content-Length: {len(CONTENT)}\r\n\r\n".encode() + CONTENT
        begin = int(asked[0].split("=")[1].rstrip("-")) if start is None else start
        rest = CONTENT[begin:]
        head = f"HTTP/1.1 206 Partial\r\nContent-Length: {len(rest)}\r\n{said}\r\n"
        return head.format(begin=begin, end=len(CONTENT) - 1).encode() + rest

    return answer


@pytest.mark.parametrize("said", ["Content-Range: bytes {begin}-{end}/102400\r\n", ""])
def test_parts(serve, tmp_path, said):
    (tmp_path / ".file.th.partial").write_bytes(CONTENT[:5000])
    download_url(serve(ranged(said)), SHA256, tmp_path / "file.th", most_bytes=MOST)
    assert (tmp_path / "file.th").read_bytes() == CONTENT


@pytest.mark.parametrize("said", ["bytes 0-102399/102400", "bytes */102400", "\x1b[31m", "bytes x"])
def test_parts_that_start_elsewhere(serve, tmp_path, said):
    (tmp_path / ".file.th.partial").write_bytes(CONTENT[:5000])
    url = serve(ranged(f"Content-Range: {said}\r\n", start=0))
    fails(url, tmp_path, "sent another part than requested; try again")
    download_url(url, SHA256, tmp_path / "file.th", most_bytes=MOST)
    assert (tmp_path / "file.th").read_bytes() == CONTENT


def test_parts_that_nobody_asked_for(serve, tmp_path):
    head = b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 7-9/10\r\nContent-Length: 3\r\n\r\nabc"
    fails(serve(lambda _: head), tmp_path, "sent another part than requested")


@pytest.mark.parametrize("kind", ["link", "dangling link", "hard link", "pipe", "device", "folder"])
def test_what_lies_in_the_place_of_the_partial_file(serve, tmp_path, kind):
    folder = tmp_path / "cache"
    folder.mkdir()
    victim, partial = tmp_path / "victim", folder / ".file.th.partial"
    victim.write_bytes(b"mine")
    if kind == "link":
        partial.symlink_to(victim)
    elif kind == "dangling link":
        partial.symlink_to(tmp_path / "new")
    elif kind == "hard link":
        os.link(victim, partial)
    elif kind == "device":
        partial.symlink_to("/dev/full")
    elif kind == "folder":
        (partial / "below").mkdir(parents=True)
    else:
        os.mkfifo(partial)
    download_url(serve(ranged("")), SHA256, folder / "file.th", most_bytes=MOST)
    assert (folder / "file.th").read_bytes() == CONTENT
    assert victim.read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "victim"]


def test_partial_files_that_are_too_large(serve, tmp_path):
    with (tmp_path / ".file.th.partial").open("wb") as file:
        file.truncate(MOST + 1)
    download_url(serve(ranged("")), SHA256, tmp_path / "file.th", most_bytes=MOST)
    assert (tmp_path / "file.th").read_bytes() == CONTENT


def test_a_cache_that_is_a_link(serve, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "real")
    download_url(serve(ranged("")), SHA256, tmp_path / "cache/file.th", most_bytes=MOST)
    assert (tmp_path / "real/file.th").read_bytes() == CONTENT
