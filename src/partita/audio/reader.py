"""Opening audio: any file becomes blocks of float32 samples."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import IO

from partita.audio.audio_reader import (
    BLOCK_SAMPLES,
    MAX_CHANNELS,
    AudioReader,
    rechunk,
)
from partita.audio.cut_short import missing_end
from partita.audio.extensions import AUDIO_EXTENSIONS
from partita.audio.ffmpeg import FFmpegReader
from partita.audio.formats import CHUNKS, CHUNKS_64, is_stem_mp4
from partita.audio.joined import JoinedReader, find_parts
from partita.audio.libsndfile import SoundFileReader, open_soundfile
from partita.audio.slices import FileSlice
from partita.audio.spool import (
    STANDARD_INPUT,
    is_readable_once,
    spool_path,
    spool_standard_input,
)
from partita.audio.unread import unread_bytes
from partita.errors import AudioReadError, one_line

__all__ = [
    "AUDIO_EXTENSIONS",
    "BLOCK_SAMPLES",
    "MAX_CHANNELS",
    "AudioReader",
    "open_audio",
    "rechunk",
]

#: First bytes of files that libsndfile reads. FFmpeg's libraries read the rest: mp3, of which
#: libsndfile prints errors to standard error and seeks inaccurately, and other lossy codecs.
_PLAIN = (
    *(*CHUNKS, b"riff", b"fLaC", b"caff", b".snd", b"dns."),
    *(b"NIST_1A", b"Creative Voice File", b"PVF1", b" paf", b"fap ", b"2BIT", b"MATLAB"),
    *(b"ALawSoundFile", b"Extended Instrument", b"\x64\xa3"),
)


def open_audio(
    path: str | Path,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    stream: int | None = None,
    cancel: threading.Event | None = None,
) -> AudioReader:
    """Open a file for streaming.

    Parameters
    ----------
    path : str or Path
        Any audio file, or a video with sound; ``"-"`` is standard input. Pipes and other things
        that can be read only once are copied to a temporary file.
    start_s, duration_s : float
        The excerpt in seconds; None reads to the end.
    stream : int, optional
        Number of the audio stream, from 0; by default the one that the file marks as default, or
        FFmpeg's choice. In ``.stem.mp4`` files the mixture is stream 0, the default, and the stems
        are streams 1 and up.
    cancel : Event, optional
        Once it is set, waiting for a pipe ends with InterruptedError.

    Returns
    -------
    AudioReader
        Use it as a context manager.

    Raises
    ------
    AudioReadError
        The file is missing, empty, no audio, lacks the stream, or has more than 8 channels or a
        sample rate outside 1 to 768 kHz.
    """
    if str(path) == "-":
        spool = spool_standard_input(cancel)
        return _open_spool(spool, STANDARD_INPUT, stream, start_s, duration_s)
    if path == "":  # Path("") is the current folder
        raise AudioReadError("the name of the file is empty")
    path = Path(path)
    name = one_line(path)
    _check_file(path, name)
    if is_readable_once(path):
        return _open_spool(spool_path(path, name, cancel), name, stream, start_s, duration_s)
    if stream is None and is_stem_mp4(path):
        stream = 0
    return _open(path, name, stream, start_s, duration_s)


def _check_file(path: Path, name: str) -> None:
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise AudioReadError(f"{name}: is a folder, not an audio file")
        if not path.is_file():
            return
        if not size:
            raise AudioReadError(f"{name}: the file is empty (0 bytes)")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise AudioReadError(f"{name}: no such file") from None
    except PermissionError:
        raise AudioReadError(f"{name}: permission denied") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioReadError(f"{name}: cannot be opened: {one_line(reason)}") from None


def _open_spool(
    spool: IO[bytes], name: str, stream: int | None, start_s: float, duration_s: float | None
) -> AudioReader:
    """Open a temporary file, which is removed with the reader."""
    try:
        reader = _open(Path(spool.name), name, stream, start_s, duration_s)
    except BaseException:
        spool.close()
        raise
    reader.spool = spool
    return reader


def _open(
    path: Path, name: str, stream: int | None, start_s: float, duration_s: float | None
) -> AudioReader:
    reader = _choose_reader(path, name, stream, start_s, duration_s)
    reader.missing_end = missing_end(path)
    reader.frames_stated &= reader.missing_end is None
    reader.unread = unread_bytes(path, reader.last_part_at)
    return reader


def _choose_reader(
    path: Path, name: str, stream: int | None, start_s: float, duration_s: float | None
) -> AudioReader:
    head = _head(path)
    excerpt = (start_s, duration_s)
    if not stream:
        parts = find_parts(path, head)
        if len(parts) > 1:
            return JoinedReader(path, name, parts, stream, *excerpt)
        is_plain = head.startswith(_PLAIN)
        file = open_soundfile(os.fsencode(path), name) if is_plain else None
        if file is not None:
            return SoundFileReader(path, name, file, *excerpt)
        patches = _unknown_size(head)
        if patches:
            source = FileSlice(path, patches=patches)
            return FFmpegReader(path, name, stream, *excerpt, source=source)
    return FFmpegReader(path, name, stream, *excerpt)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


def _unknown_size(head: bytes) -> dict[int, bytes]:
    """Return replacements of sizes that were never filled in: up to the end of the file."""
    if head.startswith(CHUNKS_64):
        return {0: b"RIFF"}  # without the 64-bit sizes
    if head.startswith(b".snd"):
        return {8: b"\xff\xff\xff\xff"}
    return {}
