"""What a file declares is bounded before anything is allocated."""

import struct
import subprocess
import sys
import time
import zlib

import av
import numpy as np
import pytest
import soundfile

from audio_files import RATE, add_stream, encode, mux, read, tones
from partita.audio.pictures import picture_size
from partita.audio.reader import open_audio
from partita.audio.tags import read_tags
from partita.errors import AudioReadError

MANY = 100_000


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
@pytest.mark.parametrize("rate", [1, 999, 768_001, 0xFFFFF])
def test_sample_rates(tmp_path, kind, rate):
    path = tmp_path / "song"
    soundfile.write(path, tones(0, 1).T, RATE, format=kind)
    data = bytearray(path.read_bytes())
    if kind == "WAV":
        data[24:28] = struct.pack("<I", rate)
    else:
        data[18:21] = struct.pack(">I", rate << 12 | data[20] & 15)[:3]
    path.write_bytes(data)
    with pytest.raises(AudioReadError, match=rf"states a sample rate of {rate} Hz; 1 to 768 kHz"):
        open_audio(path)


@pytest.mark.parametrize("rate", [1_000, 8_000, 192_000, 768_000])
def test_sample_rates_that_are_read(tmp_path, rate):
    path = tmp_path / "song.wav"
    soundfile.write(path, tones(0, 1, RATE).T, rate)
    samples, reader = read(path)
    assert reader.sample_rate == rate
    assert samples.shape == (2, RATE)


@pytest.mark.slow
def test_many_streams(tmp_path):
    path = tmp_path / "many.mkv"
    with av.open(str(path), "w") as output:
        for stream in [add_stream(output, tones(0, 1)[:, :2048], "flac") for _ in range(201)]:
            mux(output, *stream)
    with pytest.raises(AudioReadError, match="has more than 200 streams"):
        open_audio(path)


def syncsafe(size):
    return bytes(size >> shift & 127 for shift in (21, 14, 7, 0))


def id3(frames):
    return b"ID3\4\0\0" + syncsafe(len(frames)) + frames


def id3_frame(name, body):
    return name + syncsafe(len(body)) + b"\0\0" + body


def vorbis_comments(count):
    fields = (b"k%06d=v" % k for k in range(count))
    listed = b"".join(struct.pack("<I", len(field)) + field for field in fields)
    return struct.pack("<I", 1) + b"v" + struct.pack("<I", count) + listed


def tagged_mp3(tmp_path, count):
    path = encode(tmp_path / "song.mp3", tones(0, 2), "libmp3lame")
    frames = b"".join(id3_frame(b"TXXX", b"\0k%06d\0v" % k) for k in range(count))
    path.write_bytes(id3(frames) + path.read_bytes())
    return path


def tagged_flac(tmp_path, count):
    path = tmp_path / "song.flac"
    soundfile.write(path, tones(0, 2).T, RATE)
    data, comments = path.read_bytes(), vorbis_comments(count)
    block = b"\x04" + struct.pack(">I", len(comments))[1:] + comments
    path.write_bytes(data[:4] + bytes([data[4] & 127]) + data[5:42] + block + data[42:])
    return path


def tagged_wav(tmp_path, count):
    path = tmp_path / "song.wav"
    soundfile.write(path, tones(0, 2).T, RATE)
    letters = [bytes(range(65, 91))[k : k + 1] for k in range(26)]
    names = (
        letters[k % 26] + letters[k // 26 % 26] + b"%02d" % (k // 676 % 100) for k in range(count)
    )
    items = b"INFO" + b"".join(name + struct.pack("<I", 2) + b"v\0" for name in names)
    data = path.read_bytes()
    chunk = b"LIST" + struct.pack("<I", len(items)) + items
    path.write_bytes(data[:36] + chunk + data[36:])
    return path


def tagged_m4a(tmp_path, count):
    path = encode(tmp_path / "song.m4a", tones(0, 2), "aac", container="mp4")
    data = path.read_bytes()
    keys = b"".join(
        box(b"----", box(b"mean", bytes(4) + b"m") + box(b"name", bytes(4) + b"k%06d" % k)
            + box(b"data", bytes(3) + b"\1" + bytes(4) + b"v"))
        for k in range(count)
    )  # fmt: skip
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    meta = box(b"udta", box(b"meta", bytes(4) + handler + box(b"ilst", keys)))
    moov = data.find(b"moov") - 4
    size = int.from_bytes(data[moov : moov + 4], "big")
    assert moov + size == len(data)  # else offsets of the sound would move
    path.write_bytes(data[:moov] + box(b"moov", data[moov + 8 :] + meta))
    return path


def box(kind, content):
    return struct.pack(">I", 8 + len(content)) + kind + content


def tagged_ape(tmp_path, count):
    path = encode(tmp_path / "song.wv", tones(0, 2), "wavpack")
    items = b"".join(struct.pack("<II", 1, 0) + b"k%06d\0v" % k for k in range(count))
    footer = b"APETAGEX" + struct.pack("<IIII", 2000, len(items) + 32, count, 0) + bytes(8)
    path.write_bytes(path.read_bytes() + items + footer)
    return path


@pytest.mark.parametrize("count", [100, MANY, 60_000])
@pytest.mark.parametrize("write", [tagged_mp3, tagged_flac, tagged_wav, tagged_m4a, tagged_ape])
def test_many_tags(tmp_path, write, count):
    path = write(tmp_path, count)
    begun = time.monotonic()
    samples, reader = read(path)
    tags = reader.tags
    assert time.monotonic() - begun < 10
    assert samples.shape[1] == pytest.approx(2 * RATE, abs=4000)
    if count > 2_000:
        assert len(tags.text) < 2_000
        assert "its tags were left out: more than 2,000" in reader.warnings[-1]
    else:
        assert reader.warnings == []
        assert len(tags.text) >= 90 or write is tagged_wav


def test_many_comments_in_an_ogg(tmp_path):
    path = tmp_path / "song.ogg"
    # Opus headers are small and pages plain, so that they can be written by hand.
    encode(path, tones(0, 2, 48000), "libopus", 48000, "ogg")
    data = path.read_bytes()
    first_end = data.find(b"OggS", 4)
    audio = data.find(b"OggS", first_end + 4)
    packet = b"OpusTags" + vorbis_comments(MANY)
    pages, number = [], 1
    for start in range(0, len(packet), 255 * 255):
        part = packet[start : start + 255 * 255]
        is_last = start + 255 * 255 >= len(packet)
        lacing = [255] * (len(part) // 255) + ([len(part) % 255] if is_last else [])
        pages.append(page(data[14:18], number, bytes(lacing), part, is_continued=start > 0))
        number += 1
    path.write_bytes(data[:first_end] + b"".join(pages) + data[audio:])
    begun = time.monotonic()
    samples, reader = read(path)
    assert reader.tags.text == {}
    assert time.monotonic() - begun < 10
    assert samples.shape[1] == pytest.approx(2 * 48000, abs=1000)
    assert any("its tags were left out" in warning for warning in reader.warnings)


def page(serial, number, lacing, body, is_continued):
    from partita.audio.ogg_pages import page_checksum

    head = b"OggS\0" + bytes([is_continued]) + bytes(8) + serial + struct.pack("<I", number)
    tail = bytes([len(lacing)]) + lacing + body
    return head + struct.pack("<I", page_checksum(head + bytes(4) + tail)) + tail


def png(width, height):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = zlib.compress(bytes(height * (width * 3 + 1)) if width * height < 1 << 20 else b"")
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def jpeg(width, height):
    quantise = b"\xff\xdb" + struct.pack(">H", 67) + bytes(65)
    return b"\xff\xd8\xff" + quantise + b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1)


def with_cover(tmp_path, picture):
    path = encode(tmp_path / "song.mp3", tones(0, 2), "libmp3lame")
    frame = id3_frame(b"APIC", b"\0image/png\0\x03\0" + picture)
    path.write_bytes(id3(frame) + path.read_bytes())
    return path


def test_a_cover_that_claims_too_many_pixels(tmp_path):
    path = with_cover(tmp_path, png(16_000, 16_000))
    script = (
        "import resource, sys\n"
        "from partita.audio.reader import open_audio\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        f"with open_audio({str(path)!r}) as reader:\n"
        "    assert reader.tags.cover is None\n"
        "    assert 'its cover was left out: it claims 16000 x 16000' in reader.warnings[0]\n"
        "    print(sum(block.shape[1] for block in reader.blocks()), peak() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    samples, grown_kb = map(int, done.stdout.split())
    assert samples == pytest.approx(2 * RATE, abs=2000)
    assert grown_kb < 100_000


def test_a_cover_of_too_many_bytes(tmp_path):
    path = with_cover(tmp_path, png(500, 500) + bytes(21_000_000))
    tags = read_tags(path)
    assert tags.cover is None
    assert tags.left_out == ("its cover was left out: 21 MB",)


def test_ordinary_covers_come_along(tmp_path):
    tags = read_tags(with_cover(tmp_path, png(600, 400)))
    assert (tags.cover.width, tags.cover.height, tags.cover.mime) == (600, 400, "image/png")
    assert tags.left_out == ()


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xff\xff\xff", b"GIF89a", png(0, 5)]
)
def test_no_pictures(data):
    assert picture_size(data) is None


def test_picture_sizes():
    assert picture_size(png(30, 20)) == ("png", 30, 20)
    assert picture_size(jpeg(300, 200)) == ("mjpeg", 300, 200)


def test_a_huge_tag_is_left_out(tmp_path):
    path = encode(tmp_path / "song.mp3", tones(0, 2), "libmp3lame")
    frames = id3_frame(b"TIT2", b"\0Title") + id3_frame(b"TXXX", b"\0noise\0" + b"x" * 1_500_000)
    path.write_bytes(id3(frames) + path.read_bytes())
    tags = read_tags(path)
    assert tags.text == {"title": "Title"}
    assert "its tag noise was left out: 1,500,000 letters" in tags.left_out


def test_flac_that_declares_a_length_of_days(tmp_path):
    path = tmp_path / "song.flac"
    soundfile.write(path, tones(0, 2).T, RATE)
    data = bytearray(path.read_bytes())
    data[21] |= 15  # total samples, 36 bits
    data[22:26] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    samples, reader = read(path)
    np.testing.assert_allclose(samples, tones(0, 2), atol=1e-4)
    assert "ends after 2.000 s of the" in reader.warnings[-1]


def test_parts_that_end_where_no_file_can(tmp_path):
    size = b"\x7f" + b"\xff" * 7
    path = encode(tmp_path / "song.m4a", tones(0, 2), "aac")
    path.write_bytes(path.read_bytes() + b"\0\0\0\1free" + size)
    samples, _ = read(path)
    assert samples.shape[1] == pytest.approx(2 * RATE, abs=4000)
    path = tmp_path / "song.caf"
    soundfile.write(path, tones(0, 2).T, RATE)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"data" + data.partition(b"data")[2][:8], b"data" + size))
    with pytest.raises(AudioReadError, match="not an audio file that can be decoded"):
        read(path)


def test_a_list_of_tags_that_ends_behind_the_file_takes_no_memory(tmp_path):
    """Half a gigabyte for a text, in a list that is said to hold two."""
    soundfile.write(tmp_path / "song.wav", tones(0, 1).T, RATE)
    data = (tmp_path / "song.wav").read_bytes()
    at = data.index(b"data")
    info = b"LIST" + struct.pack("<I", 1 << 31) + b"INFOISFT" + struct.pack("<I", 1 << 29)
    path = tmp_path / "tags.wav"
    path.write_bytes(data[:at] + info + data[at:])
    script = (
        "import contextlib, resource\n"
        "from partita.audio.reader import open_audio\n"
        "from partita.errors import AudioReadError\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        f"with contextlib.suppress(AudioReadError), open_audio({str(path)!r}) as reader:\n"
        "    sum(block.shape[1] for block in reader.blocks())\n"
        "print(peak() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100_000  # kB
