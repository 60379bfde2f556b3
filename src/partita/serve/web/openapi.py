"""The API's description in OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from partita import __version__
from partita.audio.formats import FORMATS
from partita.mixing.tempo_key import KEYS

_TEXT, _NUMBER, _INTEGER = {"type": "string"}, {"type": "number"}, {"type": "integer"}
_MAYBE_TEXT = {"type": ["string", "null"]}
_MAYBE_NUMBER = {"type": ["number", "null"]}
_STATES = ("queued", "running", "done", "failed", "cancelled")


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(of: Any) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_SCHEMAS = {
    "Error": _object(error={**_TEXT, "description": "One sentence for people."}),
    "Song": _object(
        id=_TEXT,
        name=_TEXT,
        duration_s=_NUMBER,
        sample_rate=_INTEGER,
        channels=_INTEGER,
        size={**_INTEGER, "description": "In bytes."},
        added_at={**_NUMBER, "description": "Seconds since 1970."},
        music={"oneOf": [_ref("Music"), {"type": "null"}]},
    ),
    "Music": _object(
        tempo_bpm=_MAYBE_NUMBER,
        is_tempo_sure={"type": "boolean", "description": "Whether the beats are regular."},
        beats_in_bar=_INTEGER,
        one={
            "type": ["integer", "null"],
            "description": "Index of a beat that begins a bar; null: unknown.",
        },
        key={**_MAYBE_TEXT, "enum": [*KEYS, None]},
        is_key_sure={"type": "boolean", "description": "Whether no other key fits as well."},
        other_keys=_list(_TEXT),
        correction=_ref("Correction"),
    ),
    "Correction": {
        "type": "object",
        "properties": {
            "tempo_factor": {**_NUMBER, "minimum": 0.25, "maximum": 4, "default": 1},
            "key": {**_MAYBE_TEXT, "enum": [*KEYS, None]},
            "beats_in_bar": {**_INTEGER, "minimum": 2, "maximum": 12, "default": 4},
            "one_s": {
                **_MAYBE_NUMBER,
                "minimum": 0,
                "maximum": 1e6,
                "description": "The beat next to this time begins a bar.",
            },
        },
        "additionalProperties": False,
    },
    "Job": _object(
        id=_TEXT,
        song_id=_TEXT,
        model=_TEXT,
        state={**_TEXT, "enum": list(_STATES)},
        phase={**_TEXT, "enum": ["", "loading", "fetching", "separating", "writing", "estimating"]},
        progress={**_MAYBE_NUMBER, "description": "0 to 1, of the phase."},
        error={**_TEXT, "description": "One sentence, when failed."},
        created_at=_NUMBER,
        result={"oneOf": [_ref("Result"), {"type": "null"}]},
    ),
    "Result": _object(
        stems=_list(_object(name=_TEXT, size=_INTEGER)),
        gain_db={**_NUMBER, "description": "Of all stems, against clipping."},
        null_depth_db={
            **_MAYBE_NUMBER,
            "description": "Level of mixture minus stems, relative to the mixture; null: nothing.",
        },
        elapsed_s=_NUMBER,
        warnings=_list(_TEXT),
    ),
    "Model": _object(
        name=_TEXT,
        summary=_TEXT,
        stems=_list(_TEXT),
        licence={**_TEXT, "description": "Of the weights; empty: there are none."},
        commercial_use={
            "type": ["boolean", "null"],
            "description": "Whether the licence clearly allows it; null: unknown.",
        },
        download_bytes={**_INTEGER, "description": "Fetched before the first use."},
        sdr_db={**_MAYBE_NUMBER, "description": "Mean over the stems, measured by partita."},
        speed={**_MAYBE_NUMBER, "description": "Seconds of music in a second on two cores."},
        recommended={**_TEXT, "description": "Why; empty: it is not."},
    ),
    "Wish": {
        "type": "object",
        "properties": {
            "recipe": {**_MAYBE_TEXT, "description": "One of those that fit the stems."},
            "format": {**_TEXT, "enum": list(FORMATS), "default": "wav"},
            "bits": {**_MAYBE_TEXT, "description": "16, 24 or float, of wav and flac."},
            "gain": {"type": "object", "additionalProperties": _NUMBER, "description": "dB"},
            "pan": {
                "type": "object",
                "additionalProperties": _NUMBER,
                "description": "-1 (left) to 1 (right)",
            },
            "mute": _list(_TEXT),
            "solo": _list(_TEXT),
            "speed": {**_MAYBE_NUMBER, "minimum": 0.5, "maximum": 1.5},
            "pitch": {**_MAYBE_NUMBER, "minimum": -12, "maximum": 12},
            "loudness": {**_MAYBE_NUMBER, "minimum": -40, "maximum": -5},
            "click": {"type": "boolean", "description": "One more file: a click on every beat."},
            "click_db": {
                **_MAYBE_NUMBER,
                "minimum": -60,
                "maximum": 0,
                "description": "The click in the mix, with this peak.",
            },
        },
        "additionalProperties": False,
    },
    "Mix": _object(
        id=_TEXT,
        name={**_TEXT, "description": "Of the file."},
        size=_INTEGER,
        gain_db=_NUMBER,
        loudness_lufs=_MAYBE_NUMBER,
        warnings=_list(_TEXT),
    ),
    "Storage": _object(
        library_bytes={**_INTEGER, "description": "Of all songs and stems."},
        quota_bytes={**_INTEGER, "description": "What they may take."},
        free_bytes={**_INTEGER, "description": "Of the disk."},
        is_nearly_full={"type": "boolean"},
        oldest=_list(_object(id=_TEXT, name=_TEXT, added_at=_NUMBER, bytes=_INTEGER)),
    ),
    "Changes": _object(
        all={"type": "boolean", "description": "Whether what is not listed does not exist."},
        songs=_list(_ref("Song")),
        jobs=_list(_ref("Job")),
        deleted=_list(_TEXT),
    ),
}

_STATUS_TEXTS = {
    400: "The request is malformed.",
    401: "The token is missing or wrong.",
    404: "There is no such song, separation or stem.",
    408: "The upload stopped.",
    409: "It cannot happen to a separation in this state.",
    413: "The file is too large, or the song too long.",
    416: "The range lies outside the file.",
    422: "It cannot be decoded, made or found by that name.",
    503: "The queue is full.",
    507: "The library or its disk is full.",
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {**_TEXT, "minLength": 1, "maxLength": 100},
    "description": "A request that is repeated with its key does nothing twice.",
}
_RANGE = {"name": "Range", "in": "header", "required": False, "schema": _TEXT}


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _operation(
    summary: str,
    answers: dict[int, Any],
    *,
    failures: tuple[int, ...] = (),
    body: Any = None,
    parameters: tuple[Any, ...] = (),
    needs_token: bool = True,
) -> dict[str, Any]:
    """Return an operation; answers are status → content, None without content."""
    responses: dict[str, Any] = {}
    for status, content in answers.items():
        responses[str(status)] = {"description": _STATUS_TEXTS.get(status, summary)} | (
            {"content": content} if content else {}
        )
    for status in (*failures, *((401,) if needs_token else ())):
        content = _json(_ref("Error"))
        responses[str(status)] = {"description": _STATUS_TEXTS[status], "content": content}
    found: dict[str, Any] = {"summary": summary, "responses": responses}
    if body is not None:
        found["requestBody"] = {"required": True, "content": body}
    if parameters:
        found["parameters"] = list(parameters)
    if not needs_token:
        found["security"] = []
    return found


def _paths() -> dict[str, dict[str, Any]]:
    song, job = {200: _json(_ref("Song"))}, {200: _json(_ref("Job"))}
    flac: dict[str, Any] = {"audio/flac": {}}
    any_file: dict[str, Any] = {"*/*": {}}
    no_range: dict[str, Any] = {"text/plain": {}}
    file_answers = {200: any_file, 206: any_file, 400: no_range, 416: no_range}
    name = {"name": "name", "in": "query", "required": True, "schema": {**_TEXT, "minLength": 1}}
    upload = {"application/octet-stream": {"schema": {**_TEXT, "format": "binary"}}}
    model = _json(_object(model=_TEXT))
    changes = {"text/event-stream": {"schema": _ref("Changes")}}
    numbers = "from 0, of 10 s, at a quarter of their level"
    return {
        "/api/health": {"get": _operation(
            "Whether the server lives", {200: _json(_object(status=_TEXT, version=_TEXT))},
            needs_token=False)},
        "/api/session": {"post": _operation(
            "Get a cookie that stands for the token", {204: None}, failures=(400, 401, 413),
            body=_json(_object(token=_TEXT)), needs_token=False)},
        "/api/openapi.json": {"get": _operation("This description", {200: _json({})})},
        "/api/server": {"get": _operation("Limits, and what the library holds", {200: _json({})})},
        "/api/storage": {"get": _operation(
            "How full the library is, and the oldest songs, which may be deleted",
            {200: _json(_ref("Storage"))},
            failures=(400,),
            parameters=({"name": "bytes", "in": "query", "required": False,
                         "schema": {**_INTEGER, "minimum": 0},
                         "description": "To be freed; by default a tenth of the quota."},))},
        "/api/models": {"get": _operation(
            "Models to choose from, the recommended ones first",
            {200: _json(_object(models=_list(_ref("Model"))))})},
        "/api/events": {"get": _operation(
            "All songs and separations, then changes, as server-sent events", {200: changes},
            parameters=({"name": "Last-Event-ID", "in": "header", "required": False,
                         "schema": _TEXT},))},
        "/api/songs": {
            "get": _operation(
                "All songs, the newest first", {200: _json(_object(songs=_list(_ref("Song"))))}),
            "post": _operation(
                "Upload a song: the body is the file",
                {201: _json(_ref("Song")), **song},
                failures=(400, 408, 413, 422, 507), body=upload, parameters=(name, _KEY)),
        },
        "/api/songs/{song}": {
            "get": _operation("A song with its separations", song, failures=(404,)),
            "delete": _operation("Delete a song and its stems", {204: None}, failures=(404, 409)),
        },
        "/api/songs/{song}/correction": {
            "put": _operation(
                "Put tempo, beats and key right; what is left out is as estimated",
                song,
                failures=(400, 404, 408, 413, 422),
                body=_json(_ref("Correction")),
            )
        },
        "/api/songs/{song}/file": {"get": _operation(
            "The song as it was uploaded", file_answers, failures=(404,), parameters=(_RANGE,))},
        "/api/songs/{song}/pieces/{number}": {"get": _operation(
            f"A piece of the song for the player: {numbers}", {200: flac}, failures=(404,))},
        "/api/songs/{song}/jobs": {"post": _operation(
            "Separate a song", {201: _json(_ref("Job"))},
            failures=(400, 404, 408, 413, 422, 503), body=model, parameters=(_KEY,))},
        "/api/jobs": {"get": _operation(
            "All separations, the oldest first", {200: _json(_object(jobs=_list(_ref("Job"))))})},
        "/api/jobs/{job}": {
            "get": _operation(
                "A separation, with waveforms and the report without references",
                job,
                failures=(404,),
            ),
            "delete": _operation(
                "Delete a separation and its stems", {204: None}, failures=(404, 409)),
        },
        "/api/jobs/{job}/cancel": {"post": _operation(
            "Cancel a separation", job, failures=(404, 409))},
        "/api/jobs/{job}/retry": {"post": _operation(
            "Try again what failed or was cancelled", job, failures=(404, 409))},
        "/api/jobs/{job}/recipes": {
            "get": _operation(
                "Recipes for mixes that fit the stems",
                {200: _json(_object(recipes=_list(_object(name=_TEXT, summary=_TEXT))))},
                failures=(404,),
            )
        },
        "/api/jobs/{job}/mixes": {
            "post": _operation(
                "Make a mix: it is answered when it is there",
                {201: _json(_ref("Mix"))},
                failures=(400, 404, 408, 413, 422, 503, 507),
                body=_json(_ref("Wish")),
            )
        },
        "/api/mixes/{mix}": {
            "get": _operation(
                "A mix; the last eight are kept",
                file_answers,
                failures=(404,),
                parameters=(_RANGE,),
            )
        },
        "/api/jobs/{job}/zip": {
            "get": _operation(
                "All stems in FLAC", {200: {"application/zip": {}}}, failures=(404,)
            )
        },
        "/api/jobs/{job}/stems/{stem}": {"get": _operation(
            "A stem in FLAC, of the song's length and sample rate", file_answers, failures=(404,),
            parameters=(_RANGE,))},
        "/api/jobs/{job}/stems/{stem}/pieces/{number}": {"get": _operation(
            f"A piece of a stem for the player: {numbers}", {200: flac}, failures=(404,))},
    }  # fmt: skip


def document() -> dict[str, Any]:
    """Return the description as an object for JSON."""
    paths = _paths()
    for path, operations in paths.items():
        for part in path.split("/"):
            if not part.startswith("{"):
                continue
            schema = {**_INTEGER, "minimum": 0} if part == "{number}" else _TEXT
            parameter = {"name": part[1:-1], "in": "path", "required": True, "schema": schema}
            operations.setdefault("parameters", []).append(parameter)
    return {
        "openapi": "3.1.0",
        "info": {"title": "partita serve", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }
