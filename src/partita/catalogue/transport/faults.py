"""What goes wrong with stores: translated to one line, and tried again where that may help."""

from __future__ import annotations

import asyncio
import errno
import http.client
import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from partita.catalogue.files import NoSongError, SourceChangedError
from partita.catalogue.transport.addresses import shown

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

_THROTTLED = frozenset((408, 425, 429, 500, 502, 503, 504, 509))
_DENIED = frozenset((401, 403, 407, 451))
_MISSING = frozenset((404, 410))
#: Codes of S3 and Google that mean the same as a status.
_CODES = {
    **dict.fromkeys(("SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException"), 503),
    **dict.fromkeys(("RequestLimitExceeded", "TooManyRequests", "BandwidthLimitExceeded"), 503),
    **dict.fromkeys(("InternalError", "OperationAborted", "ConditionalRequestConflict"), 500),
    **dict.fromkeys(("RequestTimeout", "IncompleteBody"), 408),
}
_CLOCK = ("RequestTimeTooSkewed", "RequestExpired", "difference between the request time")
_WRONG_CLOCK = "the store refuses this machine's clock: set it right"
_LACKS_CREDENTIALS = "no valid credentials: set them up as the store's own tools expect them"
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired")
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError")
#: Modules of the exceptions that HTTP clients raise where a connection breaks.
_CLIENTS = ("aiohttp.", "botocore.", "aiobotocore.", "urllib3.", "requests.", "httpcore.")
_CONNECTIONS = (
    *("Connect", "Disconnected", "Timeout", "Payload", "IncompleteRead", "HTTPClientError"),
    *(
        "ClientOSError",
        "ResponseStreaming",
        "ResponseParser",
        "ProxyConnection",
        "TransferEncoding",
    ),
)


@dataclass(frozen=True)
class Patience:
    """How often something is tried, and how long the pauses are.

    Attributes
    ----------
    tries : int
    first_s : float
        Longest first pause; it doubles with each try. The pause itself is random below that, so
        that a thousand workers do not come back at the same moment.
    most_s : float
        Longest pause.
    """

    tries: int = 6
    first_s: float = 0.5
    most_s: float = 20.0

    def pause_s(self, failed: int) -> float:
        """Return how long to wait after so many tries."""
        longest = min(self.most_s, self.first_s * 2.0 ** (failed - 1))
        return random.uniform(0.5, 1.0) * longest  # noqa: S311 (no secret)


def retried(action: Callable[[], _Result], address: str, patience: Patience) -> _Result:
    """Do something with a store, several times if it is busy or the connection breaks.

    Parameters
    ----------
    action : callable
        May be called again after it failed.
    address : str
        For messages.
    patience : Patience

    Raises
    ------
    OSError
        Of one line, see `explained`.
    """
    for failed in range(1, patience.tries + 1):
        try:
            return action()
        except Exception as error:
            if isinstance(error, (SourceChangedError, NoSongError)):
                raise
            if failed == patience.tries or not is_passing(error):
                raise explained(error, address, failed) from error
            pause_s = max(patience.pause_s(failed), min(_asked_s(error), patience.most_s))
            _log.debug("%s: %s; again in %.1f s", shown(address), _reason(error), pause_s)
        time.sleep(pause_s)
    raise ValueError(f"{patience.tries} tries")


def is_passing(error: BaseException) -> bool:
    """Return whether another try may succeed: throttled, out of service, or disconnected."""
    status = _status(error)
    if status:
        return status in _THROTTLED
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return False
    return any(_is_broken_connection(each) for each in _chain(error)) or (
        isinstance(error, OSError) and error.errno in (errno.EBUSY, errno.EREMOTEIO)
    )


def explained(error: BaseException, address: str, tries: int = 1) -> OSError:
    """Return an error of a store as an OSError of one line, without secrets.

    Parameters
    ----------
    error : BaseException
    address : str
    tries : int
        How often it was tried.

    Returns
    -------
    OSError
        FileNotFoundError, PermissionError, FileExistsError, ConnectionError, or another; its
        `strerror` says what happened, its `filename` is the address as it may be shown.
    """
    if isinstance(error, (SourceChangedError, NoSongError)):
        return error
    kind, number, reason = _meaning(error)
    after = f", after {tries} tries" if tries > 1 else ""
    own = number == errno.ENOSPC and isinstance(error, OSError) and error.filename
    return kind(number, f"{reason}{after}", str(own or shown(address)))


def _meaning(error: BaseException) -> tuple[type[OSError], int, str]:
    """Return which error says what a store answered, its number, and its words."""
    status, code, text = _status(error), _code(error), _text(error)
    named = code or status
    answer = f" ({named})" if named else ""
    number = (isinstance(error, OSError) and error.errno) or errno.EIO
    is_denied = status in _DENIED or (not status and isinstance(error, PermissionError))
    is_broken = any(_is_broken_connection(each) for each in _chain(error))
    is_missing = status in _MISSING or isinstance(error, FileNotFoundError)
    lacks_credentials = code in _EXPIRED or any(
        type(each).__name__ in _NO_CREDENTIALS for each in _chain(error)
    )
    # Clock and credentials: not the song's fault, and another worker may have better ones.
    meanings: tuple[tuple[bool, type[OSError], int, str], ...] = (
        (any(mark in (code or text) for mark in _CLOCK), OSError, errno.EIO, _WRONG_CLOCK),
        (lacks_credentials, OSError, errno.EIO, _LACKS_CREDENTIALS),
        (is_denied, PermissionError, errno.EACCES, f"permission denied{answer}"),
        (status in _THROTTLED, OSError, errno.EBUSY, f"the store is busy{answer}"),
        (is_broken, ConnectionError, errno.ECONNABORTED, _broken(error)),
        (isinstance(error, FileExistsError), FileExistsError, errno.EEXIST, "exists already"),
        (is_missing, FileNotFoundError, errno.ENOENT, "no such file or bucket"),
        (number == errno.ENOSPC, OSError, errno.ENOSPC, "the disk of this machine is full"),
    )
    for applies, kind, its_number, reason in meanings:
        if applies:
            return kind, its_number, reason
    return OSError, number, text


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it: fsspec hides the answers of web servers."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__


def _is_broken_connection(error: BaseException) -> bool:
    kinds = (ConnectionError, TimeoutError, asyncio.TimeoutError, http.client.IncompleteRead)
    if isinstance(error, kinds):
        return True
    kind = type(error)
    is_clients = f"{kind.__module__}.".startswith(_CLIENTS)
    return is_clients and any(part in kind.__name__ for part in _CONNECTIONS)


def _broken(error: BaseException) -> str:
    """Say how a connection failed; the clients' own words name the store's internal addresses."""
    kinds = [type(each).__name__ for each in _chain(error)]
    if any("Timeout" in kind for kind in kinds):
        return "no answer in time"
    if any("Connector" in kind or "EndpointConnection" in kind for kind in kinds):
        return "cannot be reached"
    return "the connection broke"


def _status(error: BaseException) -> int:
    """Return the status of a store's answer; 0: there is none."""
    for each in _chain(error):
        if (code := _code(each)) in _CODES:
            return _CODES[code]
        response = getattr(each, "response", None)
        if isinstance(response, dict):  # botocore
            found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if isinstance(found, int):
                return found
        # gcsfs has a code; aiohttp a status, and codes that it made up for broken answers.
        is_google = type(each).__module__.startswith("gcsfs.")
        found = getattr(each, "code" if is_google else "status", None)
        if isinstance(found, int) and 400 <= found < 600:
            return found
    return 0


def _code(error: BaseException) -> str:
    """Return the store's own name of an error, such as SlowDown; empty: it gave none."""
    for each in _chain(error):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            code = str(response.get("Error", {}).get("Code", ""))
            if code and not code.isdigit():
                return code
    return ""


def _asked_s(error: BaseException) -> float:
    """Return how long a web server asks to wait."""
    for each in _chain(error):
        headers = getattr(each, "headers", None)
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            headers = response.get("ResponseMetadata", {}).get("HTTPHeaders")
        if headers is not None:
            try:
                return float(headers.get("Retry-After") or headers.get("retry-after") or 0)
            except (ValueError, TypeError, AttributeError):  # a date
                return 0.0
    return 0.0


def _text(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return shown(str(text))[:300]


def _reason(error: BaseException) -> str:
    status = _status(error)
    return f"{_code(error) or status} answered" if status else _text(error)
