"""The manifest: small files, written once, by many."""

import math

import pytest

from partita.catalogue.engine import Policy
from partita.catalogue.records import PlanHeader, PlannedSong, RunSettings, SongRecord, StemRecord
from partita.catalogue.store import Manifest, State
from partita.errors import UsageError

HEADER = PlanHeader(3, 2, 30, 6.0, 0, 0, ("songs",), "1", "2026-01-01T00:00:00Z")
SETTINGS = RunSettings("out", "hpss", "abc", "MIT", True, "1", "{track}/{stem}.{ext}")


def planned(number):
    return PlannedSong(f"{number:016x}", f"songs/{number}.wav", f"{number}", 10, "v", 2.0)


@pytest.fixture
def manifest(tmp_path):
    made = Manifest(str(tmp_path / "manifest"))
    made.write_plan([[planned(1), planned(2)], [planned(3)]], HEADER)
    return made


def record(song, outcome="done", attempt=1, **facts):
    return SongRecord(song.id, song.address, song.track, outcome, attempt, **facts)


def test_a_plan_is_read_back_with_its_shards(manifest):
    assert manifest.header() == HEADER
    assert [(song.address, song.shard) for song in manifest.songs()] == [
        ("songs/1.wav", 0),
        ("songs/2.wav", 0),
        ("songs/3.wav", 1),
    ]


def test_a_plan_is_never_overwritten(manifest):
    with pytest.raises(UsageError, match="is not empty"):
        manifest.write_plan([[planned(4)]], HEADER)
    assert manifest.header() == HEADER
    assert len(list(manifest.songs())) == 3


def test_what_a_killed_plan_left_is_replaced_and_nothing_else(manifest, tmp_path):
    (tmp_path / "manifest/plan.json").unlink()
    manifest.require_empty()
    assert not list((tmp_path / "manifest/plan").iterdir())
    manifest.write_plan([[planned(4)]], HEADER)
    with pytest.raises(UsageError, match="is not empty"):
        manifest.require_empty()
    (tmp_path / "manifest/plan.json").rename(tmp_path / "manifest/mine.json")
    with pytest.raises(UsageError, match="is not empty"):
        manifest.require_empty()
    assert len(list((tmp_path / "manifest/plan").iterdir())) == 1


def test_without_a_plan_the_error_says_how_to_make_one(tmp_path):
    with pytest.raises(UsageError, match="holds no plan: partita catalogue plan"):
        Manifest(str(tmp_path)).header()


@pytest.mark.parametrize("null_depth_db", [None, -math.inf, -91.25])
def test_a_record_is_read_back_as_it_was(manifest, null_depth_db):
    stems = {"drums": StemRecord("out/1/drums.wav", 44, "d" * 64, 44100, sdr_db=3.5)}
    made = record(planned(1), stems=stems, null_depth_db=null_depth_db, warnings=("cut short",))
    assert manifest.write(made, 0)
    assert list(manifest.records()) == [made]


def test_the_first_writer_of_an_attempt_wins(manifest):
    assert manifest.write(record(planned(1), worker="a"), 0)
    assert not manifest.write(record(planned(1), worker="b"), 0)
    assert [each.worker for each in manifest.records()] == ["a"]


def test_what_is_left_is_known_from_names_alone(manifest):
    manifest.write(record(planned(1)), 0)
    manifest.write(record(planned(2), "tried", 1), 0)
    manifest.write(record(planned(2), "tried", 2), 0)
    left = [(each.song.address, each.number, each.tries) for each in manifest.left()]
    assert left == [("songs/2.wav", 3, 2), ("songs/3.wav", 1, 0)]
    assert manifest.states(0)[planned(2).id] == State("tried", 2, 2)
    assert manifest.counts() == {"done": 1, "tried": 1}


def test_another_try_that_somebody_asked_for_counts_from_the_beginning(manifest):
    for attempt, outcome in enumerate(("tried", "tried", "quarantined", "waiting", "tried"), 1):
        manifest.write(record(planned(3), outcome, attempt), 1)
    (left,) = (each for each in manifest.left() if each.song.id == planned(3).id)
    assert (left.number, left.tries) == (6, 1)


def test_ten_attempts_are_ordered_as_numbers(manifest):
    for attempt in range(1, 11):
        manifest.write(record(planned(3), "done" if attempt == 10 else "waiting", attempt), 1)
    assert manifest.states(1)[planned(3).id].outcome == "done"


def test_settings_are_fixed_by_the_first_run(manifest):
    assert manifest.settings() is None
    assert manifest.begin(SETTINGS) == SETTINGS
    assert manifest.begin(SETTINGS) == SETTINGS
    other = RunSettings("out", "hpss", "def", "MIT", True, "2", "{track}/{stem}.{ext}")
    with pytest.raises(UsageError, match="weights 'abc', not 'def'; version '1', not '2'"):
        manifest.begin(other)
    assert manifest.settings() == SETTINGS


def test_policy_quarantines_after_three_tries_and_never_retries_broken_songs():
    policy = Policy()
    assert [policy.outcome("timeout", tries) for tries in (1, 2, 3)] == [
        "tried",
        "tried",
        "quarantined",
    ]
    assert policy.outcome("unreadable", 1) == "failed"
    assert policy.pause_s(3) == 4 * policy.pause_s(1)
    assert policy.limit_s(planned(1)) == 600 + 10 * 2.0
