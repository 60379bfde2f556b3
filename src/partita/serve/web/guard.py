"""Who may ask what: names of the server, other sites, the token; headers that browsers obey."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "partita_session"
#: What everybody may have: the page, which asks for the token, and whether the server lives.
_PUBLIC = ("/static/", "/api/health", "/api/session")
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_HEADERS = {
    # wasm-unsafe-eval: WebAssembly of the audio worklet, which is a file of this server.
    "content-security-policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
        "img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Return whether a host's name or address is this machine's own and no other's."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def session_of(token: str) -> str:
    """Return the cookie's value for a token: it is worth as much, but does not tell it."""
    return hmac.new(token.encode(), b"partita serve session", hashlib.sha256).hexdigest()


class Guard:
    """Lets requests through to an application that may go there.

    - A page of another site, open in the same browser, can send requests here: what browsers mark
      as another site's is refused, but for a link to the page itself.
    - A name that another site owns may lead to this machine (DNS rebinding): without a token, only
      names of the machine itself are answered.
    - With a token, requests need it: as ``Authorization: Bearer``, or the cookie that
      ``/api/session`` gives for it.

    Parameters
    ----------
    app : ASGI application
    token : str or None
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; called by the server."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
            return
        status, why = refusal
        headers = {"www-authenticate": "Bearer"} if status == 401 else {}
        answer = JSONResponse({"error": why}, status, headers)
        await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and sentence for a request that is refused."""
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        if self._token is None and not _is_own_name(host):
            return 421, "This server answers to localhost only."
        if _is_from_elsewhere(scope, headers, host):
            return 403, "Requests of other sites are refused."
        if self._token is None or path == "/" or path.startswith(_PUBLIC):
            return None
        if not self.knows(headers):
            return 401, "This server needs its token."
        return None

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request has the token."""
        assert self._token is not None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _equal(given.strip(), self._token):
            return True
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        return _equal(cookie, session_of(self._token))


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _is_own_name(host: str) -> bool:
    name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not port.isdecimal():
        name = host
    return name.lower() in _LOOPBACK_NAMES


def _is_from_elsewhere(scope: Scope, headers: Headers, host: str) -> bool:
    site = headers.get("sec-fetch-site", "none")
    if site not in ("same-origin", "none"):
        is_link = headers.get("sec-fetch-mode") == "navigate" and scope["method"] == "GET"
        return not (is_link and scope["path"] == "/")
    origin: str | None = headers.get("origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:
        return True
