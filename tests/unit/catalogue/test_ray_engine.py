"""A real Ray cluster of this machine: what one song does to its actor costs no other song."""

import json
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from catalogue_songs import PlainWork, planned, write_songs
from partita.catalogue import ray_engine
from partita.catalogue.engine import Attempt, AttemptQueue, Policy
from partita.catalogue.ray_cluster import connected
from partita.catalogue.ray_engine import RayEngine
from partita.errors import PartitaError, UsageError
from ray_head import ray_head

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two cores, whose workers find the modules of the tests."""
    pytest.importorskip("ray")
    with ray_head(2, [TESTS]) as (address, _), pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        with connected(address, 2) as ray:
            yield ray


@pytest.fixture
def songs_run(cluster, tmp_path):
    """Run songs with an engine; returns records and what workers noted: track and attempt."""

    def run_songs(tracks, *, jobs=2, songs=1, hear=lambda record: None, **options):
        notes = tmp_path / "notes"
        policy = Policy(**{"delay_s": 0.01, "most_tries": 2, **options.pop("policy", {})})
        work = PlainWork(str(notes), policy, **options)
        attempts = (Attempt(planned(track)) for track in tracks)
        records = []
        engine = RayEngine(jobs=jobs, cores=1, songs=songs)
        for record in engine.run(attempts, work, threading.Event()):
            records.append(record)
            hear(record)
        begun = notes.read_text().splitlines() if notes.exists() else []
        return records, Counter(line.split()[0] for line in begun)

    return run_songs


def outcomes(records):
    return Counter((record.track, record.outcome, record.kind) for record in records)


def test_a_catalogue_with_songs_that_kill_hang_and_hoard(songs_run):
    plain = [f"plain-{number}" for number in range(10)]
    tracks = ["hangs", "kills", "hoards", "twice", *plain, "slow-last"]
    tried, killed = set(), []

    def kill(record):  # a worker that is not to blame, whose next song is no second attempt
        (tried.add if record.outcome == "tried" else tried.discard)(record.track)
        if not killed and record.track.startswith("plain") and tried <= {"hangs"}:
            killed.append(record.worker)
            os.kill(int(record.worker), signal.SIGKILL)

    limits = {"timeout_s": 2.0, "memory_mb": 350}
    records, begun = songs_run(tracks, policy=limits, hear=kill)
    found = outcomes(each for each in records if each.outcome != "tried")
    assert found == {
        **{(track, "done", ""): 1 for track in [*plain, "twice", "slow-last"]},
        ("hangs", "quarantined", "timeout"): 1,
        ("kills", "quarantined", "crash"): 1,
        ("hoards", "quarantined", "memory"): 1,
    }
    assert killed
    assert begun["hangs"] == begun["kills"] == begun["twice"] == 2
    assert sum(begun[track] - 1 for track in [*plain, "slow-last"]) <= 1  # the one in flight
    causes = {record.track: record.cause for record in records}
    assert causes["hangs"] == "songs/hangs.wav: took longer than 2 s"
    assert causes["hoards"] == "songs/hoards.wav: needed more than 350 MB of memory"
    assert causes["kills"].startswith("songs/kills.wav: its worker ended: it crashed")


def test_songs_beside_one_that_kills_are_not_blamed(songs_run):
    records, begun = songs_run(
        ["slow-1", "slow-2", "kills", "slow-3", "slow-4"],
        jobs=1,
        songs=4,
        policy={"most_tries": 1},
    )
    assert outcomes(records) == {
        **{(f"slow-{number}", "done", ""): 1 for number in range(1, 5)},
        ("kills", "quarantined", "crash"): 1,
    }
    assert begun["kills"] == 2  # with the others, then alone
    assert max(begun.values()) == 2


def test_songs_are_read_as_workers_become_free_and_go_back_when_cancelled(cluster, tmp_path):
    taken, cancel = [], threading.Event()

    def attempts():
        for number in range(20):
            taken.append(number)
            yield Attempt(planned(f"slow-{number}"))

    work = PlainWork(str(tmp_path / "notes"))
    records = RayEngine(jobs=1).run(attempts(), work, cancel)
    first = next(records)
    assert len(taken) <= 2
    cancel.set()
    assert list(records) == []
    deadline = time.monotonic() + 20
    while is_there(int(first.worker)):
        assert time.monotonic() < deadline, "its worker has not ended"
        time.sleep(0.05)


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_concerns_all_songs_ends_the_run(songs_run, monkeypatch):
    monkeypatch.setattr(ray_engine, "_MOST_STARTS", 1)
    with pytest.raises(UsageError, match=r"node7 has partita 0\.3"):
        songs_run(["plain"], refusal="node7 has partita 0.3, the catalogue was begun with 0.2")
    with pytest.raises(UsageError, match="end before they have loaded the model"):
        songs_run(["plain"], jobs=1, dies=True)


def test_a_cluster_that_is_gone_ends_the_run(songs_run, monkeypatch):
    monkeypatch.setattr(ray_engine, "_ALIVE_S", 0.0)
    monkeypatch.setattr(ray_engine, "living_nodes", lambda ray: frozenset())
    with pytest.raises(PartitaError, match=r"cluster was lost .*: the same command continues"):
        songs_run(["plain"])


def test_places_are_counted(cluster, tmp_path):
    placed = RayEngine()._placed(cluster, PlainWork(str(tmp_path)))
    assert placed[:2] == (2, 1)
    placed = RayEngine(gpus=0.5, jobs=3)._placed(cluster, PlainWork(str(tmp_path)))
    assert placed[:2] == (3, 4)


@pytest.mark.parametrize("name", ["jobs", "cores", "songs"])
def test_counts_below_one(name):
    with pytest.raises(UsageError, match=f"`{name}` 0 is below 1"):
        RayEngine(**{name: 0})
    with pytest.raises(UsageError, match="`gpus` -1 is negative"):
        RayEngine(gpus=-1)


def test_the_command(cluster, run, tmp_path):
    write_songs(tmp_path / "songs", 2)
    assert run("catalogue", "plan", "songs", "--out", "manifest").status == 0
    words = ("catalogue", "run", "manifest", "--out", "stems", "-n", "hpss", "--json")
    result = run(*words, "--engine", "ray", "--jobs", "1", "--cores", "1", "--songs", "2")
    assert (result.status, result.err) == (0, "")
    records = [json.loads(line) for line in result.out.splitlines()]
    assert [record["outcome"] for record in records] == ["done", "done"]
    assert len(list((tmp_path / "stems").rglob("*.wav"))) == 6  # of hpss: three
    assert run("catalogue", "verify", "manifest").out.startswith("2 songs are sound")


def test_options_of_ray_are_for_ray(run, tmp_path):
    write_songs(tmp_path / "songs", 1)
    assert run("catalogue", "plan", "songs", "--out", "manifest").status == 0
    words = ("catalogue", "run", "manifest", "--out", "stems", "-n", "hpss")
    assert "--cores is for --engine ray" in run(*words, "--cores", "2").err


def test_a_machine_without_memory_ends_a_worker_not_the_run(tmp_path):
    """Ray ends workers before a machine has no memory left; its message has pages."""
    exceptions = pytest.importorskip("ray").exceptions
    pages = "1 worker(s) were killed due to the node running low on memory. " * 9 + "\nTop 10"

    def get(_ref):
        raise exceptions.OutOfMemoryError(pages)

    ray = SimpleNamespace(exceptions=exceptions, get=get, kill=lambda actor: None)
    work = PlainWork(str(tmp_path), Policy())
    queue = AttemptQueue([], work.policy)
    seat = ray_engine._Seat(ray_engine._Shared(ray, lambda: None, work, 1, queue))
    seat.is_ready, seat.running = True, {"ref": (Attempt(planned("plain")), 0.0)}
    assert seat.hear("ref") == []
    _, exceeded = seat._died_with
    assert exceeded.kind == "memory"
    assert "machine ran out of memory" in exceeded.cause
    assert len(str(ray_engine._lost(pages))) < 250
