import gzip
import json
import math
import sys

import pytest

from partita.errors import ScoresError, UsageError
from partita.evaluation.scores import TargetScores, TrackScores, find_score_files, read_scores


@pytest.fixture
def scores():
    frames = [
        {"SDR": 1.123456789, "ISR": 2.0, "SIR": math.inf, "SAR": -3.0},
        {"SDR": math.nan, "ISR": math.nan, "SIR": math.nan, "SAR": math.nan},
    ]
    target = TargetScores("vocals", frames, {"uSDR": 4.0}, ("vocals", "rest"))
    silent = TargetScores("rest", [], {}, ("vocals", "rest"), "the reference is silent throughout")
    return TrackScores("A – Song", {"vocals": target, "rest": silent}, 0.5, 0.25, {"version": "v4"})


def test_written_and_read_again(scores, tmp_path):
    path = tmp_path / "deep/er/A – Song.json"
    scores.save(path)
    again = read_scores(path)
    assert again.track == "A – Song"
    assert again.settings == {"version": "v4"}
    assert again.window_s == 0.5
    assert again.targets["vocals"].whole == {"uSDR": 4.0}
    assert again.targets["vocals"].scored_with == ("vocals", "rest")
    assert again.targets["rest"].reason == "the reference is silent throughout"
    first, second = again.targets["vocals"].frames
    assert (first["SDR"], first["ISR"], first["SAR"]) == (1.12346, 2.0, -3.0)
    assert math.isnan(first["SIR"])  # museval writes infinities as NaN
    assert all(map(math.isnan, second.values()))
    assert [p.name for p in path.parent.iterdir()] == ["A – Song.json"]


def test_medians_and_a_table(scores, monkeypatch):
    medians = scores.medians()
    assert medians["vocals"] == {"SDR": 1.123456789, "ISR": 2.0, "SIR": math.inf, "SAR": -3.0,
                                 "uSDR": 4.0}  # fmt: skip
    assert math.isnan(medians["rest"]["SDR"])
    assert repr(scores) == "TrackScores('A – Song': median SDR in dB: vocals 1.12, rest nan)"
    assert repr(scores.targets["vocals"]) == (
        "TargetScores('vocals': median SDR 1.12 dB of 2 windows)"
    )
    table = scores.to_pandas()
    assert list(table.columns) == ["track", "target", "time_s", "SDR", "ISR", "SIR", "SAR"]
    assert table["time_s"].tolist() == [0.0, 0.25]
    assert table.groupby("target")["SDR"].median()["vocals"] == 1.123456789
    monkeypatch.setitem(sys.modules, "pandas", None)  # as if it were not installed
    with pytest.raises(UsageError, match="tables need pandas: pip install pandas"):
        scores.to_pandas()


def test_frames_have_their_times(scores):
    frames = scores.to_json()["targets"][0]["frames"]
    assert [(frame["time"], frame["duration"]) for frame in frames] == [(0.0, 0.5), (0.25, 0.5)]


def test_files_of_other_people(tmp_path):
    metrics = {"SDR": 1.0, "ISR": None, "SIR": 2, "SAR": float("nan")}
    frame = {"time": 0.0, "duration": 1.0, "metrics": metrics}
    content = {"targets": [{"name": "vocals", "frames": [frame]}], "museval_version": "0.4.1"}
    path = tmp_path / "Some - Track.json.gz"
    path.write_bytes(gzip.compress(json.dumps(content).encode()))
    scores = read_scores(path)
    assert scores.track == "Some - Track"
    assert scores.targets["vocals"].frames[0]["SIR"] == 2.0
    assert math.isnan(scores.targets["vocals"].frames[0]["ISR"])
    assert scores.targets["vocals"].scored_with == ("vocals",)
    assert find_score_files(tmp_path) == [path]


def test_musevals_sets(tmp_path):
    names = ["vocals", "drums", "bass", "other", "accompaniment"]
    content = {"targets": [{"name": name, "frames": []} for name in names]}
    path = tmp_path / "track.json"
    path.write_text(json.dumps(content))
    sets = {name: target.scored_with for name, target in read_scores(path).targets.items()}
    assert sets["vocals"] == sets["accompaniment"] == ("vocals", "accompaniment")
    assert sets["drums"] == ("vocals", "drums", "bass", "other")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a JSON file"),
        (b"{", "not a JSON file"),
        (b"\xff\xfe\x00", "not a JSON file"),
        (b"[" * 100_000, "not a JSON file"),
        (
            b'{"targets": [{"name": "x", "frames": [{"metrics": {"SDR": 1%s}}]}]}' % (b"0" * 400),
            "schema",
        ),
        (b"[]", "not a score file of museval's schema"),
        (b'{"targets": []}', "no targets"),
        (b'{"targets": [{"name": "x", "frames": [{"time": 0}]}]}', "schema"),
        (b'{"targets": [{"name": "x", "frames": [{"metrics": {"SDR": "high"}}]}]}', "schema"),
    ],
)
@pytest.mark.parametrize("name", ["track.json", "track.json.gz"])
def test_broken_files_are_one_line(content, message, name, tmp_path):
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(ScoresError, match=message) as info:
        read_scores(path)
    assert name in str(info.value)
    assert "\n" not in str(info.value)


def test_a_gz_that_is_none(tmp_path):
    path = tmp_path / "track.json.gz"
    path.write_bytes(b"{}")
    with pytest.raises(ScoresError):
        read_scores(path)


def test_a_damaged_gz(tmp_path):
    path = tmp_path / "track.json.gz"
    whole = gzip.compress(json.dumps(list(range(1000))).encode())
    path.write_bytes(whole[:20] + b"\xff" * 20 + whole[40:])
    with pytest.raises(ScoresError, match="not a JSON file"):
        read_scores(path)


def test_a_small_gz_that_holds_gigabytes(tmp_path):
    path = tmp_path / "track.json.gz"
    path.write_bytes(gzip.compress(bytes(10**7), 1) * 20)  # one after another they are one file
    with pytest.raises(ScoresError, match="larger than any song's scores"):
        read_scores(path)


def test_folders_without_scores(tmp_path):
    with pytest.raises(ScoresError, match="no score files"):
        find_score_files(tmp_path)
    with pytest.raises(ScoresError, match="no such folder"):
        find_score_files(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ScoresError, match="is a file"):
        find_score_files(tmp_path / "file")
