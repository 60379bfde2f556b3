"""What the server answers: songs, jobs, stems, models."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shutil
import threading
from collections.abc import AsyncGenerator, Callable
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from partita import __version__
from partita.errors import UsageError
from partita.mixing.output import zip_stream
from partita.mixing.tempo_key import KEYS, Correction
from partita.serve.intake import Intake
from partita.serve.jobs import JobQueue
from partita.serve.library import Library, NotFoundError
from partita.serve.limits import Limits
from partita.serve.mixes import Mixes, recipes_for
from partita.serve.names import download_name
from partita.serve.offered import check_model, offered_models
from partita.serve.records import JobRecord, StemRecord
from partita.serve.web import openapi
from partita.serve.web.answers import job_json, song_json
from partita.serve.web.bodies import chunks, json_object, request_key, text_of
from partita.serve.web.events import event_stream
from partita.serve.web.guard import COOKIE, session_of
from partita.serve.web.pieces import HEADROOM, song_piece, stem_piece
from partita.settings import settings_from
from partita.weights.cards import DEFAULT_MODEL

_WRITE_BYTES = 1 << 20
_OFFERED = 0.1  # part of the quota that the oldest songs are to free, if a client states nothing
_MOST_PIECES = 100_000
_MOST_DIGITS = 16
_LOOK_S = 0.5  # whether a client is still there
_GONE = "The file is gone from the library's folder."
_FOREVER = {"cache-control": "private, max-age=86400, immutable"}
_FRESH = {"cache-control": "no-store"}


@dataclasses.dataclass(frozen=True)
class Service:
    """Answers requests.

    Attributes
    ----------
    library : Library
    queue : JobQueue
    mixes : Mixes
    limits : Limits
    token : str or None
    is_closing : callable
        Whether the server is about to end.
    """

    library: Library
    queue: JobQueue
    mixes: Mixes
    limits: Limits
    token: str | None
    is_closing: Callable[[], bool]

    def routes(self) -> list[Route]:
        """Return all routes of the API."""
        return [
            Route("/api/health", self.health),
            Route("/api/session", self.open_session, methods=["POST"]),
            Route("/api/openapi.json", self.description),
            Route("/api/server", self.server),
            Route("/api/storage", self.storage),
            Route("/api/models", self.models),
            Route("/api/events", self.events),
            Route("/api/songs", self.songs),
            Route("/api/songs", self.add_song, methods=["POST"]),
            Route("/api/songs/{song}", self.song),
            Route("/api/songs/{song}", self.delete_song, methods=["DELETE"]),
            Route("/api/songs/{song}/correction", self.correct_song, methods=["PUT"]),
            Route("/api/songs/{song}/file", self.song_file),
            Route("/api/songs/{song}/pieces/{number:int}", self.song_piece),
            Route("/api/songs/{song}/jobs", self.add_job, methods=["POST"]),
            Route("/api/jobs", self.jobs),
            Route("/api/jobs/{job}", self.job),
            Route("/api/jobs/{job}", self.delete_job, methods=["DELETE"]),
            Route("/api/jobs/{job}/cancel", self.cancel_job, methods=["POST"]),
            Route("/api/jobs/{job}/retry", self.retry_job, methods=["POST"]),
            Route("/api/jobs/{job}/recipes", self.recipes),
            Route("/api/jobs/{job}/mixes", self.add_mix, methods=["POST"]),
            Route("/api/mixes/{mix}", self.mix_file),
            Route("/api/jobs/{job}/zip", self.stems_zip),
            Route("/api/jobs/{job}/stems/{stem}", self.stem_file),
            Route("/api/jobs/{job}/stems/{stem}/pieces/{number:int}", self.stem_piece),
        ]

    # The server

    def health(self, _request: Request) -> Response:
        """Tell that the server lives."""
        return JSONResponse({"status": "ok", "version": __version__}, headers=_FRESH)

    async def open_session(self, request: Request) -> Response:
        """Give a browser the cookie that stands for the token."""
        given = text_of(await json_object(request), "token")
        if self.token is not None and session_of(given) != session_of(self.token):
            return JSONResponse({"error": "That is not the token."}, 401)
        answer = Response(status_code=204)
        if self.token is not None:
            is_safe = request.url.scheme == "https"
            answer.set_cookie(
                COOKIE, session_of(self.token), httponly=True, samesite="strict", secure=is_safe
            )
        return answer

    def description(self, _request: Request) -> Response:
        """Return the API's description."""
        return JSONResponse(openapi.document())

    def server(self, _request: Request) -> Response:
        """Return limits and what the library holds."""
        found = {
            "version": __version__,
            "default_model": DEFAULT_MODEL,
            "most_bytes": self.limits.most_bytes,
            "most_seconds": self.limits.most_seconds,
            "most_waiting": self.limits.most_waiting,
            "library_bytes": self.library.size(),
            "quota_bytes": self.limits.quota_bytes,
            "free_bytes": shutil.disk_usage(self.library.folder).free,
            "headroom": HEADROOM,
            "keys": KEYS,
            "finds_tempo": find_spec("sonara") is not None,
        }
        return JSONResponse(found, headers=_FRESH)

    def storage(self, request: Request) -> Response:
        """Return how full the library is, and the oldest songs, which would make room."""
        size, quota = self.library.size(), self.limits.quota_bytes
        free = shutil.disk_usage(self.library.folder).free
        wanted = request.query_params.get("bytes", str(round(_OFFERED * quota)))
        if not (wanted.isascii() and wanted.isdecimal() and len(wanted) < _MOST_DIGITS):
            raise UsageError("'bytes' is not a number of bytes.")
        found = {
            "library_bytes": size,
            "quota_bytes": quota,
            "free_bytes": free,
            "is_nearly_full": size > (1 - _OFFERED) * quota or free < self.limits.spare_bytes,
            "oldest": [
                {"id": song.id, "name": song.name, "added_at": song.added_at, "bytes": size}
                for song, size in self.library.oldest(int(wanted))
            ],
        }
        return JSONResponse(found, headers=_FRESH)

    def models(self, _request: Request) -> Response:
        """Return the models to choose from."""
        found = [dataclasses.asdict(offer) for offer in offered_models()]
        return JSONResponse({"models": found}, headers=_FRESH)

    async def events(self, request: Request) -> Response:
        """Return changes while they happen."""
        return event_stream(request, self.library, self.is_closing)

    # Songs

    def songs(self, _request: Request) -> Response:
        """Return all songs."""
        songs = [song_json(song) for song in self.library.songs()]
        return JSONResponse({"songs": songs}, headers=_FRESH)

    async def add_song(self, request: Request) -> Response:
        """Take an upload: the body is the file."""
        name = request.query_params.get("name", "")
        if not name.strip():
            raise UsageError("The song's file name is missing: ?name=song.mp3")
        key = request_key(request, "song")
        earlier = self.library.song_of_request(key)
        if earlier is not None:
            return JSONResponse(song_json(earlier, whole=True))
        stated = request.headers.get("content-length", "")
        size = int(stated) if stated.isascii() and stated.isdecimal() else None
        with Intake(self.library, self.limits, name, size) as intake:
            self.queue.expect()
            async for block in _gathered(chunks(request)):
                await run_in_threadpool(intake.write, block)
            song = await run_in_threadpool(intake.finish, key)
        location = {"location": f"/api/songs/{song.id}"}
        return JSONResponse(song_json(song, whole=True), 201, location)

    def song(self, request: Request) -> Response:
        """Return a song with its jobs."""
        song = self.library.song(request.path_params["song"])
        jobs = [job_json(job) for job in self.library.jobs(song.id)]
        return JSONResponse({**song_json(song, whole=True), "jobs": jobs}, headers=_FRESH)

    def delete_song(self, request: Request) -> Response:
        """Delete a song and its stems."""
        self.library.delete_song(request.path_params["song"])
        return Response(status_code=204)

    async def correct_song(self, request: Request) -> Response:
        """Keep what a person says of tempo, beats and key."""
        values = await json_object(request)
        correction = settings_from(values, Correction, "correction")
        song = await run_in_threadpool(
            self.library.correct, request.path_params["song"], correction
        )
        return JSONResponse(song_json(song, whole=True), headers=_FRESH)

    def song_file(self, request: Request) -> Response:
        """Return a song as it was uploaded."""
        song = self.library.song(request.path_params["song"])
        path = self.library.song_path(song)
        return _file(path, f"{song.name}{path.suffix}")

    def song_piece(self, request: Request) -> Response:
        """Return a piece of a song for the player."""
        song = self.library.song(request.path_params["song"])
        number = _piece_number(request)
        flac = song_piece(self.library.song_path(song), song.sample_rate, number)
        return Response(flac, media_type="audio/flac", headers=_FOREVER)

    # Jobs

    async def add_job(self, request: Request) -> Response:
        """Queue a song."""
        model = text_of(await json_object(request), "model")
        key = request_key(request, "job")
        await run_in_threadpool(check_model, model)
        job = await run_in_threadpool(self.queue.add, request.path_params["song"], model, key)
        return JSONResponse(job_json(job), 201, {"location": f"/api/jobs/{job.id}"})

    def jobs(self, _request: Request) -> Response:
        """Return all jobs."""
        jobs = [job_json(job) for job in self.library.jobs()]
        return JSONResponse({"jobs": jobs}, headers=_FRESH)

    def job(self, request: Request) -> Response:
        """Return a job."""
        job = self.library.job(request.path_params["job"])
        return JSONResponse(job_json(job, whole=True), headers=_FRESH)

    def cancel_job(self, request: Request) -> Response:
        """Cancel a job; one that is cancelled stays so."""
        return JSONResponse(job_json(self.queue.cancel(request.path_params["job"])))

    def retry_job(self, request: Request) -> Response:
        """Queue a job again; one that waits or runs stays as it is."""
        return JSONResponse(job_json(self.queue.retry(request.path_params["job"])))

    def delete_job(self, request: Request) -> Response:
        """Delete a job and its stems."""
        self.library.delete_job(request.path_params["job"])
        return Response(status_code=204)

    # Stems

    def stem_file(self, request: Request) -> Response:
        """Return a stem."""
        job, stem = self._stem(request)
        song = self.library.song(job.song_id)
        return _file(self.library.job_folder(job) / stem.file, f"{song.name} ({stem.name}).flac")

    def stem_piece(self, request: Request) -> Response:
        """Return a piece of a stem for the player."""
        job, stem = self._stem(request)
        song = self.library.song(job.song_id)
        number = _piece_number(request)
        flac = stem_piece(self.library.job_folder(job) / stem.file, song.sample_rate, number)
        return Response(flac, media_type="audio/flac", headers=_FOREVER)

    def stems_zip(self, request: Request) -> Response:
        """Return all stems in one archive, which is made while it is sent."""
        job = self._done_job(request)
        assert job.result is not None
        song, folder = self.library.song(job.song_id), self.library.job_folder(job)
        name = download_name(song.name)
        files = {
            f"{name}/{download_name(stem.name)}.flac": folder / stem.file
            for stem in job.result.stems
        }
        if not all(path.is_file() for path in files.values()):
            raise NotFoundError(_GONE)
        archive = quote(f"{name} ({job.model}).zip")
        headers = {"content-disposition": f"attachment; filename*=utf-8''{archive}"}
        return StreamingResponse(zip_stream(files), media_type="application/zip", headers=headers)

    # Mixes

    def recipes(self, request: Request) -> Response:
        """Return the recipes that fit a job's stems."""
        job = self._done_job(request)
        assert job.result is not None
        found = recipes_for([stem.name for stem in job.result.stems])
        recipes = [{"name": name, "summary": summary} for name, summary in found]
        return JSONResponse({"recipes": recipes})

    async def add_mix(self, request: Request) -> Response:
        """Make a mix; given up when the client leaves."""
        wish = await json_object(request)
        job = await run_in_threadpool(self.library.job, request.path_params["job"])
        is_gone = threading.Event()
        making = asyncio.ensure_future(run_in_threadpool(self.mixes.make, job, wish, is_gone))
        while not making.done():
            await asyncio.wait([making], timeout=_LOOK_S)
            if await request.is_disconnected():
                is_gone.set()
        mix = await making
        found = {
            "id": mix.id,
            "name": mix.name,
            "size": mix.path.stat().st_size,
            "gain_db": mix.result.gain_db,
            "loudness_lufs": mix.result.loudness_lufs,
            "warnings": list(mix.result.warnings),
        }
        return JSONResponse(found, 201, {"location": f"/api/mixes/{mix.id}"})

    def mix_file(self, request: Request) -> Response:
        """Return a mix."""
        mix = self.mixes.get(request.path_params["mix"])
        return _file(mix.path, mix.name)

    def _done_job(self, request: Request) -> JobRecord:
        job = self.library.job(request.path_params["job"])
        if job.result is None:
            raise NotFoundError("The song is not separated.")
        return job

    def _stem(self, request: Request) -> tuple[JobRecord, StemRecord]:
        job = self.library.job(request.path_params["job"])
        for stem in () if job.result is None else job.result.stems:
            if stem.name == request.path_params["stem"]:
                return job, stem
        raise NotFoundError("There is no such stem.")


def _piece_number(request: Request) -> int:
    number: int = request.path_params["number"]
    if number >= _MOST_PIECES:
        raise NotFoundError("The song ends before.")
    return number


def _file(path: Any, name: str) -> Response:
    if not path.is_file():
        raise NotFoundError(_GONE)
    return FileResponse(path, filename=download_name(name))


async def _gathered(blocks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Yield larger blocks: each is written by another thread."""
    held = bytearray()
    async with contextlib.aclosing(blocks):
        async for block in blocks:
            held += block
            if len(held) >= _WRITE_BYTES:
                yield bytes(held)
                held.clear()
    if held:
        yield bytes(held)
