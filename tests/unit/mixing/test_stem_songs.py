import os

import numpy as np
import pytest
import soundfile

from mix_songs import RATE, noise_stems, write_stems
from partita.audio.encode import encode_file
from partita.audio.formats import stem_format
from partita.audio.stem_mp4 import encode_stem_mp4
from partita.audio.tags import Tags
from partita.errors import AudioReadError
from partita.mixing.song import StemBlocks, find_song
from partita.separation.batch.manifest import Making, Manifest

STEMS = noise_stems(3000)


def song_of(tmp_path, *names, suffix="wav"):
    return write_stems(tmp_path / "song", noise_stems(3000, names), suffix=suffix)


def all_blocks(song):
    with StemBlocks(song) as reader:
        return np.concatenate(list(reader.blocks()), axis=-1)


def test_stems_of_a_folder(tmp_path):
    song = find_song(write_stems(tmp_path / "A song", STEMS))
    assert (song.name, list(song.stems), song.notes) == ("A song", list(STEMS), ())
    assert np.array_equal(all_blocks(song), np.stack(list(STEMS.values())))


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (["vocals", "no_vocals"], ["vocals", "no_vocals"]),
        (["vocals", "accompaniment"], ["vocals", "accompaniment"]),
        (["vocals", "drums", "bass", "no_vocals", "accompaniment"], ["vocals", "drums", "bass"]),
        (["drums", "bass", "drums+bass", "other"], ["drums", "bass", "other"]),
        (["drums+bass", "other"], ["other", "drums+bass"]),
        (["mixture", "vocals", "drums"], ["vocals", "drums"]),
        (["vocals"], ["vocals"]),
    ],
)
def test_sums_of_other_stems_are_left_out(tmp_path, names, kept):
    song = find_song(song_of(tmp_path, *names))
    assert list(song.stems) == kept
    left = {*names} - {*kept} - {"mixture"}
    assert len(song.notes) == bool(left)
    assert all(name in song.notes[0] for name in left)


def test_of_several_formats_the_lossless_one_is_read(tmp_path):
    song_of(tmp_path, "vocals", "drums", suffix="flac")
    song_of(tmp_path, "vocals", suffix="ogg")
    song = find_song(tmp_path / "song")
    assert {path.name for path in song.paths} == {"vocals.flac", "drums.flac"}
    assert song.notes == ("vocals is read from vocals.flac, not vocals.ogg",)


def write_stem_mp4(path, stems):
    mixture = sum(stems.values())
    signals = {name: [samples] for name, samples in stems.items()}
    form = stem_format("stem.mp4")
    encode_stem_mp4(path, [mixture], signals, form, sample_rate=RATE, tags=Tags())


def test_files_with_all_stems(tmp_path):
    path = tmp_path / "song" / "A.stem.mp4"
    path.parent.mkdir()
    write_stem_mp4(path, noise_stems(5000, ("drums", "piano")))
    for place in (path, path.parent):
        song = find_song(place)
        assert (song.name, list(song.stems)) == ("A", ["drums", "piano"])
        assert all_blocks(song).shape == (2, 2, 5000)
    write_stem_mp4(tmp_path / "song" / "B.stem.mp4", noise_stems(5000, ("drums",)))
    with pytest.raises(AudioReadError, match="holds 2 songs: name one"):
        find_song(path.parent)


def test_stems_of_an_interrupted_separation(tmp_path):
    folder = write_stems(tmp_path / "song", STEMS)
    paths = {stem: folder / f"{stem}.wav" for stem in STEMS}
    with Manifest(folder / ".stems-0123.json").replacing(paths):
        with pytest.raises(AudioReadError, match=r"wav was about to be replaced when a separ"):
            find_song(folder)
        write_stems(folder, STEMS)
    Manifest(folder / ".stems-0123.json").write(paths, Making("1", "m", "0", {}), None)
    assert list(find_song(folder).stems) == list(STEMS)


def test_decoders_may_lose_the_end_of_lossy_stems(tmp_path):
    stems = noise_stems(44100, ("vocals", "drums"))
    stems["vocals"][:, :5000] = 0
    stems["drums"][:, 5000:] = 0
    song = find_song(write_stems(tmp_path / "song", stems, suffix="ogg"))
    assert all_blocks(song).shape == (2, 2, 44100)
    write_stems(tmp_path / "song", {"drums": stems["drums"][:, :38000]}, suffix="ogg")
    with pytest.raises(AudioReadError, match=r"drums.ogg ends after 0.8.* s, vocals.ogg goes"):
        all_blocks(find_song(tmp_path / "song"))


def test_links_are_followed(tmp_path):
    write_stems(tmp_path / "real", STEMS)
    (tmp_path / "song").mkdir()
    for name in STEMS:
        (tmp_path / "song" / f"{name}.wav").symlink_to(tmp_path / "real" / f"{name}.wav")
    (tmp_path / "link").symlink_to(tmp_path / "song")
    assert all_blocks(find_song(tmp_path / "link")).shape == (4, 2, 3000)


def test_tags_are_the_songs(tmp_path):
    folder = tmp_path / "song"
    folder.mkdir()
    for name, tags in (("vocals", {"title": "Hey (vocals)", "artist": "X"}), ("drums", {})):
        path = folder / f"{name}.flac"
        form = stem_format("flac")
        encode_file(
            path, [STEMS["vocals"]], form, sample_rate=RATE, channels=2, frames=3000,
            tags=Tags(tags),
        )  # fmt: skip
    assert find_song(folder).tags().text == {"title": "Hey", "artist": "X"}
    (folder / "vocals.flac").unlink()
    assert find_song(folder).tags().text == {"title": "song"}


def empty(folder):
    pass


def with_folders(folder):
    (folder / "inner").mkdir()


def broken_link(folder):
    (folder / "vocals.wav").symlink_to(folder / "none.wav")


def text_file(folder):
    (folder / "vocals.wav").write_text("not audio")


def nan(folder):
    samples = STEMS["drums"].copy()
    samples[:, 2000] = np.nan
    write_stems(folder, {**STEMS, "drums": samples})


def lengths(folder):
    write_stems(folder, {**STEMS, "drums": STEMS["drums"][:, :2500]})


def rates(folder):
    write_stems(folder, STEMS)
    write_stems(folder, {"drums": STEMS["drums"]}, rate=48000)


def channels(folder):
    write_stems(folder, {**STEMS, "drums": STEMS["drums"][:1]})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (empty, "there are no stems in it: separate a song first"),
        (with_folders, r"no stems in it but folders \(inner\): name those of songs"),
        (broken_link, "vocals.wav: no such file"),
        (text_file, "vocals.wav: not an audio file"),
        (nan, r"drums.wav: NaN or infinite samples from 0.045 s on"),
        (lengths, "different lengths: drums.wav ends after 0.057 s, vocals.wav goes on"),
        (rates, "vocals.wav has 44100 Hz and 2 channels, drums.wav 48000 Hz and 2"),
        (channels, "vocals.wav has 44100 Hz and 2 channels, drums.wav 44100 Hz and 1"),
    ],
)
def test_songs_that_cannot_be_mixed(tmp_path, spoil, message):
    folder = tmp_path / "song"
    folder.mkdir()
    spoil(folder)
    with pytest.raises(AudioReadError, match=message) as error:
        all_blocks(find_song(folder))
    assert "\n" not in str(error.value)


def test_paths_that_are_no_folders(tmp_path):
    with pytest.raises(AudioReadError, match="no such folder"):
        find_song(tmp_path / "none")
    soundfile.write(tmp_path / "a.wav", np.zeros(100), RATE)
    with pytest.raises(AudioReadError, match="is a file: name the folder of the stems"):
        find_song(tmp_path / "a.wav")
    (tmp_path / "a.stem.mp4").write_bytes(b"nonsense")
    with pytest.raises(AudioReadError, match="cannot be decoded"):
        find_song(tmp_path / "a.stem.mp4")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folders_that_may_not_be_read(tmp_path):
    folder = write_stems(tmp_path / "song", STEMS)
    folder.chmod(0)
    try:
        with pytest.raises(AudioReadError, match="cannot be read"):
            find_song(folder)
    finally:
        folder.chmod(0o700)
