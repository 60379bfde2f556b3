"""HTTP requests to servers that are not trusted.

Replies are bounded in size and must arrive at a minimum rate; redirections never leave https.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from types import MappingProxyType
from typing import IO, Any, BinaryIO

from partita.errors import WeightsUnavailableError, one_line
from partita.progress import Progress

_CHUNK_BYTES = 1 << 20
#: Longest silence of a server, and interval of checks of its rate.
_TIMEOUT_S = 30.0
_LEAST_BYTES_PER_S = 1000
#: Besides a file's own bytes: headers and chunk sizes.
_MOST_EXTRA_BYTES = 1_000_000
_SHOWN_CHARS = 200
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class HttpStatusError(WeightsUnavailableError):
    """A server refused a request.

    Attributes
    ----------
    status : int
        HTTP status.
    """

    def __init__(self, url: str, status: int) -> None:
        super().__init__(f"{url}: HTTP status {status}")
        self.status = status


class NoAnswerError(WeightsUnavailableError):
    """A server cannot be reached or does not speak HTTP."""


def fetch_rest(
    url: str,
    file: BinaryIO,
    most_bytes: int,
    headers: Mapping[str, str] = _NO_HEADERS,
    progress: Progress | None = None,
) -> None:
    """Download the rest of a file, from its current position.

    Parameters
    ----------
    url : str
    file : binary file
        Positioned at its end.
    most_bytes : int
        Limit of the file's size.
    headers : mapping of str to str
        Sent with the request; authorisation goes to this server only.
    progress : callable, optional
        Called with bytes, instead of seconds: of the file, and of the complete file if the server
        says it.

    Raises
    ------
    HttpStatusError
        The server refuses.
    NoAnswerError
        It cannot be reached.
    WeightsUnavailableError
        It sends too much, too slowly, or not everything.
    OSError
        The file cannot be written.
    """
    if file.tell() > most_bytes:  # not part of a requested file
        file.truncate(0)
        file.seek(0)
    done = file.tell()
    request = _request(url, {**headers, **({"Range": f"bytes={done}-"} if done else {})})
    try:
        with _opened(request, most_bytes) as response:
            _receive(url, response, file, most_bytes, progress)
    except urllib.error.HTTPError as error:
        error.close()
        if not (error.code == 416 and done):  # 416: the file is complete
            raise HttpStatusError(url, error.code) from error
    except _ServerError as error:
        raise NoAnswerError(f"{url}: {error}") from error


def fetch_bytes(url: str, most_bytes: int, headers: Mapping[str, str] = _NO_HEADERS) -> bytes:
    """Return a short reply; parameters and errors are those of `fetch_rest`."""
    reply = io.BytesIO()
    fetch_rest(url, reply, most_bytes, headers)
    return reply.getvalue()


def fetch_tag(url: str) -> str:
    """Return a file's ETag or modification date and length, without the file; empty: none.

    Raises
    ------
    HttpStatusError, NoAnswerError
        As `fetch_rest`.
    """
    try:
        with _opened(_request(url, {}), 0) as response:
            said = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
            return f"{said} {response.length}" if said else ""
    except urllib.error.HTTPError as error:
        error.close()
        raise HttpStatusError(url, error.code) from error
    except _ServerError as error:
        raise NoAnswerError(f"{url}: {error}") from error


def _request(url: str, headers: Mapping[str, str]) -> urllib.request.Request:
    if urllib.parse.urlsplit(url).scheme not in ("https", "http"):
        raise WeightsUnavailableError(
            f"{one_line(url)}: only http and https addresses can be fetched"
        )
    return urllib.request.Request(url, headers=dict(headers))  # noqa: S310 (checked)


class _ServerError(Exception):
    """Errors of server and network; other OSErrors are the disk's."""

    def __init__(self, error: Exception) -> None:
        reason = _shown(getattr(error, "reason", error))
        super().__init__(reason or type(error).__name__)


def _opened(request: urllib.request.Request, most_bytes: int) -> http.client.HTTPResponse:
    try:
        response: http.client.HTTPResponse = _opener(most_bytes).open(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _ServerError(error) from error
    return response


def _receive(
    url: str,
    response: http.client.HTTPResponse,
    file: BinaryIO,
    most_bytes: int,
    progress: Progress | None,
) -> None:
    """Write the body of a reply to a file, appending or replacing."""
    if encoding := response.headers.get("Content-Encoding", "").strip():
        raise WeightsUnavailableError(
            f"{url}: has an encoding that was not requested, {_shown(encoding)}"
        )
    before = file.tell() if response.status == 206 else 0
    file.seek(before)
    file.truncate()
    if response.status == 206 and _range_start(response) not in (None, before):
        file.truncate(0)
        raise WeightsUnavailableError(f"{url}: sent another part than requested; try again")
    too_much = f"{url}: exceeds the limit of {most_bytes / 1e6:.0f} MB"
    announced = response.length
    if before + (announced or 0) > most_bytes:
        raise WeightsUnavailableError(too_much)
    while data := _read(response):
        if file.tell() + len(data) > most_bytes:
            file.truncate(0)
            raise WeightsUnavailableError(too_much)
        file.write(data)
        if progress is not None:
            progress(file.tell(), None if announced is None else before + announced)
    if file.tell() == 0:
        raise WeightsUnavailableError(f"{url}: the server sent nothing (status {response.status})")
    if announced is not None and file.tell() - before < announced:
        raise WeightsUnavailableError(f"{url}: connection lost; try again to resume")


def _range_start(response: http.client.HTTPResponse) -> int | None:
    """Return the start of a part in the reply's header; None: not stated."""
    said = response.headers.get("Content-Range")
    if said is None:
        return None
    match = re.match(r"bytes (\d{1,18})-", said)
    return int(match[1]) if match else -1


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(_CHUNK_BYTES)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _ServerError(error) from error


def _shown(text: object) -> str:
    return one_line(str(text)[:_SHOWN_CHARS])


class _Paced(io.RawIOBase):
    """A reply that raises if it is too large or too slow."""

    def __init__(self, raw: io.RawIOBase, most_bytes: int) -> None:
        self._raw, self._left = raw, most_bytes
        self._since, self._received = time.monotonic(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = self._raw.readinto(buffer)
        self._left -= count or 0
        self._received += count or 0
        if self._left < 0:
            raise OSError("the server sends too much")
        elapsed = time.monotonic() - self._since
        if elapsed > _TIMEOUT_S:
            if self._received < _LEAST_BYTES_PER_S * elapsed:
                raise TimeoutError("the server sends too slowly")
            self._since, self._received = time.monotonic(), 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _PacedResponse(http.client.HTTPResponse):
    most_bytes: int

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_Paced(raw, self.most_bytes + _MOST_EXTRA_BYTES))


class _SameSchemeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but never away from https.

    Authorisation headers are not sent to other servers.
    """

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        allowed = ("https",) if req.type == "https" else ("https", "http")
        if urllib.parse.urlsplit(newurl).scheme not in allowed:
            raise urllib.error.URLError(f"redirects to {newurl}, which is not fetched")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and request.host != req.host:
            request.remove_header("Authorization")
        return request

    def http_error_302(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
    ) -> Any:
        try:
            place = headers.get("Location", "")
            if urllib.parse.urlsplit(place).scheme not in ("", "http", "https"):
                raise urllib.error.URLError(f"redirects to {place}, which is not fetched")
            return super().http_error_302(req, fp, code, msg, headers)
        except BaseException:
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _opener(most_bytes: int) -> urllib.request.OpenerDirector:
    """Return an opener for http and https only."""
    response = type("_Response", (_PacedResponse,), {"most_bytes": most_bytes})
    plain: Any = type("_Plain", (http.client.HTTPConnection,), {"response_class": response})
    secure: Any = type("_Secure", (http.client.HTTPSConnection,), {"response_class": response})

    class Http(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(plain, req)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(secure, req)

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _SameSchemeRedirects(),
        Http(),
        Https(),
    ):
        opener.add_handler(handler)
    return opener
