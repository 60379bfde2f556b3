import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from partita.errors import UnknownNameError, UsageError
from partita.evaluation.aggregate import bootstrap_interval, track_values
from partita.evaluation.paired import holm, least_p, paired_differences, wilcoxon_p
from partita.evaluation.scores import METRICS, TargetScores, TrackScores

FIGURES = st.lists(st.integers(-2000, 2000), min_size=2, max_size=12)


def track(name, sdr, together=("vocals", "rest"), target="vocals"):
    frames = [dict.fromkeys(METRICS, value) for value in sdr]
    return TrackScores(name, {target: TargetScores(target, frames, {"uSDR": 3.0}, together)})


def system(*sdr, **options):
    return [track(f"song {index}", [value], **options) for index, value in enumerate(sdr)]


def compare(first, second, **options):
    (found,) = paired_differences({"a": first, "b": second}, **options)
    return found


def test_differences_are_those_of_medians_over_windows_on_tracks_of_both():
    first = [track("x", [1.0, 5.0, 9.0, math.nan]), track("y", [2.0]), track("mine", [70.0])]
    second = [track("y", [4.0]), track("x", [3.0, 4.0]), track("theirs", [0.0])]
    found = compare(first, second)
    assert found.differences == {"x": 1.5, "y": -2.0}
    assert (found.median, found.mean, found.left_out) == (-0.25, -0.25, 0)
    assert found.median_interval == (-2.0, 1.5)
    assert (found.first, found.second, found.target, found.metric) == ("a", "b", "vocals", "SDR")
    assert compare(first, second, metric="uSDR").differences == {"x": 0, "y": 0}


def test_p_by_hand():
    """Of six tracks, all better: two of the 2^6 signs; five: 2/32."""
    assert compare(system(*range(1, 7)), system(*[0.0] * 6)).p == pytest.approx(2 / 64)
    five = compare(system(*range(1, 6)), system(*[0.0] * 5))
    assert five.p == pytest.approx(2 / 32)
    assert five.remark == "5 tracks: p is at least 0.0625, never below 0.05"
    # Ranks 1, 2, 3 with one negative of rank 1: W = 1; P(W <= 1) = 2/8, two-sided 4/8.
    assert wilcoxon_p([-1.0, 2.0, 3.0]) == pytest.approx(0.5)
    # Zeros are left out: the same as [1, 2]; ties share ranks: W = 1.5 of [1.5, 1.5, 3].
    assert wilcoxon_p([0.0, 0.0, 1.0, 2.0]) == pytest.approx(0.5)
    assert wilcoxon_p([1.0, -1.0, 2.0]) == pytest.approx(6 / 8)
    assert wilcoxon_p([0.0, 0.0, 0.0]) == 1.0


def test_p_is_scipys():
    rng = np.random.default_rng(0)
    for count in (6, 13, 14, 50, 51, 100):
        first, second = rng.normal(5, 1, count).round(4), rng.normal(4.6, 1, count).round(4)
        found = compare(system(*first), system(*second))
        expected = wilcoxon(np.round(first - second, 5))
        assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
        assert found.p == found.adjusted_p
        assert found.remark == ""
        assert found.median == pytest.approx(np.median(first - second))
        assert found.mean == pytest.approx(np.mean(first - second))


def test_rounding_makes_no_ranks():
    """0.3 - 0.1 and 0.5 - 0.3 differ in their last bit; as figures in dB they are equal."""
    first, second = system(0.3, 0.5, 0.1), system(0.1, 0.3, 0.3)
    assert set(compare(first, second).differences.values()) == {0.2, -0.2}
    assert compare(first, second).p == pytest.approx(wilcoxon_p([1.0, 1.0, -1.0]))


@pytest.mark.slow
@settings(max_examples=25)
@given(FIGURES, st.randoms(use_true_random=False))
def test_antisymmetry_and_shifts(values, random):
    theirs = [random.randint(-2000, 2000) / 64 for _ in values]
    first, second = system(*(value / 64 for value in values)), system(*theirs)
    forth, back = compare(first, second), compare(second, first)
    assert back.differences == {name: -value for name, value in forth.differences.items()}
    assert (back.median, back.mean) == (-forth.median, -forth.mean)
    assert back.p == pytest.approx(forth.p)
    for name in ("median_interval", "mean_interval"):
        low, high = getattr(forth, name)
        assert getattr(back, name) == pytest.approx((-high, -low))
        assert low <= high
    higher = compare(system(*((value + 128) / 64 for value in values)), second)
    assert higher.median == pytest.approx(forth.median + 2)
    assert higher.median_interval == pytest.approx([edge + 2 for edge in forth.median_interval])


@given(st.lists(st.floats(0, 1) | st.just(math.nan), max_size=8))
def test_holm(values):
    adjusted = holm(values)
    made = sorted((p, a) for p, a in zip(values, adjusted, strict=True) if not math.isnan(p))
    assert [math.isnan(a) for a in adjusted] == [math.isnan(p) for p in values]
    assert all(p <= a <= 1 for p, a in made)
    assert [a for _, a in made] == sorted(a for _, a in made)
    if made:
        assert made[0][1] == pytest.approx(min(1, made[0][0] * len(made)))


def test_holm_by_hand():
    assert holm([0.01, 0.04, math.nan, 0.03])[:2] == pytest.approx([0.03, 0.06])
    assert holm([0.01, 0.04, math.nan, 0.03])[3] == pytest.approx(0.06)  # not 0.04 < 0.06
    assert holm([]) == []


def test_all_pairs_of_all_targets_share_one_correction():
    better, worse = system(*range(10, 16)), system(*range(6))
    other = system(*range(20, 26), target="drums", together=("drums", "rest"))
    systems = {"a": [*better, *other], "b": worse, "c": worse}
    found = paired_differences({name: _merged(tracks) for name, tracks in systems.items()})
    assert [(each.first, each.second, each.target) for each in found] == [
        ("a", "b", "vocals"),
        ("a", "c", "vocals"),
        ("b", "c", "vocals"),
    ]  # only a has drums
    assert [each.p for each in found] == pytest.approx([2 / 64, 2 / 64, 1.0])
    assert [each.adjusted_p for each in found] == pytest.approx([6 / 64, 6 / 64, 1.0])
    one = paired_differences({"a": better, "b": worse, "c": worse}, pairs=[("c", "a")])
    assert [(each.first, each.second) for each in one] == [("c", "a")]
    assert one[0].adjusted_p == pytest.approx(2 / 64)


def _merged(tracks):
    targets = {}
    for each in tracks:
        targets.setdefault(each.track, {}).update(each.targets)
    return [TrackScores(name, found) for name, found in targets.items()]


def test_few_tracks_are_said():
    one = compare(system(3.0), system(1.0))
    assert (one.median, one.mean) == (2.0, 2.0)
    assert all(map(math.isnan, (*one.median_interval, *one.mean_interval, one.p, one.adjusted_p)))
    assert one.remark == "one track: no interval, no test"
    none = compare([track("x", [1.0])], [track("y", [1.0])])
    assert (none.differences, none.remark) == ({}, "no track has figures of both: no difference")
    assert math.isnan(none.median)
    assert compare(system(1, 2), system(2, 2)).remark.startswith("2 tracks: p is at least 0.5")
    assert (least_p(5), least_p(6), least_p(6, tests=10)) == (1 / 16, 1 / 32, 10 / 32)
    assert least_p(1) == 1.0


def test_tracks_without_a_figure_and_other_sets_are_counted():
    first = system(1.0, math.nan, math.inf, 4.0)
    second = [*system(1.0, 2.0, 3.0), track("song 3", [2.0], together=("vocals", "drums", "rest"))]
    found = compare(first, second)
    assert found.differences == {"song 0": 0.0, "song 3": 2.0}
    assert (found.left_out, found.unlike) == (2, 1)


def test_names_of_tracks_are_in_one_unicode_form():
    found = compare([track("Cafe\N{COMBINING ACUTE ACCENT}", [1.0])], [track("Café", [3.0])])
    assert found.differences == {"Café": -2.0}


def test_unknown_systems():
    with pytest.raises(UnknownNameError, match="unknown system 'c'"):
        paired_differences({"a": system(1), "b": system(2)}, pairs=[("a", "c")])


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(UsageError, match=r"tests need SciPy: pip install \"partita\[compare\]\""):
        compare(system(1, 2), system(3, 5))


def test_bootstrap_intervals_of_means_and_medians():
    values = [0.0, 0.0, 0.0, 0.0, 10.0]
    low, high = bootstrap_interval(values, statistic="mean")
    assert 0 <= low < 2 < high <= 10
    assert bootstrap_interval(values) == (0.0, 10.0)
    assert bootstrap_interval([*values, math.nan, math.inf]) == (0.0, 10.0)
    assert bootstrap_interval(values, seed=1, statistic="mean") == pytest.approx((low, high), abs=1)


def test_values_of_tracks_by_target():
    systems = {
        "a": [track("x", [1.0, 3.0, 2.0]), track("y", [math.nan])],
        "b": [track("x", [5.0], target="drums"), track("z", [5.0], target="bass")],
    }
    values = track_values(systems)
    assert list(values) == ["vocals", "drums", "bass"]
    assert values["vocals"]["a"]["x"] == 2.0
    assert math.isnan(values["vocals"]["a"]["y"])
    assert values["drums"] == {"b": {"x": 5.0}}
    assert math.isnan(track_values(systems, "SI-SAR")["drums"]["b"]["x"])
