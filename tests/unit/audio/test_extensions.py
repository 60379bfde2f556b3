import pytest

from audio_files import encode, tones
from partita.audio.extensions import AUDIO_EXTENSIONS
from partita.audio.reader import open_audio

FILMS = "mp4 m4v mov mkv webm avi wmv flv mpg mpeg ts m2ts mts vob 3gp 3g2 ogv mxf rm"
SONGS = (
    "wav wave flac ogg oga opus mp3 m4a m4b aac wma aif aiff aifc caf au w64 rf64 ape wv ac3 eac3 "
    "dts mka mp2 tta spx dsf mpc tak amr snd"
)
OTHERS = (
    "txt srt vtt ass lrc nfo jpg jpeg png gif bmp webp tif pdf cue m3u m3u8 pls json xml html zip "
    "py sub idx sup h264 hevc yuv heic avif svg psd exr log md str dat bin"
)


@pytest.mark.parametrize("extension", [*FILMS.split(), *SONGS.split()])
def test_sound_is_found(extension):
    assert f".{extension}" in AUDIO_EXTENSIONS


@pytest.mark.parametrize("extension", OTHERS.split())
def test_other_things_are_not(extension):
    assert f".{extension}" not in AUDIO_EXTENSIONS


def test_extensions_are_as_paths_have_them():
    assert all(each.startswith(".") and each == each.lower() for each in AUDIO_EXTENSIONS)


@pytest.mark.parametrize(
    ("extension", "codec", "container"),
    [
        ("m4v", "aac", "mp4"),
        ("wmv", "wmav2", "asf"),
        ("mpg", "mp2", "mpeg"),
        ("ts", "mp2", "mpegts"),
        ("flv", "aac", "flv"),
        ("3gp", "aac", "3gp"),
        ("mp2", "mp2", "mp2"),
        ("tta", "tta", "tta"),
        ("wv", "wavpack", "wv"),
        ("ac3", "ac3", "ac3"),
    ],
)
def test_what_is_found_is_read(tmp_path, extension, codec, container):
    path = encode(tmp_path / f"song.{extension}", tones(0, 2), codec, container=container)
    with open_audio(path) as reader:
        assert sum(block.shape[1] for block in reader.blocks()) >= 2 * reader.sample_rate - 3000
