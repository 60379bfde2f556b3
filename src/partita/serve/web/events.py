"""Changes of the library as server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import StreamingResponse

from partita.serve.library import Library
from partita.serve.web.answers import job_json, song_json

_LOOK_S = 0.2
_HEARTBEAT_S = 15.0
_RETRY_MS = 2000


def event_stream(
    request: Request, library: Library, is_closing: Callable[[], bool]
) -> StreamingResponse:
    """Return all songs and jobs, then what changes; after a gap, only what has been missed.

    Each event is an object with ``songs`` and ``jobs`` (new or changed), ``deleted`` (ids) and
    ``all`` (whether what is not listed does not exist); its id is the library's revision.
    """
    since = _seen(request, library)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(
        _events(library, since, is_closing), headers=headers, media_type="text/event-stream"
    )


def _seen(request: Request, library: Library) -> int:
    """Return the revision that a client has seen; 0: none."""
    text = request.headers.get("last-event-id") or request.query_params.get("since", "")
    seen = int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else 0
    return seen if seen <= library.revision else 0  # of another library


async def _events(
    library: Library, since: int, is_closing: Callable[[], bool]
) -> AsyncIterator[str]:
    yield f"retry: {_RETRY_MS}\n\n"
    is_first, sent_at = True, time.monotonic()
    while not is_closing():
        if is_first or library.revision > since:
            whole = since == 0
            since, songs, jobs, deleted = await run_in_threadpool(library.changes_since, since)
            content = {
                "all": whole,
                "songs": [song_json(song) for song in songs],
                "jobs": [job_json(job) for job in jobs],
                "deleted": [] if whole else deleted,
            }
            yield f"id: {since}\ndata: {json.dumps(content)}\n\n"
            is_first, sent_at = False, time.monotonic()
        elif time.monotonic() - sent_at > _HEARTBEAT_S:
            yield ": still here\n\n"
            sent_at = time.monotonic()
        await asyncio.sleep(_LOOK_S)
