"""Encoders: from blocks of float32 samples to a file."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile

from partita.audio.channels import interleaved
from partita.audio.conversion import convert_blocks
from partita.audio.formats import STEM_MP4, StemFormat
from partita.audio.gapless import correct_mp3_padding, with_aac_padding
from partita.audio.tag_writer import write_tags
from partita.audio.tags import Tags
from partita.errors import AudioWriteError

Samples = npt.NDArray[np.float32]

_CODECS = {"flac": "flac", "mp3": "libmp3lame", "opus": "libopus", "m4a": "aac", STEM_MP4: "aac"}
_CONTAINERS = {"m4a": "mp4", STEM_MP4: "mp4"}
#: FFmpeg's channel layouts of one to eight channels.
LAYOUTS = ["mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1"]
#: Order of our channels (FFmpeg's) in a Vorbis stream.
_VORBIS_ORDER = {
    3: [0, 2, 1],
    5: [0, 2, 1, 3, 4],
    6: [0, 2, 1, 4, 5, 3],
    7: [0, 2, 1, 5, 6, 4, 3],
    8: [0, 2, 1, 6, 7, 4, 5, 3],
}
_SYSTEM_ERROR = 2  # libsndfile's code of errors of the system
_FIRST_FFMPEG_ERROR = 1000  # below are the system's
_WAV_LIMIT_BYTES = 4_000_000_000  # RIFF ends at 4 GiB; larger files are RF64


def to_pcm(samples: Samples, bits: int) -> npt.NDArray[np.integer[Any]]:
    """Round float samples to integers; full scale is ``2**(bits - 1)``, as in readers.

    Parameters
    ----------
    samples : ndarray
        Float samples; what exceeds full scale is clipped.
    bits : {16, 24}
        24-bit values are the upper three bytes of an int32.
    """
    scale = float(1 << (bits - 1))
    rounded = np.rint(samples * np.float32(scale))
    # float32 represents every 24-bit integer, so both limits are exact.
    np.clip(rounded, -scale, scale - 1, out=rounded)
    pcm: npt.NDArray[np.integer[Any]] = rounded.astype(np.int16 if bits == 16 else np.int32)
    return pcm if bits == 16 else pcm << 8


def encode_file(
    path: Path,
    blocks: Iterable[Samples],
    form: StemFormat,
    *,
    sample_rate: int,
    channels: int,
    frames: int,
    tags: Tags,
) -> None:
    """Write one stem.

    Parameters
    ----------
    path : Path
        Written in place: the caller renames it when it is complete.
    blocks : iterable of ndarray ``[channels, samples]``
    form : StemFormat
    sample_rate, channels, frames : int
        Of the whole signal.
    tags : Tags
        By the names of `partita.audio.tag_names`.

    Raises
    ------
    AudioWriteError
        The format cannot hold so many channels, or the codec failed.
    """
    if form.name in ("wav", "ogg"):
        _encode_soundfile(path, blocks, form, sample_rate, channels, frames)
    else:
        with contextlib.closing(AvWriter(path, form, sample_rate, [channels])) as writer:
            for block in writer.convert(blocks, sample_rate, channels):
                writer.write(0, block)
            writer.flush()
        tags = writer.with_padding(tags)
    write_tags(path, form, tags)


def _encode_soundfile(
    path: Path,
    blocks: Iterable[Samples],
    form: StemFormat,
    sample_rate: int,
    channels: int,
    frames: int,
) -> None:
    try:
        with _open_for_writing(path, form, sample_rate, channels, frames) as file:
            for block in blocks:
                _write_soundfile(file, block, form)
        is_complete = soundfile.info(os.fsencode(path)).frames == frames
    except soundfile.LibsndfileError as error:
        if error.code != _SYSTEM_ERROR:
            raise AudioWriteError(f"{form.name} encoder failed: {error}") from error
        is_complete = False
    if not is_complete:  # libsndfile does not always report failed writes
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "its folder was removed meanwhile", str(path))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _open_for_writing(
    path: Path, form: StemFormat, sample_rate: int, channels: int, frames: int
) -> Any:
    if form.name == "wav":
        subtype, width = {"16": ("PCM_16", 2), "24": ("PCM_24", 3), "float": ("FLOAT", 4)}[
            form.bits
        ]
        container = "RF64" if frames * channels * width > _WAV_LIMIT_BYTES else "WAV"
        options: dict[str, Any] = {"format": container, "subtype": subtype}
    else:
        quality = _vorbis_compression(form.bitrate, channels)
        options = {"format": "OGG", "subtype": "VORBIS", "compression_level": quality}
    return soundfile.SoundFile(os.fsencode(path), "w", sample_rate, channels, **options)


def _write_soundfile(file: Any, block: Samples, form: StemFormat) -> None:
    if form.name == "ogg":
        ordered = block[_VORBIS_ORDER.get(len(block), list(range(len(block))))]
        # libvorbis has blocks on its stack, which long ones overflow.
        for start in range(0, ordered.shape[1], 4096):
            file.write(np.clip(ordered[:, start : start + 4096].T, -1.0, 1.0))
    elif form.bits == "float":
        file.write(block.T)
    else:
        file.write(to_pcm(block.T, int(form.bits)))


def _vorbis_compression(bitrate: int, channels: int) -> float:
    """Return libsndfile's setting (1 - quality) for a nominal bit rate at 44.1 kHz."""
    stereo_kbps = [45, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 500]  # q = -1 … 10
    per_pair = bitrate / 1000 * 2 / channels
    quality = float(np.interp(per_pair, stereo_kbps, np.arange(-1, 11))) / 10
    return min(1.0, max(0.0, 1.0 - quality))


class _OutputFile:
    """The file that PyAV writes to, which keeps the first error of the system for later.

    FFmpeg calls `write` and `seek` again after an error; PyAV then prints the second exception and
    loses what the first one was.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b")
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        self._try(lambda: self._file.write(data))
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._try(lambda: self._file.seek(offset, whence))

    def tell(self) -> int:
        return self._try(self._file.tell)

    def close(self) -> None:
        with contextlib.suppress(OSError) if self._error else contextlib.nullcontext():
            self._file.close()

    def check(self) -> None:
        """Raise the first error, if there was any."""
        if self._error is not None:
            raise self._error

    def _try(self, call: Callable[[], int]) -> int:
        try:
            return 0 if self._error else call()
        except OSError as error:
            self._error = error
            return 0


class AvWriter:
    """Writes one or several audio streams with FFmpeg's libraries."""

    def __init__(
        self,
        path: Path,
        form: StemFormat,
        sample_rate: int,
        stream_channels: Sequence[int],
        stream_titles: Sequence[str] = (),
    ) -> None:
        self._form = form
        codec = av.Codec(_codec_name(form), "w")
        self.rate = _nearest_rate(codec, sample_rate)
        container = _CONTAINERS.get(form.name, form.name)
        self._path, self._file = path, _OutputFile(path)  # PyAV accepts names in UTF-8 only
        # Without the encoder's own tag, which would precede ours.
        options = {"id3v2_version": "0"} if form.name == "mp3" else {}
        if container == "mp4":  # for lengths to the sample, not to the millisecond
            options["movie_timescale"] = str(self.rate)
        self._container: Any = av.open(self._file, "w", format=container, options=options)
        self._streams: list[Any] = []
        self._positions = [0] * len(stream_channels)
        for index, channels in enumerate(stream_channels):
            stream: Any = self._container.add_stream(
                codec.name,
                rate=self.rate,
                layout=LAYOUTS[channels - 1],
                # Surround in the channel order of Opus, with low-frequency effects coded as such.
                options={"mapping_family": "1"} if form.name == "opus" and channels > 2 else {},
            )
            if form.is_lossless:
                planar = "p" if codec.name == "alac" else ""
                stream.codec_context.format = ("s16" if form.bits == "16" else "s32") + planar
            if form.bitrate:
                stream.bit_rate = form.bitrate
            if stream_titles:
                stream.metadata["title"] = stream_titles[index]
            self._streams.append(stream)

    def convert(
        self, blocks: Iterable[Samples], sample_rate: int, channels: int
    ) -> Iterator[Samples]:
        """Convert a signal to a channel count and to a sample rate of the codec."""
        return convert_blocks(blocks, sample_rate, self.rate, channels)

    def write(self, index: int, block: Samples) -> None:
        """Encode ``[channels, samples]`` into stream `index`."""
        stream = self._streams[index]
        if self._form.is_lossless:
            data: npt.NDArray[Any] = to_pcm(block, int(self._form.bits))
            name = "s16" if self._form.bits == "16" else "s32"
        else:
            data, name = block, "flt"
        packed = interleaved(data).reshape(1, -1)  # [1, samples * channels]
        layout = stream.codec_context.layout.name
        frame = av.AudioFrame.from_ndarray(packed, format=name, layout=layout)
        frame.sample_rate, frame.time_base = self.rate, Fraction(1, self.rate)
        frame.pts = self._positions[index]
        self._positions[index] += block.shape[1]
        self._mux(stream, frame)

    def _mux(self, stream: Any, frame: av.AudioFrame | None) -> None:
        try:
            self._container.mux(stream.encode(frame))
        except (av.FFmpegError, ValueError) as error:
            self._file.check()
            raise self._write_problem(error) from error
        self._file.check()

    def flush(self) -> None:
        """Flush the encoders."""
        for stream in self._streams:
            self._mux(stream, None)

    def close(self) -> None:
        """Finish the container."""
        with contextlib.closing(self._file):
            try:
                self._container.close()
            except av.FFmpegError as error:
                self._file.check()
                raise self._write_problem(error) from error
        self._file.check()

    def with_padding(self, tags: Tags) -> Tags:
        """Let the closed file state its codec's padding; return the tags with what they state."""
        frames = self._positions[0]
        if self._form.name == "mp3":
            correct_mp3_padding(self._path, frames)
        is_aac = self._form.name in _CONTAINERS and not self._form.is_lossless
        return with_aac_padding(tags, frames) if is_aac else tags

    def _write_problem(self, error: Exception) -> Exception:
        """Distinguish errors of the system, such as a full disk, from errors of the codec."""
        if isinstance(error, OSError) and error.errno and error.errno < _FIRST_FFMPEG_ERROR:
            return OSError(error.errno, error.strerror)
        return AudioWriteError(f"{self._form.name} encoder failed: {error}")


def file_rate(form: StemFormat, sample_rate: int) -> int:
    """Return the sample rate of the file that `encode_file` writes."""
    if form.name not in _CODECS:
        return sample_rate
    return _nearest_rate(av.Codec(_codec_name(form), "w"), sample_rate)


def _codec_name(form: StemFormat) -> str:
    return "alac" if form.holds_all_stems and form.is_lossless else _CODECS[form.name]


def _nearest_rate(codec: Any, sample_rate: int) -> int:
    """Return the lowest rate of the codec that is not below the signal's, or its highest."""
    rates = codec.audio_rates
    if not rates or sample_rate in rates:
        return sample_rate
    return int(min((rate for rate in rates if rate >= sample_rate), default=max(rates)))
