"""A whole comparison of tiny models on songs of a second."""

import importlib
import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from common import SMALL_UNET, little_room
from partita import Separator
from partita.comparison.entrants import trained_entrants
from partita.comparison.results import Entrant
from partita.comparison.run import CompareOptions, compare
from partita.comparison.tracks import as_files, content_digest, split_tracks
from partita.datasets import open_dataset
from partita.errors import UsageError
from partita.evaluation.runs import benchmark
from partita.evaluation.scoring import ScoreOptions
from partita.evaluation.tasks import RunOptions
from partita.models import create_model
from partita.separation.result_cache import Cache
from partita.weights.checkpoint import save_checkpoint
from partita.weights.store import load_model

pytestmark = pytest.mark.slow
SOURCES = ["vocals", "drums", "rest"]
TRAINING = [
    *("epochs=1", "steps_per_epoch=2", "batch_size=1", "excerpt_s=0.4", "valid_excerpts=2"),
    *(f"{k}={','.join(map(str, v)) if isinstance(v, list) else v}" for k, v in SMALL_UNET.items()),
    f"sources={','.join(SOURCES)}",
]


def write_data(root, tracks=3, seconds=1.5, rate=44100):
    rng = np.random.default_rng(0)
    for number in range(tracks):
        for stem in SOURCES:
            path = root / f"song {number}" / f"{stem}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            samples = rng.normal(0, 0.1, (round(seconds * rate), 2))
            soundfile.write(path, np.cumsum(samples, axis=0) * 0.02, rate)
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_checkpoint(path, create_model("unet", {"sources": SOURCES, **SMALL_UNET}).eval())
    return path


@pytest.fixture(scope="module")
def entrants(checkpoint):
    gone = checkpoint.with_name("gone.safetensors")
    return [
        Entrant("floor", "mixture"),
        Entrant("tiny", str(checkpoint), settings={"wiener": 1}),
        Entrant("gone", str(gone)),
        *trained_entrants(["unet"], TRAINING),
    ]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache") / "cache"


@pytest.fixture(scope="module")
def comparison(data, entrants, cache):
    steps = []
    found = compare(
        open_dataset(data), entrants, cache=cache, progress=lambda *step: steps.append(step)
    )
    assert steps[-1][1] == pytest.approx(steps[-1][2])
    assert all(done <= total for _, done, total in steps)
    return found


def test_every_entrant_has_a_result_or_says_why(comparison):
    floor, tiny, gone, trained = comparison.results
    names = [track.name for track in comparison.tracks]
    assert len(names) == 1
    assert comparison.is_drawn
    assert len(comparison.trained_on) == 2
    assert not set(comparison.trained_on) & set(names)
    assert list(gone.failures) == [""]
    assert "no such checkpoint" in gone.failures[""]
    for result in (floor, tiny, trained):
        assert result.failures == {}
        assert list(result.scores) == list(result.stems) == names
        for stem, path in result.stems[names[0]].items():
            info = soundfile.info(path)
            assert (info.samplerate, info.channels, info.subtype) == (44100, 2, "FLOAT"), stem
    described = json.loads((trained.run / "run.json").read_text())
    learned = described["train_tracks"] + described["valid_tracks"]
    assert sorted(learned) == sorted(comparison.trained_on)
    assert len(trained.losses) == 1
    assert trained.costs.training_s > 0


def test_costs_are_measured(comparison):
    floor, tiny, _, _ = comparison.results
    assert floor.costs.parameters is None
    weights = load_model(tiny.entrant.model).parameters()
    assert tiny.costs.parameters == sum(each.numel() for each in weights)
    assert tiny.costs.times_realtime > 0
    assert 50 < tiny.costs.memory_mb < 5000
    track = comparison.tracks[0].name
    assert floor.null_depth_db[track] == pytest.approx(20 * np.log10(2), abs=0.01)
    assert tiny.null_depth_db[track] < -100


def test_figures_are_those_of_the_benchmark(comparison, data, entrants):
    track = comparison.tracks[0].name
    (outcome,) = (
        each
        for each in benchmark(
            open_dataset(data),
            [entrants[1].model],
            RunOptions(ScoreOptions()),
            separator=lambda model, **_: Separator(model, wiener=1),
        )
        if each.track == track
    )
    ours = comparison.results[1].scores[track]
    assert ours.targets == outcome.scores.as_saved().targets


def test_nothing_is_computed_again(comparison, data, entrants, cache, monkeypatch):
    def never(*_):
        raise AssertionError("a process was started")

    monkeypatch.setattr("partita.comparison.run.messages_of", never)
    monkeypatch.setattr("partita.comparison.separating.messages_of", never)
    monkeypatch.setattr("partita.evaluation.tasks.score_signals", never)
    again = compare(open_dataset(data), entrants, cache=cache)
    assert again.results == comparison.results


def test_damaged_estimates_are_made_again(comparison, data, entrants, cache, caplog):
    tiny = comparison.results[1]
    path = next(iter(tiny.stems[comparison.tracks[0].name].values()))
    whole, _ = soundfile.read(path)
    path.write_bytes(path.read_bytes()[:-4] + b"\1\2\3\4")
    shutil.rmtree(cache / "scores")
    drawn = CompareOptions(tracks=(comparison.tracks[0].name,))
    again = compare(open_dataset(data), entrants[1:2], drawn, cache=cache)
    assert "damaged" in caplog.text
    assert again.results[0].scores == tiny.scores
    assert np.array_equal(soundfile.read(path)[0], whole)


def test_a_crash_of_one_process_stops_no_other(data, entrants, tmp_path, monkeypatch):
    monkeypatch.setattr("partita.child_process._START", "import antigravity_of_nobody")
    found = compare(open_dataset(data), entrants[:2], cache=tmp_path)
    for result in found.results:
        assert "its process ended with status 1" in result.failures[""]
        assert "antigravity_of_nobody" in result.failures[""]


def test_an_excerpt_is_the_middle(data, tmp_path):
    track = open_dataset(data).tracks[0]
    part = as_files(Cache(tmp_path), track, 0.5)
    assert part.duration_s == pytest.approx(0.5, abs=1e-4)
    whole = track.load("vocals").samples
    middle = part.load("vocals").samples
    assert torch.equal(middle, whole[:, 22050 : 22050 + middle.shape[1]])
    assert torch.allclose(
        part.load("mixture").samples, track.load("mixture").samples[:, 22050:44100]
    )
    assert as_files(Cache(tmp_path), track, 0.5).stems == part.stems


def test_scored_tracks_never_train(tmp_path):
    plan = trained_entrants(["unet"])[0].training
    dataset = open_dataset(write_data(tmp_path / "one", tracks=1, seconds=0.1))
    with pytest.raises(UsageError, match="has one track, which cannot both train and be scored"):
        split_tracks(dataset, [plan])
    for subset in ("train", "test"):
        write_data(tmp_path / "two" / subset / subset, tracks=1, seconds=0.1)
    for subset in ("train", "test"):
        (tmp_path / "two" / subset / subset / "song 0").rename(
            tmp_path / "two" / subset / f"{subset} song"
        )
        (tmp_path / "two" / subset / subset).rmdir()
    dataset = open_dataset(tmp_path / "two")
    assert split_tracks(dataset, [plan]).names == ("test song",)
    assert split_tracks(dataset, []).subset == "test"
    with pytest.raises(UsageError, match="all of them are scored"):
        split_tracks(dataset, [plan], subset="train")
    with pytest.raises(UsageError, match="no tracks of subset 'valid'; subsets: test, train"):
        split_tracks(dataset, [plan], subset="valid")


KILLED = """
import pickle, sys
from pathlib import Path
from partita.comparison.run import compare
from partita.datasets import open_dataset

data, cache, entrants = pickle.loads(sys.stdin.buffer.read())
compare(open_dataset(data), entrants, cache=cache, progress=lambda *it: print(*it, flush=True))
"""


def test_killed_at_any_moment_it_goes_on(comparison, data, entrants, tmp_path):
    cache = tmp_path / "cache"
    for place in ("unet: training", "tiny: separating"):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            # Trained first: then each run gets further than the one before.
            process.stdin.write(pickle.dumps((data, cache, entrants[:0:-1])))
            process.stdin.close()
            assert any(line.startswith(place.encode()) for line in process.stdout)
            process.kill()
    again = compare(open_dataset(data), entrants[1:], cache=cache)
    for ours, theirs in zip(again.results, comparison.results[1:], strict=True):
        assert ours.scores == theirs.scores
        assert ours.failures == theirs.failures
        assert [list(stems) for stems in ours.stems.values()] == [
            list(stems) for stems in theirs.stems.values()
        ]
    losses = [
        {**row, "seconds": 0} for each in (again, comparison) for row in each.results[-1].losses
    ]
    assert losses[0] == losses[1]
    for entry in cache.glob("*/*"):
        if entry.is_dir() and entry.parent.name != "runs":
            assert not entry.name.startswith(".partita-")
            assert (entry / "entry.json").is_file()


def test_a_full_disk_is_a_line_for_each_entrant(data, entrants, tmp_path):
    dataset = open_dataset(data)
    for track in dataset:
        content_digest(Cache(tmp_path / "cache"), track)
    with little_room(100_000):
        found = compare(dataset, entrants[1:2], cache=tmp_path / "cache")
    for result in found.results:
        assert len(result.failures) == 3
        assert all("cannot write" in line for line in result.failures.values())


def test_scores_of_other_metrics_are_made_again_and_it_is_said(
    comparison, data, entrants, cache, caplog
):
    for path in (cache / "scores").glob("*.json"):
        content = json.loads(path.read_text())
        content["partita"]["metrics_version"] -= 1
        path.write_text(json.dumps(content))
    again = compare(open_dataset(data), entrants, cache=cache)
    scores = [[each.scores for each in found.results] for found in (again, comparison)]
    assert scores[0] == scores[1]
    said = "tiny: earlier scores are of another version of the metrics"
    assert any(said in line for line in caplog.messages)


CRASHING = """
import os, signal
from partita.comparison.jobs import SeparationJob

class CrashingJob(SeparationJob):
    def _one(self, job, *others):
        if job.track.name == "song 1":
            os.kill(os.getpid(), signal.SIGKILL)
        super()._one(job, *others)
"""


def test_a_track_that_fails_or_crashes_costs_that_track_only(checkpoint, tmp_path, monkeypatch):
    data = write_data(tmp_path / "data", tracks=4, seconds=0.6)
    broken, _ = soundfile.read(data / "song 2" / "rest.wav")
    broken[100] = np.nan
    soundfile.write(data / "song 2" / "rest.wav", broken, 44100, subtype="FLOAT")
    (tmp_path / "crashing.py").write_text(CRASHING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    crashing = importlib.import_module("crashing")
    monkeypatch.setattr("partita.comparison.separating.SeparationJob", crashing.CrashingJob)
    found = compare(open_dataset(data), [Entrant("tiny", str(checkpoint))], cache=tmp_path / "c")
    (result,) = found.results
    assert list(result.scores) == ["song 0", "song 3"]
    assert list(result.failures) == ["song 1", "song 2"]
    assert result.failures["song 1"].startswith("song 1: its process was killed (signal 9)")
    assert "rest.wav: NaN or infinite samples from 0.002 s on" in result.failures["song 2"]
