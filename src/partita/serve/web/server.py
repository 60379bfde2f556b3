"""The server: everything that ``partita serve`` starts and ends."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import uvicorn

from partita.errors import UsageError
from partita.serve.jobs import JobQueue
from partita.serve.library import Library
from partita.serve.limits import Limits
from partita.serve.mixes import Mixes
from partita.serve.web.app import make_app
from partita.serve.web.guard import is_loopback
from partita.serve.web.routes import Service

_GRACE_S = 3  # for downloads, when the server ends
_SHORTEST_TOKEN = 8


def serve(
    library_folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    limits: Limits | None = None,
    open_page: bool = False,
    ready: Callable[[str], None] = lambda _address: None,
) -> None:
    """Serve until Ctrl-C.

    Parameters
    ----------
    library_folder : Path
        Made if it is missing.
    host : str
        Name or address to listen at; others than this machine's own need a token.
    port : int
        0: any that is free.
    token : str, optional
        What clients must know.
    limits : Limits, optional
    open_page : bool
        Show the page in the person's browser.
    ready : callable, optional
        Called with the page's address once it answers.

    Raises
    ------
    UsageError
        The port is taken, or a token is missing or short.
    PartitaError
        The library cannot be used.
    """
    if token is not None and len(token) < _SHORTEST_TOKEN:
        raise UsageError(f"`token` is shorter than {_SHORTEST_TOKEN} characters")
    if token is None and not is_loopback(host):
        raise UsageError(
            f"`host` {host}: other machines could use this server; give it a `token`, such as "
            f"{secrets.token_urlsafe(12)}"
        )
    limits = limits or Limits()
    with (
        contextlib.closing(_listen(host, port)) as listener,
        Library(library_folder, limits.quota_bytes) as library,
        JobQueue(library, limits) as queue,
        Mixes(library) as mixes,
    ):
        service = Service(library, queue, mixes, limits, token, lambda: server.should_exit)
        config = uvicorn.Config(
            make_app(service),
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
            timeout_keep_alive=30,
        )
        server = uvicorn.Server(config)
        address = _address(host, listener.getsockname()[1], token)
        threading.Thread(
            target=_tell, args=(server, address, ready, open_page), daemon=True
        ).start()
        with contextlib.suppress(KeyboardInterrupt):  # which uvicorn raises again
            server.run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), port), family=family, backlog=512)
    except OSError as error:
        why = error.strerror or error
        raise UsageError(
            f"cannot listen at {host}:{port} ({why}): choose another `port` or `host`"
        ) from error
    except OverflowError:
        raise UsageError(f"`port` {port} is not between 0 and 65535") from None


def _address(host: str, port: int, token: str | None) -> str:
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    # Behind the #, where browsers keep it from servers and their logs.
    return f"http://{shown}:{port}/" + (f"#token={quote(token)}" if token else "")


def _tell(
    server: uvicorn.Server, address: str, ready: Callable[[str], None], open_page: bool
) -> None:
    while not server.started:
        if server.should_exit:
            return
        time.sleep(0.02)
    ready(address)
    if open_page:
        webbrowser.open(address)
