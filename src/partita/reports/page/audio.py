"""Audio beside a page: each signal in a folder of its own, encoded once.

A page on disk cannot read files, only run scripts. So each piece of a signal is a script that hands
Opus or FLAC in base64 to `scripts/engine.js`. What a folder holds is named in its ``signal.json``,
which is written last; a signal whose source has not changed is not encoded again.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from partita.audio.audio_reader import rechunk
from partita.audio.conversion import convert_blocks
from partita.audio.reader import open_audio
from partita.errors import write_error
from partita.files import plain_name
from partita.reports.page.coding import Coding, Samples, encode_piece, pieces

#: Most columns of a waveform.
COLUMNS = 1600
_VERSION = 1  # of the files; those of other versions are encoded anew
_RECORD = "signal.json"
_PARTIAL = ".partial"
_BLOCK = 1 << 16
_SILENCE = 1e-5  # -100 dB: below the noise of 16 bits
_LOUDEST, _QUIETEST = 0.98, 0.05  # peaks beyond are raised or lowered for the codec
_ABANDONED_S = 24 * 3600


@dataclass(frozen=True)
class Source:
    """A signal that is to be heard.

    Attributes
    ----------
    key : str
        Differs if the samples do.
    sample_rate : int
    blocks : callable
        Gives its blocks ``[channels, samples]`` from the beginning, as often as it is called.
    """

    key: str
    sample_rate: int
    blocks: Callable[[], Iterator[Samples]]


@dataclass(frozen=True)
class PageSignal:
    """A signal beside a page.

    Attributes
    ----------
    folder : str
        Its folder in the page's folder of audio.
    samples : int
        Length at the page's sample rate.
    channels : int
        1 or 2.
    scale : float
        What the decoded samples are to be multiplied by.
    pieces : int
        0: the signal is silent, and there is nothing to load.
    peak : float
        Greatest absolute sample; 1 is full scale.
    peaks : str
        Base64 of bytes: the greatest absolute samples of `COLUMNS` or fewer equal spans of time, in
        255ths of `peak`.
    """

    folder: str
    samples: int
    channels: int
    scale: float
    pieces: int
    peak: float
    peaks: str

    def for_engine(self) -> dict[str, Any]:
        """Return what ``partita.Engine.load`` needs, ready for JSON."""
        return {
            "folder": self.folder,
            "samples": self.samples,
            "scale": self.scale,
            "pieces": self.pieces,
        }


def file_source(path: Path, *, start_s: float = 0.0, duration_s: float | None = None) -> Source:
    """Return a file, or an excerpt of it, as a source.

    A file is taken for another one if its path, its size or its time of change differs.

    Raises
    ------
    AudioReadError
    """
    with open_audio(path, start_s=start_s, duration_s=duration_s) as reader:
        sample_rate = reader.sample_rate

    def blocks() -> Iterator[Samples]:
        with open_audio(path, start_s=start_s, duration_s=duration_s) as reader:
            yield from reader.blocks(_BLOCK)

    return Source(_key(_stamp(path), start_s, duration_s), sample_rate, blocks)


def array_source(samples: npt.ArrayLike, sample_rate: int) -> Source:
    """Return samples ``[channels, samples]`` in memory as a source."""
    array = np.ascontiguousarray(samples, np.float32)
    digest = hashlib.sha256(array.tobytes()).hexdigest()

    def blocks() -> Iterator[Samples]:
        for start in range(0, array.shape[1], _BLOCK):
            yield array[:, start : start + _BLOCK]

    return Source(_key(digest, array.shape, sample_rate), sample_rate, blocks)


def residual_source(mixture: Path, stems: Mapping[str, Path]) -> Source:
    """Return mixture minus sum of stems as a source.

    It is made from the stems before they are encoded: what a lossy codec changes is no residual.

    Raises
    ------
    AudioReadError
    """
    whole, parts = file_source(mixture), [file_source(path) for path in stems.values()]

    def blocks() -> Iterator[Samples]:
        signals = [
            rechunk(convert_blocks(part.blocks(), part.sample_rate, whole.sample_rate), _BLOCK)
            for part in parts
        ]
        for mixed, *estimates in zip_longest(rechunk(whole.blocks(), _BLOCK), *signals):
            if mixed is None:
                return
            residual = mixed.copy()
            for estimate in estimates:
                if estimate is not None:
                    common = min(residual.shape[1], estimate.shape[1])
                    residual[:, :common] -= estimate[:, :common]
            yield residual

    key = _key("residual", whole.key, *sorted(part.key for part in parts))
    return Source(key, whole.sample_rate, blocks)


def encode_signal(source: Source, folder: Path, coding: Coding, *, label: str = "") -> PageSignal:
    """Write a signal beside a page, unless it is there.

    Parameters
    ----------
    source : Source
        `file_source`, `array_source` or `residual_source`.
    folder : Path
        The page's folder of audio; it exists.
    coding : Coding
        The same for all signals of a page.
    label : str
        Begins the folder's name, for people; leave it out where the name would tell too much, as
        in a blind test.

    Raises
    ------
    AudioReadError
        The source cannot be read.
    AudioWriteError
        The folder cannot be written to.
    """
    code = _key(_VERSION, coding.name, coding.sample_rate, source.key)[:16]
    name = "-".join(filter(None, [plain_name(label.lower()), code]))
    found = _read_record(folder / name)
    if found is not None:
        return found
    try:
        partial = folder / f".{name}.{secrets.token_hex(4)}{_PARTIAL}"
        partial.mkdir()
        try:
            signal = _write_signal(source, partial, name, coding)
            shutil.rmtree(folder / name, ignore_errors=True)  # incomplete, or of a damaged disk
            partial.replace(folder / name)
        except OSError:
            if (found := _read_record(folder / name)) is None:
                raise
            return found  # another thread or process has just made the same
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise write_error(folder / name, error) from error
    return signal


def remove_unused(folder: Path, used: Collection[str]) -> None:
    """Remove signals that a page no longer plays, and what killed writers left.

    Parameters
    ----------
    folder : Path
        The page's folder of audio.
    used : collection of str
        `PageSignal.folder` of those that it plays.
    """
    for path in folder.iterdir():
        if path.name.startswith(".") and path.name.endswith(_PARTIAL):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED_S:
                    shutil.rmtree(path, ignore_errors=True)
        elif path.name not in used and (path / _RECORD).is_file():
            shutil.rmtree(path, ignore_errors=True)


def _write_signal(source: Source, folder: Path, name: str, coding: Coding) -> PageSignal:
    peaks, length, channels = measure(source)
    peak = float(peaks.max(initial=0.0))
    samples = max(1, round(length * coding.sample_rate / source.sample_rate)) if length else 0
    scale = peak / _LOUDEST if not _QUIETEST < peak <= _LOUDEST else 1.0
    sizes = []
    if peak > _SILENCE:
        for number, piece in enumerate(pieces(source.blocks(), source.sample_rate, coding)):
            quiet = np.clip(piece / np.float32(scale), -1.0, 1.0)
            coded = encode_piece(quiet, coding, folder / f"piece.{coding.name}")
            text = _piece_script(name, number, piece.shape[1], coded, coding)
            sizes.append((folder / f"{number}.js").write_text(text, encoding="ascii"))
    columns = np.zeros(0, np.uint8) if peak == 0 else np.rint(peaks * (255 / peak)).astype(np.uint8)
    signal = PageSignal(
        folder=name,
        samples=samples,
        channels=channels,
        scale=scale,
        pieces=len(sizes),
        peak=peak,
        peaks=base64.b64encode(columns.tobytes()).decode(),
    )
    record = {**vars(signal), "sizes": sizes}
    (folder / _RECORD).write_text(json.dumps(record), encoding="ascii")
    return signal


def _piece_script(name: str, number: int, frames: int, coded: bytes, coding: Coding) -> str:
    head = {
        "lead": coding.lead_samples,
        "delay": coding.delay_samples,
        "frames": frames,
    }
    text = base64.b64encode(coded).decode()
    return f'partitaPiece("{name}",{number},{json.dumps(head)},"{text}");\n'


def measure(source: Source) -> tuple[npt.NDArray[np.float32], int, int]:
    """Return peaks over time, the length in samples, and the number of channels heard."""
    meter = PeakMeter(source.sample_rate)
    for block in source.blocks():
        meter.add(block)
    return meter.peaks(), meter.samples, meter.channels


class PeakMeter:
    """Measures the waveform of a signal, block by block; memory grows by 800 bytes a second.

    Parameters
    ----------
    sample_rate : int

    Attributes
    ----------
    samples : int
        Length so far.
    channels : int
        1 or 2: how many are heard.
    """

    def __init__(self, sample_rate: int) -> None:
        self._fine = max(1, round(sample_rate / 200))  # 5 ms
        self._found: list[Samples] = []
        self._rest: Samples = np.zeros(0, np.float32)  # less than `_fine` samples
        self.samples, self.channels = 0, 1

    def add(self, block: Samples) -> None:
        """Add a block ``[channels, samples]``."""
        self.samples, self.channels = self.samples + block.shape[1], min(2, len(block))
        loudest = np.concatenate([self._rest, np.abs(block).max(axis=0)])
        whole = len(loudest) // self._fine * self._fine
        self._rest = loudest[whole:]
        self._found.append(loudest[:whole].reshape(-1, self._fine).max(axis=1))

    def peaks(self) -> Samples:
        """Return the greatest absolute samples of `COLUMNS` or fewer equal spans of time."""
        rest = self._rest.max(keepdims=True) if len(self._rest) else self._rest
        peaks = np.concatenate([*self._found, rest])
        if len(peaks) > COLUMNS:
            edges = np.arange(COLUMNS) * len(peaks) // COLUMNS
            peaks = np.maximum.reduceat(peaks, edges)
        return peaks


def _read_record(folder: Path) -> PageSignal | None:
    """Return a signal that is complete."""
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="ascii"))
        sizes = record.pop("sizes")
        there = [(folder / f"{number}.js").stat().st_size for number in range(len(sizes))]
        return PageSignal(**record) if there == sizes else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{os.path.realpath(path)} {status.st_size} {status.st_mtime_ns}"


def _key(*parts: object) -> str:
    text = "\n".join(map(str, parts))
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
