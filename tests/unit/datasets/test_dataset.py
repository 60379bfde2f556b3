import pytest

from partita.datasets import open_dataset
from partita.errors import UnknownNameError, UsageError


def test_dataset_is_a_sequence_of_tracks(tmp_path, write_track):
    write_track("data/A")
    write_track("data/B")
    data = open_dataset(str(tmp_path / "data"))
    assert len(data) == 2
    assert [track.name for track in data] == ["A", "B"]
    assert data.root == tmp_path / "data"
    assert data.layout == "tracks"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "data: no such folder"),
        (lambda path: path.mkdir(), "data: the folder is empty"),
        (lambda path: path.write_text("?"), "data: is a file, not a data set"),
        (lambda path: (path / "a" / "b").mkdir(parents=True), "data: no data set in here"),
    ],
)
def test_roots_that_are_no_data_sets(tmp_path, make, message):
    make(tmp_path / "data")
    with pytest.raises(UsageError, match=message) as error:
        open_dataset(tmp_path / "data")
    assert "\n" not in str(error.value)


def test_root_is_an_audio_file(write):
    with pytest.raises(UsageError, match=r"song\.wav: is an audio file, not a data set"):
        open_dataset(write("song.wav"))


def test_root_is_a_track(tmp_path, write_track):
    write_track("data/Song")
    dataset = open_dataset(tmp_path / "data" / "Song")
    assert dataset.layout == "track"
    assert dataset.is_one_track
    assert [track.name for track in dataset] == ["Song"]
    assert not open_dataset(tmp_path / "data").is_one_track


def test_root_is_a_folder_of_songs(tmp_path, write):
    write("data/one.wav")
    write("data/two.wav")
    with pytest.raises(UsageError, match="is the folder above meant"):
        open_dataset(tmp_path / "data")


def test_hidden_files_do_not_count(tmp_path, write):
    write("data/.Trash/vocals.wav")
    with pytest.raises(UsageError, match="the folder is empty"):
        open_dataset(tmp_path / "data")
    write("data/Song/vocals.wav")
    write("data/Song/drums.wav")
    write("data/Song/._drums.wav")
    (track,) = open_dataset(tmp_path / "data")
    assert list(track.stems) == ["vocals", "drums"]


def test_unknown_layout(tmp_path):
    with pytest.raises(UnknownNameError, match="unknown layout 'folder'"):
        open_dataset(tmp_path, layout="folder")


@pytest.mark.parametrize("layout", ["musdb18", "musdb18hq", "csv"])
def test_other_layout_than_asked_for(tmp_path, write_track, layout):
    write_track("data/Song")
    with pytest.raises(UsageError, match=f"no data set of layout '{layout}' in here"):
        open_dataset(tmp_path / "data", layout=layout)


def test_subsets(tmp_path, write_track):
    for folder in ("train/A", "valid/B", "test/C", "D"):
        write_track(f"data/{folder}")
    everything = open_dataset(tmp_path / "data")
    assert {track.name: track.subset for track in everything} == {
        "A": "train", "B": "valid", "C": "test", "D": ""
    }  # fmt: skip
    assert [track.name for track in open_dataset(tmp_path / "data", subset="valid")] == ["B"]


def test_subset_without_tracks(tmp_path, write_track):
    write_track("data/train/A")
    with pytest.raises(UsageError, match="has no tracks of subset 'test'; subsets: train"):
        open_dataset(tmp_path / "data", subset="test")


def test_two_tracks_of_one_name(tmp_path, write_track):
    write_track("data/train/A")
    write_track("data/test/A")
    data = open_dataset(tmp_path / "data")
    assert [track.subset for track in data] == ["train"]
    (problem,) = data.problems
    assert str(problem) == "A: two tracks have this name (train and test), the second is left out"


def test_data_sets_and_tracks_fit_into_a_line(write_track, tmp_path):
    write_track("data/train/A", seed=1)
    write_track("data/test/B", seed=2)
    dataset = open_dataset(tmp_path / "data")
    assert repr(dataset) == f"Dataset({str(tmp_path / 'data')!r}: 2 tracks, layout tracks)"
    track = next(track for track in dataset if track.name == "A")
    assert repr(track) == f"Track('A' of train: {', '.join(track.stems)})"
