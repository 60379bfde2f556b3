"""Length of an audio stream from the headers of its file, for FFmpeg's formats."""

from __future__ import annotations

import contextlib
from typing import Any

import av

from partita.audio.frame_table import FrameTable

#: Demuxers whose files state the exact length of the stream.
STATED = frozenset(
    ("mov,mp4,m4a,3gp,3g2,mj2", "flac", "tta", "ape", "wv", "aiff", "wav", "w64", "caf")
)
#: Padding that codecs put in front of the sound is shorter.
PADDING_S = 0.1


def stream_length_s(
    container: Any, stream: Any, table: FrameTable | None, late_s: float
) -> tuple[float | None, float | None]:
    """Return the length of a stream, and the length that the file promises.

    Parameters
    ----------
    container, stream
        PyAV's.
    table : FrameTable or None
        The file's frames, if they were counted.
    late_s : float
        By how much the stream begins later than the file.

    Returns
    -------
    (float or None, float or None)
        In seconds; None: unknown.
    """
    kind = container.format.name
    length_s: float | None = None
    announced_s: float | None = None
    if table is not None:
        length_s, announced_s = table.length_s, table.announced_s
        if announced_s is not None and abs(announced_s - length_s) < PADDING_S:
            length_s = seconds(stream, "duration") or length_s  # without padding
    elif (stream_s := seconds(stream, "duration")) is not None:
        # Windows Media states the length of the file, Ogg the end (except for Vorbis).
        is_end = kind == "asf" or (kind == "ogg" and stream.codec_context.name != "vorbis")
        length_s = stream_s + (0.0 if is_end else late_s)
        is_stated = kind in STATED or (kind == "ogg" and len(container.streams) > 1)
        announced_s = length_s if is_stated else None
    elif container.duration is not None:
        # Matroska's duration is the end of the file, wherever it begins.
        begins_s = 0.0 if videos(container) else seconds(stream, "start_time") or 0.0
        length_s = container.duration / av.time_base - max(0.0, begins_s)
        is_sound = kind in ("asf", "matroska,webm") and not videos(container)
        # Most programs write the end of a video's sound track in a tag.
        announced_s = length_s if is_sound else _clock_s(stream.metadata.get("DURATION"))
    return length_s, announced_s


def videos(container: Any) -> list[Any]:
    """Return the video streams, without covers."""
    cover = av.stream.Disposition.attached_pic
    return [s for s in container.streams.video if cover not in s.disposition]


def seconds(thing: Any, field: str) -> float | None:
    """Return a time field of a packet, frame or stream in seconds."""
    ticks = getattr(thing, field, None)
    if ticks is None or not (base := thing.time_base):
        return None
    # The same number as by fractions, in a tenth of their time.
    return float(ticks * base.numerator / base.denominator)


def _clock_s(text: str | None) -> float | None:
    """Return the seconds of "00:01:02.5"."""
    with contextlib.suppress(ValueError):
        hours, minutes, seconds = map(float, (text or "").split(":"))
        return 3600 * hours + 60 * minutes + seconds
    return None
