"""Records as JSON, and errors as a sentence and a status."""

from __future__ import annotations

import dataclasses
import logging
import sqlite3
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from partita.errors import AudioReadError, PartitaError, UnknownNameError, UsageError
from partita.reports.page.coding import page_coding
from partita.serve.library import NotFoundError
from partita.serve.limits import DiskFullError, NoRoomError, QueueFullError, TooLargeError
from partita.serve.mixes import MixError
from partita.serve.records import JobRecord, SongRecord
from partita.serve.states import ImpossibleError
from partita.serve.web.bodies import TooSlowError

_log = logging.getLogger(__name__)

#: Error → status; the first that fits counts.
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (NotFoundError, 404),
    (ImpossibleError, 409),
    (TooSlowError, 408),
    (TooLargeError, 413),
    (NoRoomError, 507),
    (QueueFullError, 503),
    (AudioReadError, 422),
    (UnknownNameError, 422),
    (UsageError, 400),
    (MixError, 422),
    (PartitaError, 500),
)
#: Of SQLite's errors, those of a disk that takes no more.
_DISK_ERRORS = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)


def error_answer(_request: Request, error: Exception) -> Response:
    """Return the answer to a request that failed; nobody is shown a traceback."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DISK_ERRORS:
        error = DiskFullError()
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if status == 500:
        _log.error("%s: %s", type(error).__name__, error, exc_info=error)
    known = isinstance(error, PartitaError)
    text = (
        str(error).replace("`", "")
        if known
        else "Something went wrong; the server's log says what."
    )
    headers = {"retry-after": "60"} if status == 503 else {}
    return JSONResponse({"error": text}, status, headers)


def http_error_answer(_request: Request, error: Any) -> Response:
    """Return the answer to a path or method that does not exist."""
    return JSONResponse({"error": f"{error.detail}."}, error.status_code, error.headers)


def disconnected(_request: Request, _error: ClientDisconnect) -> Response:
    """Answer a client that is gone."""
    return Response(status_code=400)


def song_json(song: SongRecord, *, whole: bool = False) -> dict[str, Any]:
    """Return a song; `whole`: with what the player needs."""
    found: dict[str, Any] = {
        "id": song.id,
        "name": song.name,
        "duration_s": round(song.duration_s, 3),
        "sample_rate": song.sample_rate,
        "channels": song.channels,
        "size": song.size,
        "added_at": song.added_at,
        "music": music_json(song, whole=whole),
    }
    if whole:
        coding = page_coding("flac", song.sample_rate)
        samples = max(1, round(song.samples * coding.sample_rate / song.sample_rate))
        found["peaks"] = song.peaks
        found["player"] = {**coding.for_engine(), "samples": samples}
    return found


def music_json(song: SongRecord, *, whole: bool = False) -> dict[str, Any] | None:
    """Return tempo and key, as corrected; `whole`: with the beats."""
    found = song.corrected
    if found is None:
        return None
    values = dataclasses.asdict(found)
    beats = values.pop("beats_s")
    values["correction"] = dataclasses.asdict(song.correction)
    if whole:
        values["beats_s"] = beats
    return values


def job_json(job: JobRecord, *, whole: bool = False) -> dict[str, Any]:
    """Return a job; `whole`: with waveforms and the report without references."""
    found: dict[str, Any] = {
        "id": job.id,
        "song_id": job.song_id,
        "model": job.model,
        "state": str(job.state),
        "phase": job.phase,
        "progress": round(min(1.0, job.done / job.total), 4) if job.total else None,
        "error": job.error,
        "created_at": job.created_at,
        "result": None,
    }
    if job.result is not None:
        found["result"] = {
            "stems": [
                {"name": stem.name, "size": stem.size, **({"peaks": stem.peaks} if whole else {})}
                for stem in job.result.stems
            ],
            "gain_db": job.result.gain_db,
            "null_depth_db": job.result.null_depth_db,
            "elapsed_s": round(job.result.elapsed_s, 1),
            "warnings": list(job.result.warnings),
        }
        if whole:
            found["result"]["quality"] = job.result.quality
    return found
