import math

import pytest

from partita.evaluation.aggregate import summarise
from partita.evaluation.scores import METRICS, TargetScores, TrackScores


def track(name, sdr, together=("vocals", "rest")):
    frames = [dict.fromkeys(METRICS, value) for value in sdr]
    return TrackScores(name, {"vocals": TargetScores("vocals", frames, {"uSDR": 3.0}, together)})


def test_medians_leave_windows_without_a_figure_out():
    medians = track("a", [1.0, math.nan, 2.0, 9.0, math.nan]).medians()
    assert medians["vocals"]["SDR"] == 2.0
    assert medians["vocals"]["uSDR"] == 3.0
    assert math.isnan(track("b", [math.nan]).medians()["vocals"]["SIR"])


def test_median_of_medians():
    tracks = [track("a", [1.0, 5.0, 6.0]), track("b", [7.0]), track("c", [math.nan])]
    summary = summarise(tracks)["vocals"]
    assert summary.medians["SDR"] == 6.0  # of 5 and 7; the third has none
    assert (summary.tracks, summary.unscored) == (2, 1)
    assert summary.scored_with == ("vocals", "rest")
    low, high = summary.intervals["SDR"]
    assert (low, high) == (5.0, 7.0)


def test_different_sets_are_told():
    mixed = [track("a", [1.0]), track("b", [2.0], ("vocals", "accompaniment"))]
    assert summarise(mixed)["vocals"].scored_with == ()


def test_one_track_has_no_interval():
    assert all(map(math.isnan, summarise([track("a", [1.0])])["vocals"].intervals["SDR"]))


def test_intervals_shrink_with_tracks_and_repeat():
    def width(count):
        tracks = [track(str(index), [float(index % 10)]) for index in range(count)]
        low, high = summarise(tracks)["vocals"].intervals["SDR"]
        return high - low

    assert width(200) < width(20)
    assert width(20) == pytest.approx(width(20), abs=0)


def test_infinite_figures_are_left_out_as_in_files():
    tracks = [track("a", [1.0, math.inf, -math.inf]), track("b", [3.0]), track("c", [math.inf])]
    summary = summarise(tracks)["vocals"]
    assert summary.medians["SDR"] == 2.0
    assert summary.intervals["SDR"] == (1.0, 3.0)
    perfect = summarise([track("a", [math.inf, math.inf])])["vocals"]
    assert (perfect.medians["SDR"], perfect.tracks, perfect.unscored) == (math.inf, 1, 0)
