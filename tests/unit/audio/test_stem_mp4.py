import json
import struct

import av
import numpy as np
import pytest

from partita.audio.formats import stem_format
from partita.audio.mp4_boxes import box, read_box, set_user_data
from partita.audio.reader import open_audio
from partita.audio.stem_mp4 import read_stem_names, stem_streams
from partita.audio.stem_writer import StemWriter
from partita.audio.tags import Tags
from partita.errors import AudioWriteError, UsageError

USUAL = ["vocals", "drums", "bass", "other"]


@pytest.fixture
def write(tmp_path, stems):
    """Write stems of the example song; returns the file and the writer."""

    def write_file(names=USUAL, *, rate=44100, channels=2, signals=None, **options):
        path = tmp_path / "song.stem.mp4"
        if signals is None:
            signals = np.stack([stems[name] for name in names])[:, :channels]
        with StemWriter(
            dict.fromkeys(names, path),
            stem_format("stem.mp4", **options),
            sample_rate=rate,
            channels=channels,
            tags=dict.fromkeys(names, Tags({"title": "Song"})),
            root=tmp_path,
        ) as writer:
            writer.write(signals.sum(axis=0), signals)
            writer.finish()
        return path, writer

    return write_file


def read(path, stream=0):
    with open_audio(path, stream=stream) as reader:
        return np.concatenate(list(reader.blocks()), axis=1), reader.sample_rate


def test_everything_that_players_want(write):
    path, _ = write(["vocals", "drums"])
    with av.open(str(path)) as container:
        assert len(container.streams.audio) == 5
    mixture, _ = read(path)
    drums, vocals = (read(path, stream)[0] for stream in (1, 4))
    assert np.std(drums + vocals - mixture) < 0.2 * np.std(mixture)
    assert np.abs(read(path, 2)[0]).max() < 1e-3
    content = _stem_box(path.read_bytes())
    assert [stem["name"] for stem in content["stems"]] == ["drums", "empty", "empty", "vocals"]
    assert content["mastering_dsp"]["limiter"]["enabled"] is False


def _stem_box(data):
    """Walk moov, udta, stem as the specification nests them."""
    for name in (b"moov", b"udta", b"stem"):
        position = 0
        while True:
            size, found = struct.unpack(">I4s", data[position : position + 8])
            if found == name:
                data = data[position + 8 : position + size]
                break
            position += size
    return json.loads(data)


@pytest.mark.parametrize("order", [USUAL, USUAL[::-1], ["bass", "vocals", "drums", "other"]])
def test_the_order_is_that_of_musdb(write, stems, order):
    path, _ = write(order)
    for stream, name in enumerate(["drums", "bass", "other", "vocals"], start=1):
        samples = read(path, stream)[0][:, : stems[name].shape[1]]
        errors = {other: np.std(samples - signal) for other, signal in stems.items()}
        assert min(errors, key=errors.get) == name
    assert read_stem_names(path) == ["drums", "bass", "other", "vocals"]


def test_other_stems_take_the_streams_that_are_left():
    assert stem_streams(["vocals", "no_vocals"]) == {"vocals": 4, "no_vocals": 1}
    assert stem_streams(["flute", "drums", "rest"]) == {"flute": 2, "drums": 1, "rest": 3}
    assert stem_streams(["a", "b", "c", "d"]) == {"a": 1, "b": 2, "c": 3, "d": 4}


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(8000, 48000), (11025, 44100), (22050, 44100), (32000, 48000), (48000, 48000),
     (88200, 44100), (96000, 48000)],
)  # fmt: skip
@pytest.mark.parametrize("options", [{}, {"bits": "24"}])
def test_rates_become_those_of_the_specification(write, rate, expected, options):
    time_s = np.arange(rate) / rate
    tone = 0.3 * np.sin(2 * np.pi * 440 * time_s).astype(np.float32)
    path, writer = write(["vocals"], rate=rate, channels=1, signals=tone[None, None], **options)
    assert (writer.file_rate, writer.file_channels) == (expected, 2)
    with av.open(str(path)) as container:
        forms = {(stream.rate, stream.channels) for stream in container.streams.audio}
    assert forms == {(expected, 2)}
    left, right = read(path, 4)[0]
    assert np.std(left - right) < (0.2 if not options else 1e-6) * np.std(left)  # AAC codes both
    spectrum = np.abs(np.fft.rfft(left[:expected]))
    assert np.argmax(spectrum) * expected / len(left[:expected]) == pytest.approx(440, abs=2)


def test_more_than_two_channels_are_refused(write):
    with pytest.raises(AudioWriteError, match=r"stem\.mp4 holds two channels at most, not 6"):
        write(["vocals"], channels=6, signals=np.zeros((1, 6, 1000), np.float32))


@pytest.mark.parametrize("bits", ["16", "24"])
def test_alac_keeps_every_sample(write, stems, bits):
    path, _ = write(bits=bits)
    with av.open(str(path)) as container:
        assert {stream.codec_context.name for stream in container.streams.audio} == {"alac"}
    for name, stream in stem_streams(USUAL).items():
        samples, _ = read(path, stream)
        assert samples.shape == stems[name].shape
        assert np.abs(samples - stems[name]).max() <= 2.0 ** (1 - int(bits))


def test_four_stems_at_most(tmp_path):
    paths = {str(i): tmp_path / "x.stem.mp4" for i in range(5)}
    form = stem_format("stem.mp4")
    with pytest.raises(UsageError, match="holds 4 stems, not 5"):
        StemWriter(paths, form, sample_rate=44100, channels=2, tags={}, root=tmp_path)


def test_boxes_of_others_stay(write):
    path, _ = write()
    set_user_data(path, {b"mine": b"12345"})
    set_user_data(path, {b"mine": b"123"})
    assert read_box(path, (b"moov", b"udta", b"mine")) == b"123"
    assert read_stem_names(path) == ["drums", "bass", "other", "vocals"]
    assert read(path, 4)[0].shape[1] > 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no mp4 at all",
        b"\xff" * 100,
        struct.pack(">I4sQ", 1, b"moov", 2**63),
        box(b"moov", box(b"udta", box(b"stem", b"{"))),
        box(b"moov", box(b"udta", box(b"stem", b"[" * 100_000))),
        box(b"moov", box(b"udta", box(b"stem", b'{"stems": [{"color": 1}]}'))),
        box(b"moov", box(b"udta", box(b"stem", b'{"stems": 3}'))),
        box(b"moov", box(b"udta", box(b"stem", b" " * (2 << 20)))),
        box(b"moov", b"\0" * 8 + box(b"udta", b"")),
    ],
)
def test_damaged_boxes_name_nothing(tmp_path, content):
    path = tmp_path / "x.stem.mp4"
    path.write_bytes(content)
    assert read_stem_names(path) is None
