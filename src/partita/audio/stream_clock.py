"""Times of decoded frames, from timestamps, the table of the file's frames, or frame numbers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import av

from partita.audio.flac_frames import HEADER_BYTES, frame_position
from partita.audio.frame_table import FrameFinder, FrameTable
from partita.audio.ogg_pages import begins_damaged
from partita.audio.stream_length import PADDING_S, seconds, videos

#: Demuxers that begin at zero: an earlier frame than their first one is lost.
_FROM_ZERO = frozenset(("flac", "tta", "wv", "ape"))
#: Resolution of timestamps that are less exact than their time base: Ogg counts pages, not packets.
_COARSE_S = {"ogg": 0.02}


class StreamClock:
    """Times of the frames of one audio stream, from where the file begins.

    Parameters
    ----------
    stream : av.AudioStream
    table : FrameTable or None
        The file's frames, if they were counted.
    finder : FrameFinder or None
        Finds the offsets of packets in a damaged file.
    open_file : callable
        Opens the file for reading bytes.

    Attributes
    ----------
    kind : str
        FFmpeg's name of the file's format.
    tick_s : float
        Resolution of the frames' timestamps.
    is_from_zero : bool
        Whether earlier sound than the first that decodes is lost.
    origin_s : float or None
        The timestamp that counts as zero; None before the first frame.
    """

    def __init__(
        self,
        stream: Any,
        table: FrameTable | None,
        finder: FrameFinder | None,
        open_file: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self.is_from_zero = False
        self.origin_s: float | None = None
        self._table, self._finder, self._open_file = table, finder, open_file
        self._cut_s = 0.0  # what decoders left out at the ends of frames
        self._full_samples = self._block_samples = 0
        self.stream = stream

    @property
    def stream(self) -> Any:
        """The audio stream; replaced when the file is opened again."""
        return self._stream

    @stream.setter
    def stream(self, stream: Any) -> None:
        # Read once: every frame asks for them. FFmpeg's frames have their stream's time base.
        self._stream, base = stream, stream.time_base
        self._base = (base.numerator, base.denominator) if base else None
        self._codec = str(stream.codec_context.name)
        self.kind = str(stream.container.format.name)
        self.tick_s = 0.0
        if self._table is None:
            self.tick_s = max(float(base or 0), _COARSE_S.get(self.kind, 0.0))

    def _own_s(self, frame: Any) -> float | None:
        """Return a frame's own timestamp, as `seconds` does."""
        ticks = frame.pts
        if ticks is None or self._base is None:
            return None
        return float(ticks * self._base[0] / self._base[1])

    @property
    def stated_end_s(self) -> float | None:
        """Where the file ends, by its header."""
        duration = self.stream.container.duration
        return None if duration is None else duration / av.time_base

    def restart(self) -> None:
        """Forget the frames so far: decoding goes on elsewhere."""
        self._cut_s = 0.0

    def time_s(self, frame: Any, packet: Any, failed_s: float | None) -> float | None:
        """Return when a frame begins; None: unknown.

        Parameters
        ----------
        frame, packet
            PyAV's.
        failed_s : float or None
            Timestamp of the first packet that did not decode.
        """
        stamp_s = self._stamp_s(frame, packet)
        if stamp_s is None:
            return None
        if self.origin_s is None:
            self.origin_s = self._find_origin(stamp_s, failed_s)
        return stamp_s - self.origin_s

    def _stamp_s(self, frame: Any, packet: Any) -> float | None:
        """Return when a frame begins, by the file's own timestamps."""
        own_s = self._own_s(frame)
        is_flac = self._codec == "flac" and self.is_from_zero
        if (is_flac or self.kind == "flac") and packet.size:
            return self._flac_stamp_s(frame, packet)
        if self._table is None:
            return own_s
        if packet.pos is None:
            return None
        # If a decoder skips padding, the frame begins later than its packet, or ends earlier.
        packet_s = seconds(packet, "pts")
        inside_s = 0.0 if own_s is None or packet_s is None else own_s - packet_s
        offset = (
            packet.pos if self._finder is None else self._finder.offset(packet.pos, bytes(packet))
        )
        stamp_s = self._table.time_s(offset) + inside_s - self._cut_s
        if frame.samples < self._full_samples or inside_s:
            full_s = self._table.frame_length_s(bytes(packet))
            self._cut_s += max(0.0, full_s - inside_s - frame.samples / frame.sample_rate)
        else:
            self._full_samples = frame.samples
        return stamp_s

    def _flac_stamp_s(self, frame: Any, packet: Any) -> float | None:
        # The length of two successive frames is more reliable than a header that may be damaged.
        if frame.samples == self._full_samples:
            self._block_samples = frame.samples
        self._full_samples = frame.samples
        stated = int.from_bytes((self.stream.codec_context.extradata or b"")[:2], "big")
        position = frame_position(bytes(packet)[:HEADER_BYTES], self._block_samples or stated)
        return self._own_s(frame) if position is None else position / frame.sample_rate

    def _find_origin(self, stamp_s: float, failed_s: float | None) -> float:
        """Return the time that counts as zero, from the first frame that decodes."""
        origin_s = stamp_s
        start_s = seconds(self.stream, "start_time")
        if self._table is not None:
            return 0.0 if self.kind == "avi" else origin_s
        if self.is_from_zero:
            return 0.0
        if self.kind in _FROM_ZERO and stamp_s <= (self.stated_end_s or 0.0):
            return 0.0
        is_alone = len(self.stream.container.streams) == 1
        if self.kind == "ogg" and stamp_s > PADDING_S and is_alone:
            with self._open_file() as file:
                return 0.0 if begins_damaged(file) else origin_s
        if failed_s is not None:
            origin_s = min(origin_s, failed_s if start_s is None else max(failed_s, start_s))
        # Stems are aligned with the video. Of other streams only much earlier starts count, because
        # start times include padding.
        for stream in videos(self.stream.container):
            video_s = seconds(stream, "start_time")
            origin_s = origin_s if video_s is None else min(origin_s, video_s)
        for stream in self.stream.container.streams.audio:
            other_s = seconds(stream, "start_time")
            if other_s is not None and other_s < origin_s - PADDING_S:
                origin_s = other_s
        return origin_s

    def late_s(self) -> float:
        """Return by how much the stream begins later than the file."""
        start_s = seconds(self.stream, "start_time")
        if start_s is None or len(self.stream.container.streams) == 1:
            return 0.0
        return max(0.0, start_s - self._find_origin(start_s, None))
