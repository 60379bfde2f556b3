"""Processes of this machine: what one song does to its worker costs no other song."""

import threading
from collections import Counter
from pathlib import Path

import pytest

from catalogue_songs import PlainWork, planned
from partita.catalogue.engine import Attempt, Policy
from partita.catalogue.local_engine import LocalEngine
from partita.errors import ModelError, UsageError


@pytest.fixture
def run(tmp_path):
    """Run songs with an engine; returns records and what workers noted: track and attempt."""

    def run_songs(tracks, *, jobs=1, cancel=None, **options):
        notes = tmp_path / "notes"
        policy = Policy(**{"delay_s": 0.01, **options.pop("policy", {})})
        work = PlainWork(str(notes), policy, **options)
        attempts = (Attempt(planned(track)) for track in tracks)
        records = list(LocalEngine(jobs).run(attempts, work, cancel or threading.Event()))
        begun = notes.read_text().split("\n")[:-1] if notes.exists() else []
        return records, begun

    return run_songs


def outcomes(records):
    return Counter((record.track, record.outcome, record.kind) for record in records)


@pytest.mark.slow
def test_workers_that_die_cost_attempts_at_one_song_only(run):
    records, begun = run(["a", "kills", "crashes", "b", "twice"], jobs=2)
    assert outcomes(records) == {
        ("a", "done", ""): 1,
        ("b", "done", ""): 1,
        ("kills", "tried", "memory"): 2,
        ("kills", "quarantined", "memory"): 1,
        ("crashes", "tried", "crash"): 2,
        ("crashes", "quarantined", "crash"): 1,
        ("twice", "tried", "store"): 1,
        ("twice", "done", ""): 1,
    }
    assert Counter(line.split()[0] for line in begun) == {
        **{"a": 1, "b": 1, "twice": 2},
        **{"kills": 3, "crashes": 3},
    }
    causes = {record.track: record.cause for record in records}
    assert causes["kills"].startswith("songs/kills.wav: its worker was killed (signal 9)")
    assert causes["crashes"] == "songs/crashes.wav: its worker ended with status 7"


@pytest.mark.slow
def test_what_hangs_or_hoards_is_ended(run):
    limits = {"timeout_s": 0.5, "most_tries": 1}
    records, _ = run(["hangs", "a"], policy=limits)
    assert outcomes(records) == {("hangs", "quarantined", "timeout"): 1, ("a", "done", ""): 1}
    assert records[0].cause == "songs/hangs.wav: took longer than 0.5 s"
    if Path("/proc/self/statm").exists():
        limits = {"memory_mb": 250, "most_tries": 1}
        records, _ = run(["hoards", "a"], policy=limits)
        assert outcomes(records) == {("hoards", "quarantined", "memory"): 1, ("a", "done", ""): 1}


@pytest.mark.slow
def test_songs_are_read_as_workers_become_free(tmp_path):
    taken = []

    def attempts():
        for number in range(20):
            taken.append(number)
            yield Attempt(planned(f"slow-{number}" if number else "a"))

    work = PlainWork(str(tmp_path / "notes"))
    records = LocalEngine(1).run(attempts(), work, threading.Event())
    next(records)
    assert len(taken) <= 2
    records.close()


def test_nothing_new_begins_after_cancellation(run):
    cancel = threading.Event()
    cancel.set()
    assert run(["a", "b"], cancel=cancel) == ([], [])


@pytest.mark.slow
def test_what_concerns_all_songs_ends_the_run(run):
    with pytest.raises(UsageError, match="node7 has partita"):
        run(["a"], refusal="node7 has partita 0.3, the catalogue was begun with 0.2")


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_ends_the_run(run):
    with pytest.raises(ModelError, match=r"each process ended with status 3 before it"):
        run(["a"], dies=True)
