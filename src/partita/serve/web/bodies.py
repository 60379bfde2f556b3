"""Bodies of requests: of limited size, and never slower than a connection that lives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import Request

from partita.errors import UsageError
from partita.serve.limits import TooLargeError

_MOST_JSON_BYTES = 64_000
_LONGEST_KEY = 100
_PATIENCE_S = 30.0


class TooSlowError(UsageError):
    """A client that sends nothing."""


async def chunks(request: Request) -> AsyncGenerator[bytes, None]:
    """Yield a body as it arrives.

    Raises
    ------
    TooSlowError
        Nothing came for 30 s.
    """
    stream = request.stream().__aiter__()
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream), _PATIENCE_S)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise TooSlowError("The upload stopped: nothing came for 30 seconds.") from None
        if chunk:
            yield chunk


async def json_object(request: Request) -> dict[str, Any]:
    """Return a body that is a JSON object.

    Raises
    ------
    UsageError
    TooLargeError
    """
    body = b""
    async for chunk in chunks(request):
        body += chunk
        if len(body) > _MOST_JSON_BYTES:
            raise TooLargeError("The request is too large.")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise UsageError("The body is not JSON.") from None
    if not isinstance(found, dict):
        raise UsageError("The body is not a JSON object.")
    return found


def text_of(values: dict[str, Any], name: str) -> str:
    """Return a text of a JSON object.

    Raises
    ------
    UsageError
        It is missing, or no text.
    """
    found = values.get(name)
    if not isinstance(found, str):
        raise UsageError(f"{name!r} is missing, or not a text.")
    return found


def request_key(request: Request, kind: str) -> str | None:
    """Return the key by which a repeated request is recognised; None: the client gave none.

    Parameters
    ----------
    request : Request
    kind : str
        What is asked for: one key may be used for different things.

    Raises
    ------
    UsageError
    """
    key: str | None = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= _LONGEST_KEY or not key.isprintable():
        raise UsageError(f"Idempotency-Key must have 1 to {_LONGEST_KEY} printable characters.")
    return f"{kind} {key}"
