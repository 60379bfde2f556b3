"""Writing the stems of one song: all or none."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
import numpy.typing as npt

from partita.audio.channels import interleaved
from partita.audio.encode import encode_file, file_rate
from partita.audio.formats import StemFormat, check_format
from partita.audio.publish import publish
from partita.audio.stem_mp4 import check_stem_count, encode_stem_mp4, stem_mp4_rate
from partita.audio.tags import Tags
from partita.audio.work_folder import work_folder
from partita.errors import AudioWriteError, one_line, write_error
from partita.files import sync_file

Samples = npt.NDArray[np.float32]

_BLOCK_SAMPLES = 1 << 16
_MIXTURE = "mixture"


class StemWriter:
    """Writes estimates, which come block by block, to finished files.

    Blocks are stored as float32 in a hidden folder under `root` until the end of the song, when the
    peak is known: formats that would clip get one joint gain for all stems, which keeps their
    balance. Then stems are encoded and renamed to their final names.

    Parameters
    ----------
    paths : mapping of str to Path
        Stem name → final path; equal paths for a format that holds all stems.
    form : StemFormat
    sample_rate, channels : int
    tags : mapping of str to Tags
        Stem name → tags of its file.
    root : Path
        The output folder, also for unfinished files.
    cancel : Event, optional
        Once it is set, encoders stop at their next block with InterruptedError.

    Attributes
    ----------
    peak : float
        Largest magnitude so far, of stems and, where a format holds it, of the mixture.
    frames : int
        Samples in each channel so far.
    wanted_gain_db : float
        Joint gain that the files should have; 0 unless somebody sets it before `finish`.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],
        form: StemFormat,
        *,
        sample_rate: int,
        channels: int,
        tags: Mapping[str, Tags],
        root: Path,
        cancel: threading.Event | None = None,
    ) -> None:
        if form.holds_all_stems:
            check_stem_count(len(paths))
        check_format(form, sample_rate, channels)
        self._paths, self._form, self._tags = dict(paths), form, tags
        self._sample_rate, self._channels, self._root = sample_rate, channels, root
        self._stems = list(paths)
        self._spooled = [*self._stems, _MIXTURE] if form.holds_all_stems else self._stems
        self._stack = ExitStack()
        self.frames = 0
        self._cancel, self._stopped = cancel, threading.Event()
        self.peak = self.wanted_gain_db = 0.0

    def __enter__(self) -> Self:
        try:
            self._folder = self._stack.enter_context(work_folder(self._root))
            self._spools: list[IO[bytes]] = [
                self._stack.enter_context((self._folder / f"{index}.f32").open("w+b"))
                for index in range(len(self._spooled))
            ]
        except OSError as error:
            self._stack.close()
            raise write_error(self._root, error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._stack.close()
        except OSError as close_error:  # flushing failed: the disk is full
            if kind is None:
                raise write_error(self._root, close_error) from close_error

    @property
    def file_rate(self) -> int:
        """Sample rate of the files, which depends on the format."""
        if self._form.holds_all_stems:
            return stem_mp4_rate(self._sample_rate)
        return file_rate(self._form, self._sample_rate)

    @property
    def file_channels(self) -> int:
        """Channel count of the files."""
        return 2 if self._form.holds_all_stems else self._channels

    @property
    def gain_db(self) -> float:
        """The joint gain of all stems: `wanted_gain_db`, or less if the loudest would clip."""
        if not self._form.clips or not self.peak:
            return self.wanted_gain_db
        return min(self.wanted_gain_db, -20.0 * math.log10(self.peak))

    def write(self, mixture: Samples, estimates: Samples) -> None:
        """Add a block: ``[channels, samples]`` of the mixture, ``[stems, channels, samples]``.

        Raises
        ------
        AudioWriteError
            The disk is full, or another error of the operating system.
        """
        # An extreme is NaN or infinite if any sample is.
        peaks = (float(estimates.max(initial=0.0)), -float(estimates.min(initial=0.0)))
        if not all(map(math.isfinite, peaks)):
            bad = zip(self._paths.values(), estimates, strict=True)
            where = next((path for path, stem in bad if not np.isfinite(stem).all()), self._root)
            raise AudioWriteError(
                f"cannot write {one_line(where)}: the model gave NaN or infinite estimates"
            )
        self.peak = max(self.peak, *peaks)
        signals: Sequence[Samples] = [*estimates]
        if self._form.holds_all_stems:
            self.peak = max(self.peak, float(np.abs(mixture).max(initial=0.0)))
            signals = [*estimates, mixture]
        try:
            for spool, signal in zip(self._spools, signals, strict=True):
                spool.write(interleaved(signal).data)
        except OSError as error:
            raise write_error(self._root, error) from error
        self.frames += estimates.shape[-1]

    def finish(self) -> dict[str, Path]:
        """Encode all stems and rename them to their final names.

        Returns
        -------
        dict of str to Path
            Stem name → file.

        Raises
        ------
        AudioWriteError
            As in `write`, or a codec fails.
        """
        if self._form.holds_all_stems:
            finished = {self._encode_together(): self._paths[self._stems[0]]}
        else:
            encoded = self._encode_each()
            finished = dict(zip(encoded, self._paths.values(), strict=True))
        try:
            publish(finished)
        except OSError as error:
            raise write_error(error.filename, error) from error
        return dict(self._paths)

    def _encode_each(self) -> list[Path]:
        pool = ThreadPoolExecutor(min(len(self._stems), os.cpu_count() or 1))
        try:
            jobs = [pool.submit(self._encode_one, index) for index in range(len(self._stems))]
            wait(jobs, return_when=FIRST_EXCEPTION)
        finally:
            # A failed encoder, or Ctrl-C, stops the other encoders.
            self._stopped.set()
            pool.shutdown(cancel_futures=True)
        errors = [None if job.cancelled() else job.exception() for job in jobs]
        causes = [error for error in errors if not isinstance(error, InterruptedError | None)]
        if causes:
            raise causes[0]
        return [job.result() for job in jobs]

    def _encode_one(self, index: int) -> Path:
        stem = self._stems[index]
        path = self._folder / f"{index}.{self._form.name}"
        with self._naming(self._paths[stem]):
            encode_file(
                path,
                self._read_spool(index),
                self._form,
                sample_rate=self._sample_rate,
                channels=self._channels,
                frames=self.frames,
                tags=self._tags[stem],
            )
            sync_file(path)
        return path

    def _encode_together(self) -> Path:
        path = self._folder / f"all.{self._form.name}"
        with self._naming(self._paths[self._stems[0]]):
            encode_stem_mp4(
                path,
                self._read_spool(len(self._stems)),
                {stem: self._read_spool(index) for index, stem in enumerate(self._stems)},
                self._form,
                sample_rate=self._sample_rate,
                tags=self._tags[self._stems[0]],
            )
            sync_file(path)
        return path

    @contextlib.contextmanager
    def _naming(self, path: Path) -> Iterator[None]:
        """Let errors name the final file, not the hidden one."""
        try:
            yield
        except InterruptedError:
            raise
        except OSError as error:
            raise write_error(path, error) from error
        except AudioWriteError as error:
            raise AudioWriteError(f"cannot write {one_line(path)}: {error}") from error

    def _read_spool(self, index: int) -> Iterator[Samples]:
        gain = np.float32(10.0 ** (self.gain_db / 20.0))
        spool = self._spools[index]
        spool.seek(0)
        block_bytes = _BLOCK_SAMPLES * self._channels * 4
        while data := spool.read(block_bytes):
            if self._stopped.is_set() or (self._cancel is not None and self._cancel.is_set()):
                raise InterruptedError
            block = np.frombuffer(data, np.float32).reshape(-1, self._channels).T
            yield block * gain if gain != 1.0 else block
