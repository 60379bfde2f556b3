import json

import av
import numpy as np
import pytest

from partita.audio.mp4_boxes import set_user_data
from partita.datasets import open_dataset
from partita.datasets.musdb import VALIDATION_TRACKS


def test_stem_mp4_files(tmp_path, write_stem_mp4):
    for name in ("train/A - B", "train/Meaxic - Take A Step", "test/C - D"):
        write_stem_mp4(f"data/{name}.stem.mp4")
    data = open_dataset(tmp_path / "data")
    assert (data.layout, data.problems) == ("musdb18", ())
    assert {track.name: track.subset for track in data} == {
        "A - B": "train", "Meaxic - Take A Step": "valid", "C - D": "test"
    }  # fmt: skip
    track = data.tracks[0]
    assert {name: file.stream for name, file in track.files.items()} == {
        "vocals": 4, "drums": 1, "bass": 2, "other": 3, "mixture": 0
    }  # fmt: skip
    assert list(track.stems) == ["vocals", "drums", "bass", "other"]
    assert [each.name for each in open_dataset(tmp_path / "data", subset="train")] == ["A - B"]


def test_stem_mp4_files_without_subsets(tmp_path, write_stem_mp4):
    path = write_stem_mp4("data/A - B.stem.mp4")
    for root in (tmp_path / "data", path):
        (track,) = open_dataset(root)
        assert (track.name, track.subset, track.path) == ("A - B", "", path)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Drums", "Bass", "Synth", "Vox"], {"drums": 1, "bass": 2, "synth": 3, "vocals": 4}),
        (["vocals", "bass", "drums", "other"], {"vocals": 1, "bass": 2, "drums": 3, "other": 4}),
        (["no_vocals", "empty", "empty", "vocals"], {"no_vocals": 1, "vocals": 4}),
        # No names at all: by position, as MUSDB18 has them.
        (["", "", "", ""], {"drums": 1, "bass": 2, "other": 3, "vocals": 4}),
        (["Stem", "Stem", "Stem", "Stem"], {"drums": 1, "bass": 2, "other": 3, "vocals": 4}),
        (["Drums", "Bass"], {"drums": 1, "bass": 2, "other": 3, "vocals": 4}),
    ],
)
def test_names_in_the_file_count_more_than_positions(write_stem_mp4, names, expected):
    path = write_stem_mp4("A - B.stem.mp4")
    stems = [{"name": name, "color": "#000000"} for name in names]
    set_user_data(path, {b"stem": json.dumps({"stems": stems}).encode()})
    (track,) = open_dataset(path)
    assert {name: file.stream for name, file in track.stems.items()} == expected


def test_titles_of_streams_are_names_too(tmp_path):
    path = tmp_path / "A - B.stem.mp4"
    titles = ["mix", "vocals", "flute", "rest"]
    with av.open(str(path), "w", format="mp4") as container:
        streams = []
        for title in titles:
            streams.append(container.add_stream("aac", rate=44100, layout="stereo"))
            streams[-1].metadata["title"] = title
        frame = np.zeros((2, 4096), np.float32)
        for stream in streams:
            audio = av.AudioFrame.from_ndarray(frame, format="fltp", layout="stereo")
            audio.sample_rate = 44100
            container.mux(stream.encode(audio))
            container.mux(stream.encode(None))
    (track,) = open_dataset(path)
    assert {name: file.stream for name, file in track.files.items()} == {
        "mixture": 0, "vocals": 1, "flute": 2, "rest": 3
    }  # fmt: skip


def test_broken_stem_mp4_files_are_left_out(tmp_path, write, write_stem_mp4):
    write_stem_mp4("data/train/Good.stem.mp4")
    (tmp_path / "data/train/Broken.stem.mp4").write_bytes(b"no mp4" * 100)
    (tmp_path / "data/train/Empty.stem.mp4").touch()
    write("data/train/single.wav").rename(tmp_path / "data/train/Single.stem.mp4")
    data = open_dataset(tmp_path / "data")
    assert [track.name for track in data] == ["Good"]
    what = {problem.where.rpartition("/")[2]: problem.what for problem in data.problems}
    assert "cannot be decoded, left out" in what["Broken.stem.mp4"]
    assert "cannot be decoded, left out" in what["Empty.stem.mp4"]
    assert what["Single.stem.mp4"] == "has 1 audio streams instead of 5, left out"


def test_nothing_but_broken_files_is_a_data_set_with_problems(tmp_path):
    path = tmp_path / "Broken.stem.mp4"
    path.write_bytes(b"no mp4")
    data = open_dataset(path)
    assert (len(data), len(data.problems)) == (0, 1)


def test_wav_files(tmp_path, write_track):
    for name in ("train/A - B", "train/Leaf - Summerghost", "test/C - D"):
        write_track(f"data/{name}", mixture=True)
    write_track("data/test/E - F", ("vocals", "bass", "other"))
    data = open_dataset(tmp_path / "data")
    assert data.layout == "musdb18hq"
    assert {track.name: track.subset for track in data} == {
        "A - B": "train", "Leaf - Summerghost": "valid", "C - D": "test"
    }  # fmt: skip
    assert all(track.mixture is not None for track in data)
    assert [str(problem) for problem in data.problems] == [
        "E - F: lacks mixture.wav, drums.wav, left out"
    ]


def test_a_folder_valid_is_another_split(tmp_path, write_track):
    for name in ("train/Leaf - Summerghost", "valid/A - B"):
        write_track(f"data/{name}", mixture=True)
    data = open_dataset(tmp_path / "data")
    assert (data.layout, len(data)) == ("tracks", 2)
    assert data.tracks[0].subset == "train"


def test_other_stems_are_another_data_set(tmp_path, write, write_track):
    for name in ("train/A", "train/B", "test/C"):
        write_track(f"data/{name}", mixture=True)
    write("data/train/A/guitar.wav")
    data = open_dataset(tmp_path / "data")
    assert data.layout == "tracks"
    assert "guitar" in data.tracks[0].stems


def test_mostly_incomplete_tracks_are_another_data_set(tmp_path, write_track):
    for name in ("train/A", "test/B"):
        write_track(f"data/{name}", mixture=name == "train/A")
    assert open_dataset(tmp_path / "data").layout == "tracks"
    data = open_dataset(tmp_path / "data", layout="musdb18hq")
    assert (len(data), len(data.problems)) == (1, 1)


def test_validation_tracks():
    assert len(VALIDATION_TRACKS) == 14


def test_a_real_file(shared_audio):
    (track,) = open_dataset(shared_audio / "music-delta-80s-rock.stem.mp4")
    assert (track.name, track.rate, track.channels) == ("music-delta-80s-rock", 44100, 2)
    assert track.duration_s == pytest.approx(6.8)
    difference = track.load("mixture").samples - track.load("linear_mixture").samples
    assert difference.square().sum() < 1e-3 * track.audio.square().sum()
