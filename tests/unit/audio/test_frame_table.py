import av
import numpy as np
import pytest

from audio_files import RATE, encode, read, tones
from partita.audio.flac_frames import frame_position
from partita.audio.frame_table import FrameFinder, read_frame_table

KINDS = [
    *(
        ("mp3", "libmp3lame", rate, channels)
        for rate in (8000, 22050, 48000)
        for channels in (1, 2)
    ),
    *(("mp3", "mp2", rate, 2) for rate in (24000, 44100)),
    *(("aac", "aac", rate, channels) for rate in (11025, 44100) for channels in (1, 2)),
    *(("ac3", "ac3", rate, channels) for rate in (32000, 44100, 48000) for channels in (1, 2)),
]


@pytest.mark.parametrize(("kind", "codec", "rate", "channels"), KINDS)
def test_headers_tell_what_the_decoder_finds(tmp_path, kind, codec, rate, channels):
    path = tmp_path / "song"
    container = {"aac": "adts", "mp3": "mp2" if codec == "mp2" else "mp3"}.get(kind, kind)
    encode(path, tones(0, 3, rate, channels), codec, rate, container)
    table = read_frame_table(path, kind)
    with av.open(str(path)) as opened:
        offsets = [packet.pos for packet in opened.demux(audio=0) if packet.size]
    assert table.is_whole
    assert list(table.shapes) == [(rate, channels)]
    assert list(table.offsets) == offsets
    assert table.length_s == pytest.approx(3, abs=0.2)
    if codec == "libmp3lame":
        assert table.announced_s == pytest.approx(table.length_s)


def dts_frame(seed):
    """A DTS core frame of 512 samples at 48 kHz and 1,000 bytes, with an extension of 200."""
    head = 1 << 63 | 31 << 58 | 15 << 50 | 999 << 36 | 13 << 26
    noise = np.random.default_rng(seed).integers(0x20, 0x50, 2000, np.uint8).tobytes()
    core = b"\x7f\xfe\x80\x01" + head.to_bytes(8, "big") + noise
    extension = b"\x64\x58\x20\x25\0" + (1 << 53 | 11 << 41 | 199 << 21).to_bytes(7, "big") + noise
    return core[:1000] + extension[:200]


def mlp_unit(number, size=300):
    """An access unit of TrueHD at 96 kHz with one substream; every eighth has a whole header."""
    body = np.random.default_rng(number).integers(0x20, 0x50, size, np.uint8).tobytes()
    directory, timing = 0x0123, number * 80 % 65536
    head = (size // 2).to_bytes(2, "big") + timing.to_bytes(2, "big")
    parity = 0
    for byte in head + directory.to_bytes(2, "big"):
        parity ^= byte
    head = bytes([head[0] | ((parity >> 4 ^ parity) & 15 ^ 15) << 4]) + head[1:]
    if number % 8:
        return (head + directory.to_bytes(2, "big") + body)[:size]
    sync = b"\xf8\x72\x6f\xba\x10" + bytes(11) + b"\x10" + bytes(11)
    return (head + sync + directory.to_bytes(2, "big") + body)[:size]


def test_dts_and_truehd(tmp_path):
    for kind, make, each_s in (("dts", dts_frame, 512 / 48000), ("truehd", mlp_unit, 80 / 96000)):
        frames = [make(number) for number in range(64)]
        path = tmp_path / kind
        path.write_bytes(b"".join(frames))
        table = read_frame_table(path, kind)
        size = len(frames[0])
        assert table.is_whole
        assert list(table.offsets) == [number * size for number in range(64)]
        assert table.length_s == pytest.approx(64 * each_s)
        # What is damaged counts; TrueHD goes on at the next whole header.
        data = bytearray(path.read_bytes())
        data[20 * size + 5 : 23 * size + 50] = bytes(3 * size + 45)
        path.write_bytes(data)
        table = read_frame_table(path, kind)
        assert not table.is_whole
        assert table.length_s == pytest.approx(64 * each_s)
        assert table.time_s(40 * size) == pytest.approx(40 * each_s)


@pytest.mark.parametrize("layout", ["mono", "stereo", "3.0", "quad", "5.0", "5.1"])
def test_ac3_channels(tmp_path, layout):
    path = tmp_path / "song.ac3"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ac3", rate=48000, layout=layout)
        count = stream.channels
        for start in range(0, 48000, 1536):
            frame = av.AudioFrame.from_ndarray(
                np.full((count, 1536), 0.1, np.float32), format="fltp", layout=layout
            )
            frame.sample_rate, frame.pts = 48000, start
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert read_frame_table(path, "ac3").channels == count


def test_other_kinds_have_no_table(tmp_path):
    path = tmp_path / "noise"
    path.write_bytes(np.random.default_rng(0).bytes(100_000))
    assert read_frame_table(path, "wav") is None
    assert read_frame_table(path, "mp3") is None
    path.write_bytes(b"\xff" * 1_000_000)  # every byte looks like a beginning
    assert read_frame_table(path, "mp3") is None


def test_tags_between_frames_are_no_sound(tmp_path):
    path = encode(tmp_path / "song.mp3", tones(0, 2), "libmp3lame")
    data = path.read_bytes()
    tag = b"ID3\4\0\0\0\0\x7f\x7f" + bytes(127 * 128 + 127)
    path.write_bytes(data + tag + data + b"TAG" + bytes(125))
    table = read_frame_table(path, "mp3")
    assert table.is_whole
    samples, reader = read(path)
    assert samples.shape[1] == pytest.approx(4 * RATE, abs=3000)
    assert reader.warnings == []


def test_packets_are_found_where_they_are(tmp_path):
    path = encode(tmp_path / "song.mp3", tones(0, 2), "libmp3lame")
    table, data = read_frame_table(path, "mp3"), path.read_bytes()
    finder = FrameFinder(path, table)
    for shift, number in ((0, 3), (500, 20), (500, 21), (900, 40)):
        offset = table.offsets[number]
        assert finder.offset(offset - shift, data[offset : offset + 100]) == offset


def test_flac_frames_know_their_place(tmp_path):
    path = encode(tmp_path / "song.flac", tones(0, 3), "flac")
    with av.open(str(path)) as opened:
        stream = opened.streams.audio[0]
        block = int.from_bytes(stream.codec_context.extradata[:2], "big")
        packets = [packet for packet in opened.demux(stream) if packet.size]
    assert len(packets) > 20
    for packet in packets:
        assert frame_position(bytes(packet), block) == packet.pts
    broken = bytearray(bytes(packets[5]))
    broken[4] ^= 1
    assert frame_position(bytes(broken), block) is None
