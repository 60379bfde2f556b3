"""Songs that come in: to disk while they arrive, judged by decoding, then in the library."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from typing import Self

from partita.audio.reader import open_audio
from partita.errors import AudioReadError, one_line
from partita.reports.page.audio import PeakMeter
from partita.serve.library import Library, new_id
from partita.serve.limits import DiskFullError, Limits, TooLargeError
from partita.serve.names import folder_name, safe_extension, shown_name
from partita.serve.records import SongRecord
from partita.serve.waveforms import waveform


class Intake:
    """A file that is being uploaded; as a context manager, it leaves nothing behind.

    Parameters
    ----------
    library : Library
    limits : Limits
    name : str
        What the client calls the file.
    size : int or None
        In bytes, as the client states it; None: unknown.

    Raises
    ------
    TooLargeError
        The stated size is beyond the limit; nothing has been stored.
    QuotaError
        So is the library with it.
    DiskFullError
    """

    def __init__(self, library: Library, limits: Limits, name: str, size: int | None) -> None:
        self._library, self._limits, self._name = library, limits, name
        if size is not None and size > limits.most_bytes:
            raise self._too_large()
        library.require_room(size or 0)
        free = shutil.disk_usage(library.incoming).free
        if free - (size or 0) < limits.spare_bytes:
            raise DiskFullError
        self.size = 0
        self._path = library.incoming / f"{new_id()}{safe_extension(name)}"
        with _disk_errors():
            self._file = self._path.open("xb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Store the next bytes.

        Raises
        ------
        TooLargeError
        DiskFullError
        """
        self.size += len(data)
        if self.size > self._limits.most_bytes:
            raise self._too_large()
        with _disk_errors():
            self._file.write(data)

    def finish(self, request: str | None = None) -> SongRecord:
        """Decode the file and put it in the library.

        Parameters
        ----------
        request : str, optional
            The client's key: a second request with it gets the song of the first.

        Raises
        ------
        AudioReadError
            It cannot be decoded; the message names the client's file.
        TooLargeError
            It is too long.
        QuotaError, DiskFullError
        """
        with _disk_errors():
            self._file.close()
        name = shown_name(self._name)
        try:
            with open_audio(self._path) as reader:
                sample_rate, channels = reader.sample_rate, reader.channels
                self._check_length(reader.duration_s)
                meter = PeakMeter(sample_rate)
                for block in reader.blocks():
                    meter.add(block)
                    self._check_length(meter.samples / sample_rate)  # it may have stated less
        except AudioReadError as error:
            reason = str(error).removeprefix(f"{one_line(self._path)}: ")
            raise AudioReadError(f"{name}: {reason}") from error
        if not meter.samples:
            raise AudioReadError(f"{name}: holds no sound")
        identifier = new_id()
        record = SongRecord(
            id=identifier,
            name=name,
            folder=folder_name(name, identifier),
            file=f"song{self._path.suffix}",
            size=self.size,
            sample_rate=sample_rate,
            channels=channels,
            samples=meter.samples,
            peaks=waveform(meter.peaks()),
            added_at=time.time(),
        )
        with _disk_errors():
            return self._library.add_song(self._path, record, request)

    def _check_length(self, seconds: float | None) -> None:
        if seconds is not None and seconds > self._limits.most_seconds:
            raise TooLargeError(
                f"{shown_name(self._name)} is {seconds / 60:.0f} minutes long: this server takes "
                f"songs of up to {self._limits.most_minutes} minutes"
            )

    def _too_large(self) -> TooLargeError:
        return TooLargeError(
            f"{shown_name(self._name)} is too large: this server takes files of up to "
            f"{self._limits.most_bytes / 1e6:.0f} MB"
        )


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    """Say it in the page's words when the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno in DiskFullError.NUMBERS:
            raise DiskFullError from error
        raise
