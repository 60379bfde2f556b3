import base64
import io

import av
import mutagen
import mutagen.flac
import numpy as np
import pytest
import soundfile
import torch

from partita.audio.encode import encode_file, to_pcm
from partita.audio.formats import stem_format
from partita.audio.reader import open_audio
from partita.audio.signal import Audio, load_audio
from partita.audio.stem_writer import StemWriter
from partita.audio.tags import Cover, Tags, read_tags
from partita.audio.work_folder import work_folder
from partita.errors import AudioWriteError, UsageError

RATE = 44100
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
COVER = Cover(PNG, "png", 1, 1)
TAGS = Tags({"title": "Song", "artist": "Somebody", "album": "Record", "genre": "Pop"}, COVER)


@pytest.fixture
def write(tmp_path, stems):
    """Write vocals and drums of the example song; returns the paths and the writer."""

    def write_stems(extension="wav", gain=1.0, rate=RATE, channels=2, **options):
        form = stem_format(extension, **options)
        signals = np.stack([stems["vocals"], stems["drums"]]) * np.float32(gain)
        signals = np.repeat(signals, -(-channels // 2), axis=1)[:, :channels]
        names = ["vocals", "drums"]
        same = tmp_path / f"all.{extension}"
        paths = {
            name: same if form.holds_all_stems else tmp_path / "out" / f"{name}.{extension}"
            for name in names
        }
        tags = {name: TAGS.for_stem(name, "song") for name in names}
        with StemWriter(
            paths, form, sample_rate=rate, channels=channels, tags=tags, root=tmp_path
        ) as writer:
            for start in range(0, signals.shape[-1], 10_000):
                block = signals[..., start : start + 10_000]
                writer.write(block.sum(axis=0), block)
            writer.finish()
        return paths, writer, signals

    return write_stems


def read(path, stream=0):
    with open_audio(path, stream=stream) as reader:
        return np.concatenate(list(reader.blocks()), axis=1), reader.sample_rate


@pytest.mark.parametrize(
    ("extension", "bits", "tolerance"),
    [("wav", "16", 2**-15), ("wav", "24", 2**-23), ("wav", "float", 0.0), ("flac", "16", 2**-15),
     ("flac", "24", 2**-23)],
)  # fmt: skip
def test_lossless_formats_round_to_their_bits(write, extension, bits, tolerance):
    paths, writer, signals = write(extension, bits=bits)
    for path, signal in zip(paths.values(), signals, strict=True):
        samples, _ = read(path)
        assert samples.shape == signal.shape
        assert np.abs(samples - signal).max() <= tolerance
    assert writer.gain_db == 0


@pytest.mark.parametrize("extension", ["mp3", "ogg", "opus", "m4a"])
def test_lossy_formats_sound_alike(write, extension):
    paths, _, signals = write(extension)
    samples, rate = read(paths["drums"])
    assert rate == (48000 if extension == "opus" else RATE)
    assert samples.shape[1] == pytest.approx(signals.shape[-1] * rate / RATE, abs=2500)
    assert np.std(samples) == pytest.approx(np.std(signals[1]), rel=0.05)
    if rate == RATE:
        error = samples[:, : signals.shape[-1]] - signals[1]
        assert np.std(error) < 0.3 * np.std(signals[1])  # hi-hats are hard to code


@pytest.mark.parametrize("extension", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
def test_bit_rate_and_tags_arrive(write, extension):
    paths, _, _ = write(extension)
    tags = read_tags(paths["vocals"])
    assert tags.text["title"] == "Song (vocals)"
    assert tags.text["artist"] == "Somebody"
    assert tags.text["album"] == "Record"
    if extension in ("flac", "mp3", "opus", "m4a"):
        # Another library finds the same, cover included.
        found = mutagen.File(paths["vocals"])
        assert PNG in _pictures(found)


def _picture(codec):
    """One encoded picture of 16 × 16 pixels."""
    pixel_format = {"mjpeg": "yuvj420p", "png": "rgb24"}[codec]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="image2pipe") as output:
        stream = output.add_stream(codec, rate=25, width=16, height=16, pix_fmt=pixel_format)
        frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 99, np.uint8), format="rgb24")
        output.mux([*stream.encode(frame), *stream.encode(None)])
    return buffer.getvalue()


@pytest.mark.parametrize("codec", ["mjpeg", "png"])
@pytest.mark.parametrize("extension", ["flac", "mp3", "opus", "m4a", "stem.mp4"])
def test_a_songs_cover_goes_through_every_format(tmp_path, song, extension, codec):
    cover = Cover(_picture(codec), codec, 16, 16)
    paths = dict.fromkeys(["audio"], tmp_path / f"out.{extension}")
    options = {"sample_rate": RATE, "channels": 2, "root": tmp_path}
    tags = {"audio": Tags({"title": "Song"}, cover)}
    with StemWriter(paths, stem_format(extension), tags=tags, **options) as writer:
        writer.write(song, song[None])
        writer.finish()
    assert read_tags(paths["audio"]).cover == cover
    assert read(paths["audio"])[0].shape[1] >= song.shape[1]


def test_tags_that_are_not_utf8_are_read(tmp_path, song):
    path = tmp_path / "song.mp3"
    form = stem_format("mp3")
    encode_file(
        path, [song], form, sample_rate=RATE, channels=2, frames=song.shape[1],
        tags=Tags({"title": "Nana", "artist": "Somebody"}),
    )  # fmt: skip
    path.write_bytes(path.read_bytes().replace(b"Nana", b"N\xe4n\xe4", 1))
    tags = read_tags(path)
    assert tags.text["title"] == "Nänä"
    assert tags.text["artist"] == "Somebody"
    assert read(path)[0].shape[1] >= song.shape[1]


def _pictures(file):
    from mutagen.flac import Picture

    if hasattr(file, "pictures"):
        return [picture.data for picture in file.pictures]
    tags = file.tags
    if "covr" in tags:
        return [bytes(cover) for cover in tags["covr"]]
    if "metadata_block_picture" in tags:
        return [Picture(base64.b64decode(text)).data for text in tags["metadata_block_picture"]]
    return [frame.data for frame in tags.getall("APIC")]


def test_lossy_bit_rate_is_obeyed(write):
    small, _, _ = write("mp3", bitrate="96k")
    size = small["vocals"].stat().st_size
    assert size * 8 / 4.0 == pytest.approx(96_000, rel=0.15)


def test_loud_stems_get_one_joint_gain(write):
    paths, writer, signals = write("wav", gain=4.0)
    peak = np.abs(signals).max()
    assert writer.gain_db == pytest.approx(-20 * np.log10(peak))
    for path, signal in zip(paths.values(), signals, strict=True):
        samples, _ = read(path)
        assert np.abs(samples - signal / peak).max() < 2**-14
        assert np.abs(samples).max() <= 1.0


def test_float_files_are_never_rescaled(write):
    paths, writer, signals = write("wav", gain=4.0, bits="float")
    assert writer.gain_db == 0
    np.testing.assert_array_equal(read(paths["vocals"])[0], signals[0])


def test_many_channels(write):
    for extension in ("wav", "flac", "m4a", "opus"):
        paths, _, _ = write(extension, channels=6)
        assert read(paths["vocals"])[0].shape[0] == 6
    with pytest.raises(AudioWriteError, match="mp3 holds two channels"):
        write("mp3", channels=6)


LAYOUTS = {3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
#: FFmpeg's channel names in the order that we use.
NAMES = {
    3: "FL FR FC",
    4: "FL FR BL BR",
    5: "FL FR FC BL BR",
    6: "FL FR FC LFE BL BR",
    7: "FL FR FC LFE BC SL SR",
    8: "FL FR FC LFE BL BR SL SR",
}


@pytest.mark.parametrize("channels", LAYOUTS)
@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "opus", "m4a"])
def test_every_channel_arrives_at_its_place(tmp_path, extension, channels):
    """A tone for each channel, read back by name with FFmpeg and by us in order."""
    time_s = torch.arange(2 * RATE) / RATE
    pitches = [40 + 15 * index for index in range(channels)]  # low: LFE channels lose treble
    tones = torch.stack([0.3 * torch.sin(2 * torch.pi * p * time_s) for p in pitches])
    path = tmp_path / f"tones.{extension}"
    Audio(tones, RATE).save(path)

    def loudest(signal, rate):
        spectrum = np.abs(np.fft.rfft(signal[: 2 * rate] * np.hanning(len(signal[: 2 * rate]))))
        return pitches[int(np.argmin(np.abs(np.array(pitches) - np.argmax(spectrum) / 2)))]

    ours, rate = read(path)
    assert [loudest(channel, rate) for channel in ours] == pitches
    if extension == "wav" or (extension, channels) == ("m4a", 7):  # these state no layout
        return
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        names = [channel.name for channel in stream.layout.channels]
        to_float = av.AudioResampler(format="flt")
        frames = [f for frame in container.decode(stream) for f in to_float.resample(frame)]
        data = np.concatenate([f.to_ndarray().reshape(-1, channels) for f in frames]).T
    by_name = {name: loudest(channel, rate) for name, channel in zip(names, data, strict=True)}
    expected = dict(zip(NAMES[channels].split(), pitches, strict=True))
    sides = {"SL": "BL", "SR": "BR"} if channels < 7 else {}  # surrounds have two names
    assert {sides.get(name, name): pitch for name, pitch in by_name.items()} == expected


def test_rates_that_ogg_cannot_hold(write):
    with pytest.raises(AudioWriteError, match="ogg holds 200000 Hz at most, not 384000"):
        write("ogg", rate=384000)


def test_bit_rates_that_opus_cannot_hold(write):
    with pytest.raises(AudioWriteError, match="256k for each channel: lower `bitrate`"):
        write("opus", channels=1, bitrate="320k")


def test_estimates_that_are_no_numbers_are_never_written(tmp_path, stems):
    paths = {"vocals": tmp_path / "vocals.wav"}
    options = {"sample_rate": RATE, "channels": 2, "tags": {"vocals": Tags()}, "root": tmp_path}
    bad = stems["vocals"] * np.float32(np.nan)
    with (
        pytest.raises(AudioWriteError, match=r"vocals\.wav: the model gave NaN or infinite"),
        StemWriter(paths, stem_format(), **options) as writer,
    ):
        writer.write(bad, bad[None])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extension", ["flac", "mp3", "m4a", "opus"])
def test_covers_that_are_no_pictures_stay_behind(tmp_path, write, extension, song):
    path = tmp_path / "song.flac"
    soundfile.write(path, song.T, RATE)
    file = mutagen.File(path)
    picture = mutagen.flac.Picture()
    picture.data, picture.mime, picture.type = PNG[:40], "image/png", 3
    file.add_picture(picture)
    file.save()
    tags = read_tags(path)
    assert tags.cover is None
    assert tags.left_out == ("its cover was left out: neither JPEG nor PNG, or cut short",)
    paths = {"audio": tmp_path / f"out.{extension}"}
    options = {"sample_rate": RATE, "channels": 2, "tags": {"audio": tags}, "root": tmp_path}
    with StemWriter(paths, stem_format(extension), **options) as writer:
        writer.write(song, song[None])
        writer.finish()
    assert paths["audio"].exists()


def test_many_work_folders_at_once(tmp_path):
    """Threads that sweep while others begin must not take each other's folders away."""
    from concurrent.futures import ThreadPoolExecutor

    def use(index):
        with work_folder(tmp_path) as folder:
            (folder / "file").write_text(str(index))
            return (folder / "file").read_text()

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(use, range(300))) == [str(index) for index in range(300)]
    assert list(tmp_path.iterdir()) == []


def test_high_rates_come_down_where_a_codec_needs_it(write):
    paths, _, _ = write("mp3", rate=96000)
    assert read(paths["vocals"])[1] == 48000
    assert read(write("flac", rate=96000)[0]["vocals"])[1] == 96000


def test_nothing_appears_before_it_is_complete(tmp_path, stems):
    final = tmp_path / "vocals.wav"
    final.write_text("the old one")
    writer = StemWriter(
        {"vocals": final},
        stem_format(),
        sample_rate=RATE,
        channels=2,
        tags={"vocals": Tags()},
        root=tmp_path,
    )
    with writer:  # left without finishing, as an error would
        writer.write(stems["vocals"], stems["vocals"][None])
        assert final.read_text() == "the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["vocals.wav"]
    assert final.read_text() == "the old one"


def test_folders_of_killed_runs_are_swept_away(tmp_path):
    dead = tmp_path / ".partita-dead"
    dead.mkdir()
    (dead / "lock").touch()
    (dead / "0.f32").write_bytes(b"left over")
    with work_folder(tmp_path) as first:
        assert not dead.exists()
        with work_folder(tmp_path) as second:  # a living one stays
            assert first.exists()
            assert second != first
    assert list(tmp_path.iterdir()) == []


def test_pcm_is_exact_at_full_scale():
    samples = np.array([-1.0, -0.5, 0.0, 0.5, 1.0, 2.0], np.float32)
    assert to_pcm(samples, 16).tolist() == [-32768, -16384, 0, 16384, 32767, 32767]
    assert (to_pcm(samples, 24) >> 8).tolist() == [-(2**23), -(2**22), 0, 2**22] + 2 * [2**23 - 1]


def test_sixteen_bit_files_survive_unchanged(tmp_path):
    values = np.arange(-32768, 32768, dtype=np.int16)
    soundfile.write(tmp_path / "in.wav", values, RATE)
    load_audio(tmp_path / "in.wav").save(tmp_path / "out.wav")
    again, _ = soundfile.read(tmp_path / "out.wav", dtype="int16")
    np.testing.assert_array_equal(again, values)


def test_audio_that_is_too_loud_is_softened_with_a_warning(tmp_path, stems):
    loud = Audio(torch.from_numpy(10 * stems["vocals"]), RATE)
    peak = float(loud.samples.abs().max())
    excess = 20 * np.log10(peak)
    with pytest.warns(UserWarning, match=rf"loud\.wav: the peak is {excess:.2f} dB above full"):
        gain_db = loud.save(tmp_path / "loud.wav")
    assert gain_db == pytest.approx(-excess)
    again = load_audio(tmp_path / "loud.wav").samples
    torch.testing.assert_close(again, loud.samples / peak, atol=2**-14, rtol=0)
    assert loud.save(tmp_path / "float.wav", bits="float") == 0  # no warning: they are errors
    assert loud.samples.abs().max() == peak


def test_replay_gain_stays_behind(tmp_path, write):
    paths, _, _ = write("flac")
    file = mutagen.File(paths["vocals"])
    file["REPLAYGAIN_TRACK_GAIN"] = "-7 dB"
    file["R128_TRACK_GAIN"] = "12"
    file["mood"] = "bright"
    file.save()
    text = read_tags(paths["vocals"]).text
    assert not [name for name in text if "gain" in name]
    assert text["mood"] == "bright"
    assert "encoder" not in text


def test_stems_of_untitled_songs_are_named_after_the_file():
    assert Tags().for_stem("drums", "my song").text["title"] == "my song (drums)"


def test_audio_is_no_stem_file(tmp_path):
    path = tmp_path / "song.Stem.mp4"
    with pytest.raises(UsageError, match=r"a \.stem\.mp4 holds a song and its stems: Separator"):
        Audio(torch.zeros(2, 1000), RATE).save(path)
    assert not list(tmp_path.iterdir())
