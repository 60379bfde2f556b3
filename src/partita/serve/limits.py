"""What clients may ask of the server."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from partita.errors import PartitaError


@dataclass(frozen=True)
class Limits:
    """Limits of a server.

    Attributes
    ----------
    most_mb : int
        Size of an uploaded file, in megabytes.
    most_minutes : int
        Length of a song.
    most_waiting : int
        Jobs in the queue.
    spare_bytes : int
        What stays free on the library's disk.
    quota_gb : float
        What songs and stems may take together, in gigabytes.
    """

    most_mb: int = 500
    most_minutes: int = 90
    most_waiting: int = 200
    spare_bytes: int = 200_000_000
    quota_gb: float = 50.0

    @property
    def most_bytes(self) -> int:
        """Size of an uploaded file, in bytes: none is larger than all may be together."""
        return min(self.most_mb * 1_000_000, self.quota_bytes)

    @property
    def most_seconds(self) -> int:
        """Length of a song, in seconds."""
        return self.most_minutes * 60

    @property
    def quota_bytes(self) -> int:
        """What songs and stems may take together, in bytes."""
        return round(self.quota_gb * 1e9)


class TooLargeError(PartitaError):
    """A file or song beyond the server's limits."""


class QueueFullError(PartitaError):
    """More jobs than the server takes."""


class NoRoomError(PartitaError):
    """The library cannot grow."""


class QuotaError(NoRoomError):
    """The library would grow beyond its quota."""

    def __init__(self, size: int, quota: int) -> None:
        super().__init__(
            f"There is no room for it: the library holds {size / 1e9:.3g} of {quota / 1e9:.3g} GB. "
            "Delete songs: Make room, in the library, offers the oldest."
        )


class DiskFullError(NoRoomError):
    """The disk of the library is full."""

    #: Of the operating system's errors that mean it.
    NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

    def __init__(self) -> None:
        super().__init__("The library's disk is full: delete songs or free some space.")
