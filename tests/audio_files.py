"""Audio files for tests of reading: tones that tell where they belong, muxed by PyAV."""

from __future__ import annotations

import av
import numpy as np

from partita.audio.reader import open_audio

RATE = 44100
#: Second k of the signal is a tone of this many hertz.
TONES_HZ = (300, 500, 700, 900, 1100, 1300, 1500, 1700)


def tones(first=0, count=8, rate=RATE, channels=2):
    """Return ``[channels, samples]``: seconds `first` to `first + count` of the signal."""
    time = np.arange(rate) / rate
    seconds = [np.sin(2 * np.pi * TONES_HZ[k] * time) for k in range(first, first + count)]
    return np.tile(0.3 * np.concatenate(seconds), (channels, 1)).astype(np.float32)


def encode(path, samples, codec, rate=RATE, container=None, change=None, **stream_options):
    """Write a file of one stream; `change` gets every packet and returns it, or None to drop it."""
    layout = {1: "mono", 2: "stereo"}[len(samples)]
    options = {"cluster_time_limit": "500"}  # of Matroska: so much is lost with a byte
    with av.open(str(path), "w", format=container, options=options) as output:
        mux(output, *add_stream(output, samples, codec, rate, layout, **stream_options), change)
    return path


def add_stream(output, samples, codec, rate=RATE, layout="stereo", **options):
    """Add a stream to a container; returns the arguments of `mux`."""
    stream = output.add_stream(codec, rate=rate, layout=layout)
    stream.bit_rate = 128_000
    for name, value in options.items():
        setattr(stream, name, value)
    return stream, samples, rate, layout


def mux(output, stream, samples, rate, layout, change=None):
    """Encode samples into a container."""
    context = stream.codec_context
    convert = av.AudioResampler(context.format, layout, rate, context.frame_size or None)
    for start in range(0, samples.shape[1], 1024):
        block = np.ascontiguousarray(samples[:, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, start
        for converted in convert.resample(frame):
            _mux_packets(output, stream.encode(converted), change)
    for converted in convert.resample(None):
        _mux_packets(output, stream.encode(converted), change)
    _mux_packets(output, stream.encode(None), change)


def _mux_packets(output, packets, change):
    for packet in packets:
        kept = packet if change is None else change(packet)
        if kept is not None:
            output.mux(kept)


def read(path, **options):
    """Return all samples and the reader."""
    with open_audio(path, **options) as reader:
        return np.concatenate(list(reader.blocks()), axis=1), reader


def heard(samples, rate, at_s, length_s=0.2):
    """Return the loudest frequency around a time in hertz, 0 for silence."""
    middle, half = round(at_s * rate), round(length_s * rate / 2)
    part = samples[0, middle - half : middle + half]
    if np.sqrt(np.mean(part**2)) < 1e-3:
        return 0
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part))))
    return round(float(np.argmax(spectrum)) * rate / len(part))


def assert_seconds(samples, rate, expected, start_s=0.0):
    """Check that the middle of every second holds its tone, or silence where None is expected."""
    for second, tone in enumerate(expected):
        frequency = heard(samples, rate, start_s + second + 0.5)
        wanted = 0 if tone is None else TONES_HZ[tone]
        assert abs(frequency - wanted) <= 10, (second, frequency, wanted)
