import pytest

from partita.datasets import open_dataset


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
