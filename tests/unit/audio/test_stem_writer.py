import base64
import json
import struct

import av
import mutagen
import numpy as np
import pytest
import soundfile

from partita.audio.encode import to_pcm
from partita.audio.formats import stem_format
from partita.audio.reader import open_audio
from partita.audio.signal import Audio
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


def test_high_rates_come_down_where_a_codec_needs_it(write):
    paths, _, _ = write("mp3", rate=96000)
    assert read(paths["vocals"])[1] == 48000
    assert read(write("flac", rate=96000)[0]["vocals"])[1] == 96000


def test_stem_mp4_has_everything_that_players_want(write):
    paths, _, _ = write("stem.mp4")
    path = paths["vocals"]
    with av.open(str(path)) as container:
        assert len(container.streams.audio) == 5
    mixture, _ = read(path)
    parts = [read(path, stream=1)[0], read(path, stream=2)[0]]
    assert np.std(sum(parts) - mixture) < 0.2 * np.std(mixture)
    assert np.abs(read(path, stream=3)[0]).max() < 1e-3
    content = _stem_box(path.read_bytes())
    assert [stem["name"] for stem in content["stems"]] == ["vocals", "drums", "empty", "empty"]
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


def test_stem_mp4_holds_four_stems(tmp_path):
    paths = {str(i): tmp_path / "x.stem.mp4" for i in range(5)}
    form = stem_format("stem.mp4")
    with pytest.raises(UsageError, match="holds 4 stems, not 5"):
        StemWriter(paths, form, sample_rate=RATE, channels=2, tags={}, root=tmp_path)


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
    Audio.load(tmp_path / "in.wav").save(tmp_path / "out.wav")
    again, _ = soundfile.read(tmp_path / "out.wav", dtype="int16")
    np.testing.assert_array_equal(again, values)


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
