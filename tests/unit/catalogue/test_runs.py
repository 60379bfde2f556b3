"""Runs: what is left goes through an engine, and figures are kept of it."""

import json
import math
import urllib.request

import pytest

from catalogue_songs import PlainWork
from partita.catalogue import exporting
from partita.catalogue.engine import Policy
from partita.catalogue.local_engine import LocalEngine
from partita.catalogue.metrics import Metrics
from partita.catalogue.records import PlanHeader, PlannedSong, RunSettings, SongRecord, StemRecord
from partita.catalogue.running import CatalogueRun, Progress, ask_again, run_settings, survey
from partita.catalogue.store import Manifest
from partita.errors import UsageError
from partita.weights.resolve import resolve

SETTINGS = RunSettings("out", "hpss", "abc", "MIT", True, "1", "{track}/{stem}.{ext}")


def song(number, **facts):
    return PlannedSong(f"{number:016x}", f"songs/{number}.wav", f"{number}", 10, "v", 60.0, **facts)


def record(each, outcome="done", attempt=1, **facts):
    return SongRecord(each.id, each.address, each.track, outcome, attempt, **facts)


@pytest.fixture
def manifest(tmp_path):
    """Five songs in two shards: one done, one failed, one quarantined, two left."""
    made = Manifest(str(tmp_path / "manifest"))
    songs = [song(number, duplicate_of="0" * 16 if number == 4 else "") for number in range(5)]
    made.write_plan(
        [songs[:3], songs[3:]], PlanHeader(5, 2, 50, 300.0, 1, 0, ("songs",), "1", "today")
    )
    stems = {"drums": StemRecord("out/0/drums.wav", 44, "d" * 64, 44100, sdr_db=3.5)}
    done = {"stems": stems, "duration_s": 60.0, "null_depth_db": -math.inf}
    made.write(record(songs[0], **done), 0)
    made.write(record(songs[1], "failed", kind="unreadable", cause="no audio"), 0)
    made.write(record(songs[3], "quarantined", 3, kind="timeout", cause="too long"), 1)
    return made


def test_a_survey_counts_songs_and_what_is_left(manifest):
    found = survey(manifest)
    assert {name: count for name, count in found.outcomes.items() if count} == {
        **{"done": 1, "failed": 1, "quarantined": 1, "planned": 2}
    }
    assert (found.songs, found.left, found.left_s, found.duplicates) == (5, 2, 120.0, 1)
    assert survey(manifest, skip_duplicates=True).left == 1


def test_songs_are_tried_again_when_somebody_asks(manifest):
    assert ask_again(manifest, ("failed", "quarantined"), "asked", kinds=("timeout",)) == 1
    assert survey(manifest).outcomes["waiting"] == 1
    assert ask_again(manifest, ("failed", "quarantined"), "asked") == 1
    left = {each.song.track: (each.number, each.tries) for each in manifest.left()}
    assert left == {"1": (3, 0), "2": (1, 0), "3": (5, 0), "4": (1, 0)}


def test_progress_counts_songs_audio_and_failures_by_kind():
    progress = Progress(left=4, left_s=240.0)
    assert progress.remaining_s is None
    each = song(1)
    progress.add(record(each, "tried", kind="crash"), 60.0)
    assert (progress.left, progress.left_s) == (4, 240.0)
    progress.add(record(each, duration_s=60.0), 60.0)
    progress.add(record(each, "failed", kind="unreadable"), 60.0)
    assert progress.outcomes == {"done": 1, "failed": 1}
    assert progress.failures == {"crash": 1, "unreadable": 1}
    assert (progress.left, progress.left_s, progress.done_s) == (2, 120.0, 60.0)
    assert progress.remaining_s == pytest.approx(2 * progress.elapsed_s, rel=0.1)


@pytest.mark.slow
def test_a_run_tries_what_is_left(manifest, tmp_path):
    run = CatalogueRun(manifest, SETTINGS, LocalEngine(), Policy(), skip_duplicates=True)
    run._work = PlainWork(str(tmp_path / "notes"))
    assert [(each.track, each.outcome) for each in run.records()] == [("2", "done")]
    assert run.progress.left == 0


def test_settings_of_a_run_are_checked_before_it_begins(tmp_path):
    model = resolve("hpss")
    with pytest.raises(UsageError, match="unknown"):
        run_settings("out", model, stems=["vocals"])
    with pytest.raises(UsageError, match="needs"):
        run_settings("out", model, filename="{track}.{ext}")
    made = run_settings("out", model, format="flac")
    assert made.destination.endswith("/out")
    assert (made.model, made.weights, made.bits) == ("hpss", model.digest, None)


def test_prometheus_gets_the_figures(manifest):
    pytest.importorskip("prometheus_client")
    progress = Progress(left=3, left_s=180.0)
    metrics = Metrics(progress)
    for each in (record(song(1), duration_s=60.0), record(song(2), "tried", kind="timeout")):
        progress.add(each, 60.0)
        metrics.add(each)
    with metrics.served(0) as port:
        with pytest.raises(UsageError, match="choose another port"), Metrics(progress).served(port):
            pass
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
    assert 'partita_catalogue_songs_total{outcome="done"} 1.0' in lines
    assert 'partita_catalogue_failures_total{kind="timeout"} 1.0' in lines
    assert "partita_catalogue_audio_seconds_total 60.0" in lines
    assert "partita_catalogue_songs_left 2.0" in lines
    assert any(line.startswith("partita_catalogue_real_time_factor ") for line in lines)


def test_all_facts_are_a_table(manifest, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "table" / "facts.parquet"
    assert exporting.export(manifest, path) == 5
    rows = parquet.read_table(path).to_pylist()
    assert [row["outcome"] for row in rows] == [
        *("done", "failed", "planned", "quarantined", "planned")
    ]
    assert rows[0]["stems"][0] == {
        **{"stem": "drums", "address": "out/0/drums.wav", "size": 44, "sha256": "d" * 64},
        **{"samples": 44100, "stream": 0, "sdr_db": 3.5},
    }
    assert rows[0]["null_depth_db"] == -math.inf
    assert rows[1]["null_depth_db"] is None
    assert (rows[3]["kind"], rows[3]["attempt"], rows[3]["shard"]) == ("timeout", 3, 1)
    assert rows[4]["duplicate_of"] == "0" * 16
    frame = exporting.table(manifest).to_pandas()
    assert list(frame.outcome) == [row["outcome"] for row in rows]
    json.dumps(rows[1])
