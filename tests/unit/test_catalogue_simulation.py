"""benchmarks/catalogue_simulation.py: queues that can be computed by hand, real requests."""

import sys

import numpy as np
import pytest

from common import load_script


@pytest.fixture
def script(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    load_script("catalogue_costs", monkeypatch, "benchmarks")
    return load_script("catalogue_simulation", monkeypatch, "benchmarks")


@pytest.fixture
def measured(script):
    names = ("song_s", "song_ratio", "rest_s", "rest_ratio", "bytes_in", "bytes_out", "reads")
    names = (*names, "writes", "plan_s", "fingerprint_s", "fingerprint_reads", "plan_bytes")
    zeros = dict.fromkeys((*names, "record_bytes", "dispatch_s", "survey_s"), 0.0)
    return script.Measured(model="none", stems=4, **{**zeros, "song_ratio": 0.5})


def test_one_worker_is_busy_with_all_songs(script, measured, monkeypatch):
    monkeypatch.setattr(script, "LOST", 0.0)
    monkeypatch.setattr(script, "REQUEST_S", 0.0)
    lengths = script.lengths_of(1000)
    assert list(lengths) == sorted(lengths, reverse=True)
    assert np.median(lengths) == pytest.approx(script.MEDIAN_S, rel=0.05)
    one = script.simulate(measured, lengths, 1, 1.0)
    assert one.makespan_s == pytest.approx(0.5 * lengths.sum())
    ten = script.simulate(measured, lengths, 10, 1.0)
    assert ten.makespan_s == pytest.approx(0.05 * lengths.sum(), rel=0.01)
    assert script.simulate(measured, lengths, 10, 100.0).makespan_s < ten.makespan_s / 90


@pytest.mark.parametrize(
    ("part", "values"), [("store", {"writes": 3500.0}), ("driver", {"dispatch_s": 1.0})]
)
def test_what_all_share_is_what_breaks(script, measured, part, values):
    slow = script.dataclasses.replace(measured, **values)
    lengths = script.lengths_of(2000)
    found = script.simulate(slow, lengths, 1000, 1.0)
    assert found.makespan_s == pytest.approx(2000, rel=0.1)
    assert max(found.busy, key=found.busy.get) == part


def test_long_songs_have_more_parts(script, measured):
    songs = script.dataclasses.replace(measured, bytes_in=100_000, bytes_out=400_000, writes=13.0)
    reads, writes = script.requests_of(songs, np.array([10.0, 100.0]))
    assert (list(reads), list(writes)) == ([0, 1], [13, 17])


def test_nothing_grows_faster_than_the_number_of_songs(script, measured, monkeypatch):
    found = [script.simulate(measured, script.lengths_of(n), 100, 1.0) for n in (2000, 20_000)]
    assert found[1].makespan_s < 10.5 * found[0].makespan_s
    monkeypatch.setattr(script, "measure_plan", lambda _: {"plan_s": 0.0})
    rows = list(script.rows_of_growth(measured, 10_000))
    assert [row[:2] for row in rows[1:]] == [["10,000", "10"]]


@pytest.mark.slow
def test_costs_are_those_of_real_runs(script, monkeypatch, tmp_path):
    pytest.importorskip("moto.server", reason="moto's S3 server is not installed")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    costs = sys.modules["catalogue_costs"]
    monkeypatch.setattr(costs, "LENGTHS", (1.0, 2.0))
    found = costs.measure_songs("hpss", tmp_path)
    # A song: look twice, fetch. Three stems: begin, one part, complete, look. A record.
    assert (found["reads"], found["writes"]) == (2 + 1 + 3, 3 * 3 + 1)
    assert found["bytes_out"] > found["bytes_in"] > 10_000
    assert 0 < found["song_s"] + found["song_ratio"] < 5
