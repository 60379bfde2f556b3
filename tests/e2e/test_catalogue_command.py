"""``partita catalogue``: many songs, some of which are broken, hang, or kill who separates them."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import soundfile

import partita
from catalogue_songs import poison_plugin, write_songs
from partita.catalogue.running import run_settings
from partita.catalogue.store import Manifest
from partita.weights.resolve import resolve


@pytest.fixture
def poison(tmp_path, monkeypatch):
    """A model called poison, for this process and those that it starts; returns its notes."""
    site = tmp_path / "site"
    poison_plugin(site)
    root = Path(partita.__file__).parents[1]
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(root)]))
    monkeypatch.setenv("POISON_NOTES", str(tmp_path / "notes"))
    yield tmp_path / "notes"
    sys.modules.pop("poison_plugin", None)


@pytest.mark.slow
def test_songs_that_break_hang_or_kill_cost_no_other_song(run, poison, tmp_path):
    folder = write_songs(tmp_path / "songs", 6, names=("broken", "torn", "hangs", "kills"))
    result = run("catalogue", "plan", folder, "--out", "manifest")
    assert result.status == 1
    assert result.out.startswith("10 songs, 0:0")
    assert "2 cannot be separated" in result.out
    words = ("catalogue", "run", "manifest", "--out", "stems", "-n", "poison", "--report")
    result = run(*words, "--tries", "1", "--timeout", "2", "--json")
    assert result.status == 1
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert Counter((line["outcome"], line["kind"]) for line in lines) == {
        **{("done", ""): 6, ("failed", "unreadable"): 2},
        **{("quarantined", "timeout"): 1, ("quarantined", "memory"): 1},
    }
    assert "Traceback" not in result.err
    assert len(result.err.splitlines()) == 4  # one for each song that failed
    stems = sorted((tmp_path / "stems").rglob("*.wav"))
    assert len(stems) == 12
    separated = Counter(poison.read_text().split())
    assert sum(separated.values()) == 8  # the poisonous ones too: each once

    status = run("catalogue", "status", "manifest").out.splitlines()
    assert status[1].startswith("10 songs, 0:0")
    assert status[1].endswith("6 done, 2 failed, 2 quarantined")
    assert sum(line.startswith("  quarantined, ") for line in status) == 2
    assert run("catalogue", "verify", "manifest").out == "6 songs are sound\n"
    stems[0].unlink()
    result = run("catalogue", "verify", "manifest", "--retry")
    assert result.status == 1
    assert f"{stems[0].name} is missing" in result.err
    result = run("catalogue", "retry", "manifest", "--kind", "unreadable")
    assert result.out.startswith("2 songs will be tried again")
    write_songs(tmp_path / "new", 2, seconds=0.6)
    for new, name in zip((tmp_path / "new").iterdir(), ("broken", "torn"), strict=True):
        new.replace(folder / f"{name}.wav")
    result = run("catalogue", "run", "manifest")
    assert result.status == 1  # two stay quarantined
    assert result.out.startswith("3 done; ")
    assert run("catalogue", "run", "manifest").out == "nothing was left to do\n"
    result = run("catalogue", "export", "manifest", "--out", "facts.parquet")
    assert (result.status, result.out) == (0, "facts.parquet: 10 songs\n")


@pytest.mark.slow
def test_a_run_that_is_killed_or_interrupted_goes_on(run, poison, tmp_path):
    """`benchmarks/catalogue_kills.py` kills drivers and workers at many more moments."""
    count = 12
    folder = write_songs(tmp_path / "songs", count)
    stems = tmp_path / "stems/poison"
    assert run("catalogue", "plan", folder, "--out", "manifest", "--depth", "header").status == 0
    words = ("catalogue", "run", "manifest", "--out", "stems", "-n", "poison")
    for number in (signal.SIGKILL, signal.SIGINT):
        there = len(list(stems.glob("**/*.wav")))
        process = subprocess.Popen(
            [sys.executable, "-m", "partita", *words],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while process.poll() is None and len(list(stems.glob("**/*.wav"))) < there + 4:
            time.sleep(0.01)
        time.sleep(random.Random(number).uniform(0, 0.1))
        process.send_signal(number)
        _, err = process.communicate(timeout=100)
        assert all(is_whole(path) for path in stems.glob("**/*.wav"))
    assert "Traceback" not in err
    if process.returncode:  # else it was done already
        assert process.returncode == 130
        assert err.splitlines()[-1] == "partita: interrupted; the same command continues"
    assert run(*words).status == 0
    manifest = Manifest(str(tmp_path / "manifest"))
    assert manifest.counts() == {"done": count}
    records = list(manifest.records())
    for record in records:
        assert all(is_whole(Path(stem.address)) for stem in record.stems.values())
    separated = Counter(poison.read_text().split())
    assert len(separated) == count
    assert sum(separated.values()) <= count + 2  # in flight


def test_wrong_usage_is_one_line(run, tmp_path):
    write_songs(tmp_path / "songs", 1)
    result = run("catalogue", "run", "manifest", "--out", "stems")
    assert (result.status, len(result.err.splitlines())) == (2, 1)
    assert "holds no plan" in result.err
    assert run("catalogue", "plan", "songs", "--out", "manifest").status == 0
    assert "is not empty" in run("catalogue", "plan", "songs", "--out", "manifest").err
    assert "the first run needs --out" in run("catalogue", "run", "manifest").err
    Manifest("manifest").begin(run_settings("stems", resolve("hpss")))
    result = run("catalogue", "run", "manifest", "--format", "flac")
    assert result.status == 2
    assert "was begun with other settings: format 'wav', not 'flac'" in result.err
    assert "--engine 'x' is not one of" in run("catalogue", "run", "manifest", "--engine", "x").err
    assert "--depth 'x' is not one of" in run("catalogue", "plan", "songs", "--out", "m",
                                              "--depth", "x").err  # fmt: skip


def is_whole(path):
    return soundfile.info(path).frames == round(0.5 * 44100)
