import contextlib
import os
import tempfile
import unicodedata
from pathlib import Path

import pytest

from partita.datasets import open_dataset
from partita.errors import AudioReadError


def test_folder_for_each_track(tmp_path, write_track):
    write_track("data/A", ("guitar", "rest"), mixture=True)
    write_track("data/B", ("guitar", "rest"))
    data = open_dataset(tmp_path / "data")
    assert data.layout == "tracks"
    first, second = data
    assert list(first.stems) == ["guitar", "rest"]
    assert first.mixture is not None
    assert second.mixture is None
    assert first.path == tmp_path / "data" / "A"


def test_folder_for_each_stem(tmp_path, write):
    for subset in ("train", "test"):
        for stem in ("mixture", "vocals", "accompaniment"):
            write(f"data/{subset}/{stem}/{subset} song.flac")
    data = open_dataset(tmp_path / "data")
    assert data.layout == "stems"
    assert [(track.name, track.subset) for track in data] == [
        ("train song", "train"), ("test song", "test")
    ]  # fmt: skip
    track = data.tracks[0]
    assert list(track.stems) == ["vocals", "accompaniment"]
    assert track.mixture.path == tmp_path / "data/train/mixture/train song.flac"
    assert track.path == tmp_path / "data"


@pytest.mark.parametrize(
    ("files", "layout"),
    [
        # known names decide, however many tracks there are
        (["vocals/a", "drums/a"], "stems"),
        (["a/vocals", "a/drums"], "tracks"),
        (["vocals/a", "vocals/b", "drums/a", "drums/b"], "stems"),
        (["a/vocals", "b/vocals", "a/drums", "b/drums"], "tracks"),
        (["a/Vocals", "a/Drums", "b/Vocals", "b/Drums"], "tracks"),
        (["vocals/a", "drums/a", "theremin/a", "theremin/b", "vocals/b"], "stems"),
        # a song called like an instrument
        (["Piano/vocals", "Piano/drums", "Flute/vocals", "Song/drums", "Song/vocals"], "tracks"),
        # one file a track, all called like stems
        (["a/vocals", "b/vocals", "c/vocals"], "tracks"),
        (["a/no_vocals", "b/no_vocals"], "tracks"),
        (["a/mix", "b/mix"], "tracks"),
        # no known names: a track has several files
        (["a/x", "a/y"], "tracks"),
        (["x/a", "y/a"], "stems"),
        # no known names: the fewer names are the stems
        (["a/x", "a/y", "b/x", "b/y", "c/x", "c/y"], "tracks"),
        (["x/a", "y/a", "x/b", "y/b", "x/c", "y/c"], "stems"),
        (["a/x", "a/y", "b/x", "b/y"], "tracks"),
    ],
)
def test_detection(tmp_path, files, layout):
    for name in files:
        path = tmp_path / "data" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # detection goes by names alone
    assert open_dataset(tmp_path / "data").layout == layout


def test_a_layout_that_is_named_is_not_detected(tmp_path, write):
    write("data/vocals/a.wav")
    write("data/drums/a.wav")
    assert [track.name for track in open_dataset(tmp_path / "data", layout="tracks")] == [
        "drums", "vocals"
    ]  # fmt: skip


def test_names_of_stems_become_lower_case(tmp_path, write):
    for name in ("Vocals", "Drums", "Mixture"):
        write(f"data/Song/{name}.wav")
    (track,) = open_dataset(tmp_path / "data")
    assert list(track.stems) == ["vocals", "drums"]
    assert track.mixture is not None


def test_a_stem_that_is_there_twice(tmp_path, write):
    for name in ("vocals.wav", "vocals.flac", "drums.wav"):
        write(f"data/Song/{name}")
    data = open_dataset(tmp_path / "data")
    (problem,) = data.problems
    assert str(problem) == ("Song: has stem 'vocals' twice: vocals.flac is used, vocals.wav is not")


def test_a_mixture_alone_is_no_track(tmp_path, write, write_track):
    write_track("data/A", mixture=True)
    write("data/B/mixture.wav")
    data = open_dataset(tmp_path / "data")
    assert [track.name for track in data] == ["A"]
    assert [str(problem) for problem in data.problems] == [
        "B: has a mixture but no stems, left out"
    ]


def test_other_files_are_ignored(tmp_path, write_track):
    write_track("data/A")
    (tmp_path / "data/A/notes.txt").write_text("?")
    (tmp_path / "data/mapping.csv").write_text("?")
    data = open_dataset(tmp_path / "data")
    assert (data.layout, len(data), data.problems) == ("tracks", 1, ())


def test_a_real_album(shared_audio):
    album = shared_audio.parent / "multitracks"
    if not album.is_dir():
        pytest.skip("the real multitracks (../shared/multitracks) are not on this machine")
    data = open_dataset(album)
    assert (data.layout, len(data), data.problems) == ("tracks", 7, ())
    excerpt = data.tracks[0].load("linear_mixture", start_s=60, duration_s=1)
    assert excerpt.samples.shape == (2, 48000)


@pytest.mark.parametrize(
    "files",
    [
        ["vocals/take 1", "vocals/take 2", "drums/loop", "drums/fill"],
        ["vocals/a", "vocals/b", "vocals/c", "drums/a", "drums/d", "drums/e", "drums/f"],
        ["vocals/anna/a", "vocals/berta/b", "guitar/x"],
        ["vocals/a", "vocals/b"],
        ["train/vocals/a", "train/drums/b", "valid/vocals/c", "valid/drums/d"],
    ],
)
def test_folders_of_sources_with_unrelated_files(tmp_path, write, files):
    for name in files:
        write(f"data/{name}.wav")
    data = open_dataset(tmp_path / "data")
    assert (data.layout, data.is_aligned, len(data)) == ("unaligned", False, len(files))
    assert all(len(track.stems) == 1 for track in data)
    sources = {s for track in data for s in track.stems}
    assert sources == {"vocals", "drums", "guitar"} & {p for f in files for p in f.split("/")}


def test_sources_with_unusual_names_are_asked_for(tmp_path, write):
    for name in ("theremin/a", "theremin/b", "kazoo/c", "kazoo/d"):
        write(f"data/{name}.wav")
    data = open_dataset(tmp_path / "data", layout="unaligned")
    assert [track.name for track in data] == ["kazoo/c", "kazoo/d", "theremin/a", "theremin/b"]
    assert [list(track.stems) for track in data] == [["kazoo"]] * 2 + [["theremin"]] * 2


def test_nested_and_linked_folders_are_found(tmp_path, write_track):
    write_track("data/disc 1/Intro", seed=1)
    write_track("data/disc 2/Intro", seed=2)
    write_track("elsewhere/Linked", seed=3)
    (tmp_path / "data/disc 2/Linked").symlink_to(tmp_path / "elsewhere/Linked")
    (tmp_path / "data/disc 2/above").symlink_to(tmp_path / "data")  # a loop
    data = open_dataset(tmp_path / "data")
    assert data.layout == "tracks"
    assert [track.name for track in data] == ["disc 1/Intro", "disc 2/Intro", "Linked"]
    assert data.problems == ()


def test_a_folder_in_a_folder(tmp_path, write_track):
    write_track("data/My Songs/train/A")
    write_track("data/My Songs/test/B")
    assert [(t.name, t.subset) for t in open_dataset(tmp_path / "data")] == [
        ("A", "train"), ("B", "test")
    ]  # fmt: skip


def test_other_names_of_subsets(tmp_path, write_track):
    for folder in ("Train/A", "validation/B", "TEST/C"):
        write_track(f"data/{folder}")
    data = open_dataset(tmp_path / "data")
    assert [(t.name, t.subset) for t in data] == [("A", "train"), ("B", "valid"), ("C", "test")]


def test_stems_in_a_folder_of_their_own(tmp_path, write):
    for song in ("A", "B"):
        for name in ("mix", "stems/vocals", "stems/drums"):
            write(f"data/{song}/{name}.wav")
    data = open_dataset(tmp_path / "data")
    assert [(t.name, list(t.stems)) for t in data] == [
        ("A", ["vocals", "drums"]), ("B", ["vocals", "drums"])
    ]  # fmt: skip
    assert data.tracks[0].mixture.path.name == "mix.wav"


def test_names_that_look_the_same_are_two_tracks(tmp_path, write_track):
    for form in ("NFC", "NFD"):
        write_track(f"data/{unicodedata.normalize(form, 'Café')}", ("vocals", "drums"))
    data = open_dataset(tmp_path / "data")
    assert [track.name for track in data] == [unicodedata.normalize("NFC", "Café")]
    assert "two tracks have this name" in str(data.problems[0])


def test_a_link_that_leads_nowhere_is_told(tmp_path, write_track):
    write_track("data/A")
    (tmp_path / "data/A/guitar.wav").symlink_to(tmp_path / "gone.wav")
    (track,) = open_dataset(tmp_path / "data")
    with pytest.raises(AudioReadError, match=r"guitar\.wav"):
        track.load("guitar")


@contextlib.contextmanager
def nobody():
    """Be somebody whom permissions hold back, which they do not do with root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions are POSIX's")
def test_folders_that_cannot_be_read_are_told(write_track):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        for song in ("A", "B"):
            write_track(root / song)
        (root / "B").chmod(0)
        with nobody():
            data = open_dataset(root)
        (root / "B").chmod(0o755)
    assert [track.name for track in data] == ["A"]
    assert str(data.problems[0]).endswith("B: cannot be read, left out: Permission denied")


@pytest.mark.parametrize("name", ["{song}_{stem}", "{stem} - {song}", "{song} ({stem})", "{song}"])
def test_files_that_repeat_the_name_of_the_stem(tmp_path, write, name):
    for song in ("One", "Two"):
        for stem in ("vocals", "drums"):
            write(f"data/{stem}/{name.format(song=song, stem=stem)}.wav")
    data = open_dataset(tmp_path / "data")
    assert (data.layout, data.is_aligned) == ("stems", True)
    assert [(t.name, list(t.stems)) for t in data] == [
        ("One", ["vocals", "drums"]), ("Two", ["vocals", "drums"])
    ]  # fmt: skip


def test_what_lies_below_a_track_is_not_another_one(tmp_path, write_track, write):
    for song in ("A", "B"):
        write_track(f"data/{song}")
        write(f"data/{song}/raw/mic 1.wav")
    data = open_dataset(tmp_path / "data")
    assert [track.name for track in data] == ["A", "B"]
    assert all(len(track.stems) == 4 for track in data)


def make_folders(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)


def test_folders_without_audio_are_told(tmp_path, write_track):
    """An empty song folder is one whose download failed, perhaps."""
    for track in ("A", "Album/B", "train/C"):
        write_track(f"data/{track}")
    bare = ("Album/Empty", "Deep/er", "Notes", "valid", "train/Void/stems")
    make_folders(tmp_path / "data", *bare, "A/artwork", ".hidden")
    (tmp_path / "data/Notes/notes.txt").write_text("?")
    data = open_dataset(tmp_path / "data")
    assert (data.layout, len(data), data.problems) == ("tracks", 3, ())
    expected = "valid, train/Void, Album/Empty, Deep, Notes: hold no audio, left out"
    assert [str(warning) for warning in data.warnings] == [expected]


@pytest.mark.parametrize("layout", ["stems", "unaligned"])
def test_sources_without_audio_are_told(tmp_path, write, layout):
    for stem in ("vocals", "bass"):
        write(f"data/{stem}/Song.wav")
    make_folders(tmp_path / "data", "drums")
    data = open_dataset(tmp_path / "data", layout=layout)
    assert [str(warning) for warning in data.warnings] == ["drums: holds no audio, left out"]


def test_many_folders_without_audio_are_one_line(tmp_path, write_track):
    write_track("data/A")
    make_folders(tmp_path / "data", *(f"Empty {index}" for index in range(11)))
    (warning,) = open_dataset(tmp_path / "data").warnings
    assert str(warning).endswith("Empty 5, Empty 6 and 3 more: hold no audio, left out")
