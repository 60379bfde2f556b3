"""Encoders: blocks of float32 samples become one file."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile

from partita.audio.formats import StemFormat
from partita.audio.resample import resample_blocks
from partita.audio.tags import Cover, Tags
from partita.errors import AudioWriteError

Samples = npt.NDArray[np.float32]

_CODECS = {"flac": "flac", "mp3": "libmp3lame", "opus": "libopus", "m4a": "aac", "stem.mp4": "aac"}
_CONTAINERS = {"m4a": "mp4", "stem.mp4": "mp4"}
_LAYOUTS = ["mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1"]
_WAV_LIMIT_BYTES = 4_000_000_000  # a RIFF header counts to 4 GiB; RF64 goes on
_SNDFILE_TAGS = {  # libsndfile's names for FFmpeg's
    "title": "title",
    "artist": "artist",
    "album": "album",
    "date": "date",
    "genre": "genre",
    "track": "tracknumber",
    "copyright": "copyright",
    "comment": "comment",
}


def to_pcm(samples: Samples, bits: int) -> npt.NDArray[np.integer[Any]]:
    """Round float samples to integers; full scale is ``2**(bits - 1)``, as readers take it.

    Parameters
    ----------
    samples : ndarray
        Float samples; what exceeds full scale is clipped.
    bits : {16, 24}
        24-bit values stand in the upper three bytes of an int32.
    """
    scale = float(1 << (bits - 1))
    rounded = np.rint(samples * np.float32(scale))
    # float32 holds every 24-bit integer, so both limits are exact.
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
        wav keeps the common text tags; ogg these and the cover; the others everything.

    Raises
    ------
    AudioWriteError
        The format cannot hold that many channels, or a codec refused.
    """
    if form.name in ("wav", "ogg"):
        _encode_soundfile(path, blocks, form, sample_rate, channels, frames, tags)
        return
    with contextlib.closing(AvWriter(path, form, sample_rate, [channels], tags)) as writer:
        for block in writer.convert(blocks, sample_rate, channels):
            writer.write(0, block)
        writer.flush()


def _encode_soundfile(
    path: Path,
    blocks: Iterable[Samples],
    form: StemFormat,
    sample_rate: int,
    channels: int,
    frames: int,
    tags: Tags,
) -> None:
    options: dict[str, Any] = {"format": "OGG", "subtype": "VORBIS"}
    if form.name == "wav":
        subtype = {"16": "PCM_16", "24": "PCM_24", "float": "FLOAT"}[form.bits]
        width = {"16": 2, "24": 3, "float": 4}[form.bits]
        is_large = frames * channels * width > _WAV_LIMIT_BYTES
        options = {"format": "RF64" if is_large else "WAV", "subtype": subtype}
    else:
        options["compression_level"] = _vorbis_compression(form.bitrate, channels)
    try:
        file = soundfile.SoundFile(path, "w", sample_rate, channels, **options)
    except soundfile.SoundFileError as error:
        reason = f"{form.name} cannot hold {channels} channels at {sample_rate} Hz"
        raise AudioWriteError(f"{reason}: choose another --format") from error
    with file:
        for name, attribute in _SNDFILE_TAGS.items():
            if name in tags.text:
                setattr(file, attribute, tags.text[name])
        for block in blocks:
            if form.name == "ogg":
                # libvorbis keeps a block on its stack: long ones overflow it.
                for start in range(0, block.shape[1], 4096):
                    file.write(np.clip(block[:, start : start + 4096].T, -1.0, 1.0))
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


class AvWriter:
    """FFmpeg's libraries, writing one or several audio streams and a cover."""

    def __init__(
        self,
        path: Path,
        form: StemFormat,
        sample_rate: int,
        stream_channels: Sequence[int],
        tags: Tags,
        stream_titles: Sequence[str] = (),
    ) -> None:
        self._form = form
        codec = av.Codec(_CODECS[form.name], "w")
        self.rate = _nearest_rate(codec, sample_rate)
        self._container = av.open(str(path), "w", format=_CONTAINERS.get(form.name, form.name))
        self._streams: list[Any] = []
        self._positions = [0] * len(stream_channels)
        for index, channels in enumerate(stream_channels):
            if form.name == "mp3" and channels > 2:
                self._container.close()
                raise AudioWriteError("mp3 holds two channels at most: choose another --format")
            stream: Any = self._container.add_stream(
                codec.name, rate=self.rate, layout=_LAYOUTS[channels - 1]
            )
            stream.codec_context.format = self._sample_format(codec)
            if form.bitrate:
                stream.bit_rate = form.bitrate
            if stream_titles:
                stream.metadata["title"] = stream_titles[index]
            self._streams.append(stream)
        self._write_tags(tags)

    def _sample_format(self, codec: Any) -> str:
        if self._form.name == "flac":
            return "s16" if self._form.bits == "16" else "s32"
        names = [form.name for form in codec.audio_formats]
        return "fltp" if "fltp" in names else "flt"

    def _write_tags(self, tags: Tags) -> None:
        # Ogg keeps its comments with the stream, the other containers for the whole file.
        is_ogg = self._form.name == "opus"
        metadata = self._streams[0].metadata if is_ogg else self._container.metadata
        metadata.update(tags.text)
        self._cover: tuple[Any, Cover] | None = None
        if tags.cover is None:
            return
        if is_ogg:
            metadata["METADATA_BLOCK_PICTURE"] = tags.cover.as_flac_picture()
            return
        with av.open(io.BytesIO(tags.cover.data)) as image:
            picture = self._container.add_stream_from_template(image.streams.video[0])
        picture.disposition = av.stream.Disposition.attached_pic
        self._cover = (picture, tags.cover)

    def convert(
        self, blocks: Iterable[Samples], sample_rate: int, channels: int
    ) -> Iterator[Samples]:
        """Bring a signal to the rate that the codec takes."""
        return resample_blocks(blocks, channels, sample_rate, self.rate)

    def write(self, index: int, block: Samples) -> None:
        """Encode ``[channels, samples]`` into stream `index`."""
        stream = self._streams[index]
        name = stream.codec_context.format.name
        data: npt.NDArray[Any] = block
        if self._form.name == "flac":
            data = to_pcm(block, int(self._form.bits))
        if not name.endswith("p"):  # packed: [channels, samples] -> [1, samples * channels]
            data = data.T.reshape(1, -1)
        layout = stream.codec_context.layout.name
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(data), format=name, layout=layout)
        frame.sample_rate, frame.time_base = self.rate, Fraction(1, self.rate)
        frame.pts = self._positions[index]
        self._positions[index] += block.shape[1]
        self._mux(stream, frame)

    def _mux(self, stream: Any, frame: av.AudioFrame | None) -> None:
        try:
            packets = stream.encode(frame)
            if self._cover is not None:  # after the first encode: the header is out by then
                picture, cover = self._cover
                self._cover = None
                packet = av.Packet(cover.data)
                packet.stream, packet.pts, packet.dts = picture, 0, 0
                self._container.mux(packet)
            self._container.mux(packets)
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, OSError) and error.errno and error.errno < 1000:
                raise OSError(error.errno, error.strerror) from error
            raise AudioWriteError(f"{self._form.name} encoder failed: {error}") from error

    def flush(self) -> None:
        """Write what the encoders still hold."""
        for stream in self._streams:
            self._mux(stream, None)

    def close(self) -> None:
        """Finish the container."""
        try:
            self._container.close()
        except av.FFmpegError as error:
            if error.errno and error.errno < 1000:
                raise OSError(error.errno, error.strerror) from error
            raise AudioWriteError(
                f"{self._form.name} file could not be finished: {error}"
            ) from error


def _nearest_rate(codec: Any, sample_rate: int) -> int:
    """Return the codec's lowest rate that loses nothing, or its highest."""
    rates = codec.audio_rates
    if not rates or sample_rate in rates:
        return sample_rate
    return int(min((rate for rate in rates if rate >= sample_rate), default=max(rates)))
