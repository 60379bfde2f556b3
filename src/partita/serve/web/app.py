"""The application: the guard, the API and the page."""

from __future__ import annotations

import sqlite3
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from partita.errors import PartitaError
from partita.reports.page.assets import ENGINE
from partita.serve.library import NotFoundError
from partita.serve.web.answers import disconnected, error_answer, http_error_answer
from partita.serve.web.guard import Guard
from partita.serve.web.routes import Service

#: Scripts that the pages of reports use too.
_SHARED = (*ENGINE, "scripts/waveform.js", "scripts/spectrogram.js")
_REVALIDATE = {"cache-control": "no-cache"}


def make_app(service: Service) -> Any:
    """Return the ASGI application of a service."""
    assets = _assets()

    def page(_request: Request) -> Response:
        return FileResponse(assets["index.html"], headers=_REVALIDATE)

    def asset(request: Request) -> Response:
        path = assets.get(request.path_params["name"])
        if path is None:
            raise NotFoundError("There is no such file.")
        return FileResponse(path, headers=_REVALIDATE)

    handlers: dict[Any, Any] = {
        HTTPException: http_error_answer,
        ClientDisconnect: disconnected,
        **dict.fromkeys((PartitaError, sqlite3.Error, Exception), error_answer),
    }
    routes = [Route("/", page), Route("/static/{name}", asset), *service.routes()]
    return Guard(Starlette(routes=routes, exception_handlers=handlers), service.token)


def _assets() -> dict[str, Path]:
    """Return name → file of all that the page consists of."""
    own = Path(str(files("partita.serve"))) / "page"
    shared = Path(str(files("partita.reports.page")))
    paths = [path for path in own.iterdir() if path.is_file()]
    paths += [*own.glob("vendor/*.js"), *(shared / name for name in _SHARED)]
    return {path.name: path for path in paths}
