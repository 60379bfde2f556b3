"""Tags and covers, from every format into every format; mutagen says what stands there."""

import base64
import struct

import mutagen
import mutagen.aiff
import mutagen.apev2
import mutagen.flac
import mutagen.id3
import mutagen.mp4
import mutagen.oggopus
import mutagen.oggvorbis
import mutagen.wave
import numpy as np
import pytest
import soundfile

from partita.audio.formats import FORMATS, stem_format
from partita.audio.more_tags import read_more_tags
from partita.audio.reader import open_audio
from partita.audio.stem_writer import StemWriter
from partita.audio.tag_writer import write_tags
from partita.audio.tags import Cover, Tags, read_tags

RATE = 44100
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TEXT = {
    "title": "Süße Träume 夢",
    "artist": "One\0Two",
    "album": "Album",
    "album_artist": "Both",
    "composer": "Composer",
    "genre": "House",
    "date": "2021-05-06",
    "track": "3/12",
    "disc": "1/2",
    "bpm": "128",
    "key": "8A",
    "isrc": "USABC1234567",
    "comment": "a comment",
    "lyrics": "first line\nsecond line",
    "copyright": "2021 Label",
    "compilation": "1",
    "publisher": "Label",
    "catalognumber": "CAT1",
}
SAMPLES = (0.1 * np.random.default_rng(0).standard_normal((2, RATE // 4))).astype(np.float32)


def write(path, tags, **options):
    form = stem_format(path.name.partition(".")[2], **options)
    with StemWriter(
        {"audio": path}, form, sample_rate=RATE, channels=2, tags={"audio": tags}, root=path.parent
    ) as writer:
        writer.write(SAMPLES, SAMPLES[None])
        writer.finish()
    return path


def samples_of(path):
    with open_audio(path) as reader:
        return np.concatenate(list(reader.blocks()), axis=1)


def id3_of(path):
    file = mutagen.wave.WAVE(path) if path.suffix == ".wav" else mutagen.File(path)
    return file.tags


@pytest.mark.parametrize("extension", ["mp3", "wav"])
def test_id3_frames(tmp_path, extension):
    tags = id3_of(write(tmp_path / f"song.{extension}", Tags(TEXT, Cover(PNG, "png", 1, 1))))
    assert {name: str(tags[name]) for name in ("TBPM", "TKEY", "TSRC", "TRCK", "TPE2")} == {
        "TBPM": "128", "TKEY": "8A", "TSRC": "USABC1234567", "TRCK": "3/12", "TPE2": "Both",
    }  # fmt: skip
    assert tags["TPE1"].text == ["One", "Two"]
    assert [frame.text for frame in tags.getall("USLT")] == ["first line\nsecond line"]
    assert [frame.text for frame in tags.getall("COMM")] == [["a comment"]]
    assert tags["TXXX:CATALOGNUMBER"].text == ["CAT1"]
    assert (str(tags["TDRC"]), str(tags["TCMP"]), str(tags["TPUB"])) == ("2021-05-06", "1", "Label")
    (picture,) = tags.getall("APIC")
    assert (picture.type, picture.mime, picture.data) == (3, "image/png", PNG)


@pytest.mark.parametrize("extension", ["flac", "ogg", "opus"])
def test_vorbis_comments(tmp_path, extension):
    path = write(tmp_path / f"song.{extension}", Tags(TEXT, Cover(PNG, "png", 1, 1)))
    file = mutagen.File(path)
    found = {name.upper(): values for name, values in file.tags.as_dict().items()}
    pictures = found.pop("METADATA_BLOCK_PICTURE", [])
    assert found == {
        "TITLE": ["Süße Träume 夢"], "ARTIST": ["One", "Two"], "ALBUM": ["Album"],
        "ALBUMARTIST": ["Both"], "COMPOSER": ["Composer"], "GENRE": ["House"],
        "DATE": ["2021-05-06"], "TRACKNUMBER": ["3/12"], "DISCNUMBER": ["1/2"], "BPM": ["128"],
        "INITIALKEY": ["8A"], "ISRC": ["USABC1234567"], "COMMENT": ["a comment"],
        "LYRICS": ["first line\nsecond line"], "COPYRIGHT": ["2021 Label"],
        "COMPILATION": ["1"], "LABEL": ["Label"], "CATALOGNUMBER": ["CAT1"],
    }  # fmt: skip
    parsed = [mutagen.flac.Picture(base64.b64decode(text)) for text in pictures]
    (picture,) = file.pictures if extension == "flac" else parsed
    assert (picture.type, picture.mime, picture.data) == (3, "image/png", PNG)


@pytest.mark.parametrize("extension", ["m4a", "stem.mp4"])
def test_mp4_atoms(tmp_path, extension):
    path = write(tmp_path / f"song.{extension}", Tags(TEXT, Cover(PNG, "png", 1, 1)))
    tags = mutagen.mp4.MP4(path).tags
    assert {name: tags[name] for name in ("tmpo", "trkn", "disk", "cpil")} == {
        "tmpo": [128], "trkn": [(3, 12)], "disk": [(1, 2)], "cpil": True,
    }  # fmt: skip
    assert tags["©lyr"] == ["first line\nsecond line"]
    assert tags["©cmt"] == ["a comment"]
    assert tags["©ART"] == ["One", "Two"]
    assert tags["aART"] == ["Both"]
    for name, value in (("initialkey", b"8A"), ("ISRC", b"USABC1234567"), ("LABEL", b"Label")):
        assert tags[f"----:com.apple.iTunes:{name}"] == [value]
    (cover,) = tags["covr"]
    assert (cover.imageformat, bytes(cover)) == (mutagen.mp4.MP4Cover.FORMAT_PNG, PNG)


def test_riff_info(tmp_path):
    data = write(tmp_path / "song.wav", Tags(TEXT)).read_bytes()
    assert struct.unpack("<I", data[4:8]) == (len(data) - 8,)
    expected = {b"INAM": "Süße Träume 夢", b"IART": "One; Two", b"ICMT": "a comment"}
    for name, value in expected.items():
        content = value.encode() + b"\0"
        assert name + struct.pack("<I", len(content)) + content in data


def test_rf64_files(tmp_path):
    """What wav files over 4 GB are called; their length stands elsewhere."""
    path = tmp_path / "long.wav"
    soundfile.write(path, SAMPLES.T, RATE, format="RF64", subtype="PCM_24")
    assert path.read_bytes()[:4] == b"RF64"
    write_tags(path, stem_format("wav"), Tags(TEXT, Cover(PNG, "png", 1, 1)))
    data = path.read_bytes()
    assert struct.unpack("<Q", data[20:28]) == (len(data) - 8,)
    np.testing.assert_allclose(soundfile.read(path)[0].T, SAMPLES, atol=2**-23)
    assert read_tags(path).text["title"] == TEXT["title"]


@pytest.mark.parametrize("bits", ["16", "24", "float"])
def test_wav_files_stay_readable(tmp_path, bits):
    path = write(tmp_path / "song.wav", Tags(TEXT), bits=bits)
    np.testing.assert_allclose(soundfile.read(path)[0].T, SAMPLES, atol=2**-15)
    assert mutagen.wave.WAVE(path).info.length == pytest.approx(0.25)


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("size", [0, 254, 255, 40_000])
def test_tags_and_covers_of_any_size_leave_the_audio_as_it_is(tmp_path, extension, size):
    """Long ones need a longer head, many pages, a wider box."""
    bare = samples_of(write(tmp_path / f"bare.{extension}", Tags()))
    tags = Tags({"comment": "ä" * size} if size else {}, Cover(PNG + bytes(size), "png", 1, 1))
    path = write(tmp_path / f"song.{extension}", tags)
    np.testing.assert_array_equal(samples_of(path), bare)
    again = read_tags(path)
    assert again.text == tags.text
    assert again.cover is not None
    assert again.cover.data.rstrip(b"\0") == PNG
    assert mutagen.File(path) is not None


@pytest.mark.parametrize("extension", FORMATS)
def test_everything_comes_back(tmp_path, extension):
    tags = Tags(TEXT, Cover(PNG, "png", 1, 1))
    again = read_tags(write(tmp_path / f"song.{extension}", tags))
    assert again.cover == tags.cover
    assert again.text == TEXT


def test_odd_names_and_values(tmp_path):
    text = {"a=b~": "x", "größe": "1", "bpm": "fast", "track": "A1", "compilation": "yes"}
    for extension in FORMATS:
        tags = read_tags(write(tmp_path / f"song.{extension}", Tags(text)))
        assert {tags.text["bpm"], tags.text["track"]} == {"fast", "A1"}
    assert mutagen.File(tmp_path / "song.flac")["A_B_"] == ["x"]
    path = write(tmp_path / "dotted.m4a", Tags({"bpm": "127.6"}))
    assert mutagen.mp4.MP4(path)["tmpo"] == [128]


# What programs write, and what is understood of it.

PROGRAMS = {"bpm": "128", "key": "8A", "isrc": "USABC1234567", "comment": "a comment",
            "lyrics": "la\nla", "artist": "One\0Two", "track": "3/12"}  # fmt: skip


def id3_frames(tags):
    tags.add(mutagen.id3.TBPM(text="128"))
    tags.add(mutagen.id3.TKEY(text="8A"))
    tags.add(mutagen.id3.TSRC(text="USABC1234567"))
    tags.add(mutagen.id3.COMM(lang="deu", desc="", text="a comment"))
    tags.add(mutagen.id3.USLT(lang="deu", desc="", text="la\nla"))
    tags.add(mutagen.id3.TPE1(text=["One", "Two"]))
    tags.add(mutagen.id3.TRCK(text="3/12"))
    tags.add(mutagen.id3.TENC(text="an encoder"))
    tags.add(mutagen.id3.APIC(mime="image/png", type=8, desc="artist", data=PNG + b"no front"))
    tags.add(mutagen.id3.APIC(mime="image/png", type=3, desc="front", data=PNG))


@pytest.mark.parametrize("version", [3, 4])
def test_id3_of_programs(tmp_path, version):
    path = write(tmp_path / "song.mp3", Tags())
    file = mutagen.File(path)
    file.add_tags()
    id3_frames(file.tags)
    file.save(v2_version=version, v23_sep="\0")
    assert read_tags(path) == Tags(PROGRAMS, Cover(PNG, "png", 1, 1))


def test_id3_of_old_programs(tmp_path):
    frames = {"TT2": "A title", "TBP": "128", "TKE": "8A", "TRC": "USABC1234567", "TYE": "1999"}
    content = b"".join(
        name.encode() + (len(text) + 1).to_bytes(3) + b"\0" + text.encode()
        for name, text in frames.items()
    )
    path = write(tmp_path / "song.mp3", Tags())
    head = b"ID3\x02\0\0\0\0" + bytes((len(content) >> 7, len(content) & 127))
    path.write_bytes(head + content + path.read_bytes())
    wanted = {"title": "A title", "bpm": "128", "key": "8A", "isrc": "USABC1234567"}
    assert read_tags(path).text == {**wanted, "date": "1999"}


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_riff_info_of_programs(tmp_path, encoding):
    path = tmp_path / "song.wav"
    soundfile.write(path, SAMPLES.T, RATE)
    text = "Größe – “é”".encode(encoding) + b"\0"
    text += bytes(len(text) % 2)
    info = b"INFOINAM" + len(text).to_bytes(4, "little") + text
    data = path.read_bytes() + b"LIST" + len(info).to_bytes(4, "little") + info
    path.write_bytes(data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:])
    assert read_tags(path).text["title"] == "Größe – “é”"


def test_id3_in_wav_files(tmp_path):
    path = write(tmp_path / "song.wav", Tags())
    file = mutagen.wave.WAVE(path)
    file.add_tags()
    id3_frames(file.tags)
    file.save()
    assert read_tags(path) == Tags(PROGRAMS, Cover(PNG, "png", 1, 1))


def test_id3_in_aiff_files(tmp_path):
    path = tmp_path / "song.aiff"
    soundfile.write(path, SAMPLES.T, RATE)
    file = mutagen.aiff.AIFF(path)
    file.add_tags()
    id3_frames(file.tags)
    file.save()
    assert read_tags(path) == Tags(PROGRAMS, Cover(PNG, "png", 1, 1))


@pytest.mark.parametrize("extension", ["flac", "ogg", "opus"])
@pytest.mark.parametrize(
    "names",
    [
        {"key": "INITIALKEY", "comment": "COMMENT", "lyrics": "LYRICS"},
        {"key": "key", "comment": "DESCRIPTION", "lyrics": "UNSYNCEDLYRICS"},
    ],
)
def test_vorbis_comments_of_programs(tmp_path, extension, names):
    path = write(tmp_path / f"song.{extension}", Tags())
    file = mutagen.File(path)
    own = {"bpm": "BPM", "isrc": "isrc", "artist": "Artist", **names}
    for name, field in own.items():
        file[field] = PROGRAMS[name].split("\0")
    file["TRACKNUMBER"], file["TRACKTOTAL"] = "3", "12"
    file.save()
    assert read_tags(path).text == PROGRAMS


def test_fields_that_mean_the_same_are_no_two_values(tmp_path):
    path = write(tmp_path / "song.flac", Tags())
    file = mutagen.File(path)
    file["DATE"], file["YEAR"], file["GENRE"] = "2021-05-06", "2021", ["Pop", "House", "Pop"]
    file.save()
    assert read_tags(path).text == {"date": "2021-05-06", "year": "2021", "genre": "Pop\0House"}


def test_atoms_of_programs(tmp_path):
    path = write(tmp_path / "song.m4a", Tags())
    file = mutagen.mp4.MP4(path)
    file["tmpo"], file["©cmt"], file["©lyr"], file["trkn"] = [128], "a comment", "la\nla", [(3, 12)]
    file["----:com.apple.iTunes:initialkey"] = b"8A"
    file["----:com.apple.iTunes:ISRC"] = b"USABC1234567"
    file["©ART"] = ["One", "Two"]
    file["covr"] = [mutagen.mp4.MP4Cover(PNG, mutagen.mp4.MP4Cover.FORMAT_PNG)]
    file.save()
    assert read_tags(path) == Tags(PROGRAMS, Cover(PNG, "png", 1, 1))


def test_a_bpm_of_0_is_none(tmp_path):
    path = write(tmp_path / "song.m4a", Tags({"title": "Song", "bpm": "0"}))
    assert mutagen.mp4.MP4(path)["tmpo"] == [0]
    assert read_tags(path).text == {"title": "Song"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ID3",
        b"ID3\4\0\0\x7f\x7f\x7f\x7f" + b"TPE1\x7f\x7f\x7f\x7f\0\0",
        b"ID3\4\0\0\0\0\x7f\x7f" + 500 * b"TPE1\0\0\0\0\0\0",
        b"ID3\3\0\0\0\0\0\x20" + b"TPE1\0\0\0\x05\0\0\x09abcd",
        b"RIFF\0\0\0\0WAVEid3 ",
        b"RIFF\xff\xff\xff\xffWAVEdata\xff\xff\xff\xff",
        b"FORM\0\0\0\0AIFF" + b"\0" * 8 * 2000,
        b"fLaC",
        b"fLaC\x84\xff\xff\xff" + b"\xff" * 64,
        b"fLaC\x84\0\0\x08" + bytes(4) + b"\xff" * 4,
        b"OggS",
        b"OggS" + b"\xff" * 500,
        b"\0\0\0\x18ftypM4A " + b"\0\0\0\x08moov" * 10,
    ],
)
def test_damaged_tags_are_none(tmp_path, content):
    path = tmp_path / "song"
    path.write_bytes(content)
    assert read_more_tags(path) == {}


def test_ape_tags_of_an_mp3(tmp_path):
    path = write(tmp_path / "song.mp3", Tags({"title": "By ID3"}))
    tags = mutagen.apev2.APEv2()
    values = {
        "Title": "By APE",
        "Artist": ["One", "Two"],
        "Year": "2021",
        "BPM": "128",
        "Key": "8A",
        "ISRC": "USABC1234567",
        "Comment": "a comment",
        "Lyrics": "first line\nsecond line",
        "MP3GAIN_MINMAX": "089,190",
    }
    for name, value in values.items():
        tags[name] = value
    tags["Cover Art (Front)"] = mutagen.apev2.APEValue(b"cover.png\0" + PNG, mutagen.apev2.BINARY)
    tags.save(path)
    read = read_tags(path)
    assert read.text == {
        "title": "By ID3",
        "artist": "One\0Two",
        "date": "2021",
        "bpm": "128",
        "key": "8A",
        "isrc": "USABC1234567",
        "comment": "a comment",
        "lyrics": "first line\nsecond line",
    }
    assert read.cover == Cover(PNG, "png", 1, 1)
    # Also in front of an ID3v1 tag, and without anything else.
    path.write_bytes(path.read_bytes() + b"TAG" + bytes(125))
    assert read_tags(path).text["bpm"] == "128"
    data = path.read_bytes()
    path.write_bytes(data[data.find(b"\xff\xfb") :])
    assert read_tags(path).text["title"] == "By APE"


@pytest.mark.parametrize("at", range(12, 24))
def test_damaged_ape_tags_are_no_error(tmp_path, at):
    path = write(tmp_path / "song.mp3", Tags({}))
    tags = mutagen.apev2.APEv2()
    tags["BPM"] = "128"
    tags.save(path)
    data = bytearray(path.read_bytes())
    data[len(data) - 32 + at] ^= 0xFF
    path.write_bytes(data)
    assert set(read_tags(path).text) <= {"bpm"}


def frame22(name, content):
    return name + len(content).to_bytes(3, "big") + content


@pytest.mark.parametrize("encoding", [0, 1])
def test_lyrics_of_id3v22(tmp_path, encoding):
    path = write(tmp_path / "song.mp3", Tags({}))

    def text(value):
        return value.encode("utf-16") + b"\0\0" if encoding else value.encode("latin-1") + b"\0"

    frames = frame22(b"TT2", bytes([encoding]) + text("Süß"))
    frames += frame22(b"TBP", bytes([encoding]) + text("128"))
    frames += frame22(b"TKE", bytes([encoding]) + text("8A"))
    frames += frame22(b"COM", bytes([encoding]) + b"eng" + text("") + text("a comment"))
    frames += frame22(b"ULT", bytes([encoding]) + b"eng" + text("") + text("first\nsecond"))
    size = bytes(len(frames) >> shift & 127 for shift in (21, 14, 7, 0))
    data = path.read_bytes()
    path.write_bytes(b"ID3\x02\0\0" + size + frames + data[data.find(b"\xff\xfb") :])
    assert read_tags(path).text == {
        "title": "Süß",
        "bpm": "128",
        "key": "8A",
        "comment": "a comment",
        "lyrics": "first\nsecond",
    }
