"""Containers' time: sound that begins late or pauses, lengths that are estimates, sound tracks."""

import av
import numpy as np
import pytest
import soundfile

from audio_files import RATE, add_stream, assert_seconds, encode, heard, mux, read, tones
from partita.audio.reader import open_audio
from partita.audio.timeline import Frame, Timeline, describe_spans, gathered
from partita.errors import AudioReadError


def video(path, container, codec="mpeg4", late_s=0.0, sounds=((0, 4),), default=0):
    """Write a video of grey pictures, its sound beginning late; all sounds are tones."""
    rate = 48000 if container in ("webm", "ogg") else RATE
    with av.open(str(path), "w", format=container) as output:
        pictures = output.add_stream(codec, rate=25)
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        audio = "libopus" if container in ("webm", "ogg") else "aac"
        streams = [add_stream(output, tones(*seconds, rate), audio, rate) for seconds in sounds]
        for number, (stream, *_) in enumerate(streams):
            disposition = av.stream.Disposition.default if number == default else 0
            stream.disposition = disposition
        for _ in range(25 * 8):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 128, np.uint8))
            output.mux(pictures.encode(frame))
        output.mux(pictures.encode(None))
        for arguments in streams:
            mux(output, *arguments, delay(late_s))
    return path


def delay(seconds):
    def change(packet):
        ticks = round(seconds / packet.time_base)
        packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
        return packet

    return change


CONTAINERS = {"mkv": "matroska", "mp4": "mp4", "mov": "mov", "ts": "mpegts", "flv": "flv"}
CODECS = {"flv": "flv1", "webm": "libvpx", "ogg": "libvpx"}


@pytest.mark.parametrize("kind", [*CONTAINERS, "webm", "ogg"])
@pytest.mark.parametrize("late_s", [0.0, 2.0])
def test_sound_lies_under_its_video(tmp_path, kind, late_s):
    codec = CODECS.get(kind, "mpeg4")
    path = video(tmp_path / f"film.{kind}", CONTAINERS.get(kind, kind), codec, late_s)
    samples, reader = read(path)
    rate = reader.sample_rate
    assert samples.shape[1] == pytest.approx((4 + late_s) * rate, abs=4000)
    assert_seconds(samples, rate, [None] * int(late_s) + [0, 1, 2, 3], start_s=0.03)
    assert reader.warnings == []
    excerpt, _ = read(path, start_s=late_s + 1.0, duration_s=2.0)
    assert_seconds(excerpt, rate, [1, 2], start_s=0.03)
    if late_s:
        excerpt, _ = read(path, start_s=1.0, duration_s=2.0)
        assert_seconds(excerpt, rate, [None, 0], start_s=0.03)


@pytest.mark.parametrize("kind", ["webm", "ogg"])
def test_late_sound_that_is_not_all_there_is_said(tmp_path, kind):
    path = video(tmp_path / f"film.{kind}", kind, "libvpx", late_s=2.0)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) // 4) + data[-(len(data) // 4) :])
    samples, reader = read(path)
    assert "of the 6.0 s that it announces" in str(reader.warnings) or (
        samples.shape[1] >= 5.9 * reader.sample_rate and "silence from" in str(reader.warnings)
    )


def test_a_sound_file_begins_with_its_sound(tmp_path):
    path = encode(tmp_path / "a.ts", tones(0, 4), "libmp3lame", RATE, "mpegts", delay(7.0))
    samples, reader = read(path)
    assert samples.shape[1] == pytest.approx(4 * RATE, abs=4000)
    assert_seconds(samples, RATE, range(4), start_s=0.03)
    assert reader.warnings == []


@pytest.mark.parametrize(
    ("kind", "codec"),
    [*((kind, "aac") for kind in CONTAINERS), ("mkv", "flac"), ("mkv", "libmp3lame")],
)
def test_pauses_stay(tmp_path, kind, codec):
    def change(packet):
        return None if 2.5 <= float(packet.pts * packet.time_base) < 4.5 else packet

    path = tmp_path / f"pause.{kind}"
    encode(path, tones(), codec, RATE, CONTAINERS[kind], change)
    samples, reader = read(path)
    assert samples.shape[1] == pytest.approx(8 * RATE, abs=4000)
    assert_seconds(samples[:, 5 * RATE :], RATE, [5, 6, 7], start_s=0.03)
    assert heard(samples, RATE, 3.5) == 0
    assert heard(samples, RATE, 2.2) == 700
    assert "silence from 2." in reader.warnings[0]
    excerpt, _ = read(path, start_s=3.0, duration_s=3.0)
    assert_seconds(excerpt[:, 2 * RATE :], RATE, [5], start_s=0.03)
    assert heard(excerpt, RATE, 0.5) == 0


def test_broken_timestamps_make_no_hours_of_silence(tmp_path):
    far = delay(5 * 3600)

    def change(packet):
        return far(packet) if float(packet.pts * packet.time_base) >= 4 else packet

    path = encode(tmp_path / "far.mkv", tones(), "aac", RATE, "matroska", change)
    samples, reader = read(path)
    assert samples.shape[1] == pytest.approx(8 * RATE, abs=4000)
    assert_seconds(samples, RATE, range(8), start_s=0.03)
    assert "broken timestamps" in reader.warnings[0]


def stamped(*stamps_s, length_s=0.1, **options):
    block = np.ones((1, round(length_s * 1000)), np.float32)
    return iter([Frame(block, 1000, stamp_s, 0.001, **options) for stamp_s in stamps_s])


@pytest.mark.parametrize(
    ("stamps_s", "length_s"),
    [
        ((0.0, 0.1, 0.2), 0.3),
        ((0.0, 0.101, 0.199), 0.3),  # rounded stamps
        ((0.0, 0.1, 0.4), 0.5),  # a gap
        ((0.0, 0.1, 0.15, 0.25), 0.4),  # overlap: nothing is doubled or lost
        ((0.0, 0.1, 0.15, 0.4), 0.5),  # a gap makes up for an overlap
        ((0.0, 0.1, 60.0, 0.3), 0.4),  # one broken stamp
        ((0.0, 5.0, 5.1, 0.0, 0.1), 5.4),  # the count begins anew
        ((0.0, None, 0.2), 0.3),
        ((0.0, 90_000.0), 0.2),
    ],
)
def test_timeline(stamps_s, length_s):
    timeline = Timeline()
    pieces = [samples for samples, _ in timeline.pieces(stamped(*stamps_s))]
    assert sum(piece.shape[1] for piece in pieces) == round(length_s * 1000)
    assert sum(float(piece.sum()) for piece in pieces) == 100 * len(stamps_s)


def test_short_pieces_are_joined_and_nothing_is_read_ahead_of_an_end():
    signal = np.arange(3000, dtype=np.float32).reshape(1, 3000)
    taken = []

    def pieces():
        for start in range(0, 3000, 100):
            taken.append(start)
            yield signal[:, start : start + 100], 1000 if start < 2500 else 2000

    found = list(gathered(pieces(), 256, None))
    assert np.array_equal(np.concatenate([piece for piece, _ in found], axis=1), signal)
    assert [rate for _, rate in found[-3:]] == [1000, 2000, 2000]
    assert all(piece.shape[1] % 256 == 0 for piece, _ in found[:-3])
    taken.clear()
    position = 0
    for piece, _ in gathered(pieces(), 1000, 1.2):  # seconds of the first rate
        position += piece.shape[1]
        if position >= 1200:
            break
    assert taken[-1] == 1100


def test_spans_are_told_briefly():
    assert describe_spans([(1.7021, 1.795)]) == "1.702 s to 1.795 s"
    assert describe_spans([(k, k + 0.5) for k in range(7)]).endswith("4.500 s and 2 more places")


def test_vbr_mp3_without_a_header_is_read_to_its_end(tmp_path):
    # Quiet first: by the first frames' bitrate the file looks much longer than it is.
    signal = np.concatenate([0.001 * tones(), tones()], axis=1)
    path = tmp_path / "vbr.mp3"
    with av.open(str(path), "w", format="mp3", options={"write_xing": "0"}) as output:
        mux(output, *add_stream(output, signal, "libmp3lame", options={"compression_level": "0"}))
    with open_audio(path, start_s=15.0) as reader:
        samples = np.concatenate(list(reader.blocks()), axis=1)
        assert not reader.frames_certain
    assert reader.warnings == []
    assert samples.shape[1] == pytest.approx(RATE, abs=4000)
    with pytest.raises(AudioReadError, match="ends before 20 s"):
        read(path, start_s=20.0)


def test_mp3_in_a_wav_file_is_as_long_as_it_decodes(tmp_path):
    encode(tmp_path / "song.wav", tones(), "libmp3lame")
    samples, reader = read(tmp_path / "song.wav")
    assert_seconds(samples, RATE, range(8), start_s=0.03)
    assert reader.warnings == []


@pytest.mark.parametrize("kind", ["aac", "ogg", "flac", "mkv"])
def test_excerpts_at_the_end(tmp_path, kind):
    path = tmp_path / f"song.{kind}"
    if kind in ("ogg", "flac"):
        soundfile.write(path, tones().T, RATE)
    else:
        encode(path, tones(), "aac", RATE, {"aac": "adts", "mkv": "matroska"}[kind])
    samples, reader = read(path, start_s=7.8)
    assert samples.shape[1] == pytest.approx(0.2 * RATE, abs=4000)
    assert reader.warnings == []
    with pytest.raises(AudioReadError, match="ends before 30 s"):
        read(path, start_s=30.0)


@pytest.mark.parametrize(
    ("kind", "codec", "rate"),
    [("mkv", "libmp3lame", RATE), ("webm", "libopus", 48000), ("wma", "wmav2", RATE)],
)
def test_excerpts_are_exact_where_time_is_counted_in_milliseconds(tmp_path, kind, codec, rate):
    container = {"mkv": "matroska", "wma": "asf"}.get(kind, kind)
    path = encode(tmp_path / f"song.{kind}", tones(rate=rate), codec, rate, container)
    whole, _ = read(path)
    for start_s in (3.333, 5.0, 6.789):
        excerpt, _ = read(path, start_s=start_s)
        wanted = whole[:, round(start_s * rate) :]
        assert excerpt.shape == wanted.shape
        np.testing.assert_allclose(excerpt, wanted, atol=0.02)


@pytest.mark.parametrize("default", [0, 1, 2])
def test_the_default_sound_track_is_taken(tmp_path, default):
    sounds = ((0, 2), (2, 2), (4, 2))
    path = video(tmp_path / "film.mkv", "matroska", sounds=sounds, default=default)
    samples, reader = read(path)
    assert_seconds(samples, RATE, [2 * default, 2 * default + 1], start_s=0.03)
    for number in range(3):
        samples, _ = read(path, stream=number)
        assert_seconds(samples, RATE, [2 * number, 2 * number + 1], start_s=0.03)
    for missing in (3, -1):
        with pytest.raises(AudioReadError, match=f"3 audio streams, stream {missing} was asked"):
            open_audio(path, stream=missing)
    reader.close()


def test_stem_files_give_the_mixture_whatever_is_marked(tmp_path):
    path = tmp_path / "song.stem.mp4"
    video(path, "mp4", sounds=((0, 2), (2, 2)), default=1)
    samples, _ = read(path)
    assert_seconds(samples, RATE, [0, 1], start_s=0.03)
