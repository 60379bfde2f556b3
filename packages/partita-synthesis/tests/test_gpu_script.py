"""``scripts/gpu_training.py`` on the CPU, with a pack that the test writes: train, keep, go on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from partita.training.run_folder import read_losses
from partita.weights.checkpoint import load_checkpoint
from soundfont_file import tiny_soundfont

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "scripts/gpu_training.py"
RATE = 48000
#: A network that is quick, and little sound for it.
SMALL = {
    **{"features": 4, "hidden": 4, "layers": 1, "mask_hidden": 4, "frames": 40},
    **{"batch_size": 2, "excerpt_s": 0.3, "steps_per_epoch": 4, "valid_excerpts": 2, "workers": 1},
    **{"warmup_steps": 0, "checkpoint_minutes": 0.01, "precision": "bfloat16"},
}


@pytest.fixture
def pack(tmp_path):
    """One recorded song of three stems; synthesised songs have drums and a synthesiser's bass."""
    folder = tmp_path / "pack/songs/train/record"
    folder.mkdir(parents=True)
    for name in ("vocals", "other", "bass"):
        audio = 0.1 * np.random.default_rng(0).normal(size=(4 * RATE, 2))
        with (folder / f"{name}.opus").open("wb") as file:
            soundfile.write(file, audio, RATE, format="OGG", subtype="OPUS")
    for name in ("share/sounds/sf2", "held-out"):
        (tmp_path / "pack" / name).mkdir(parents=True)
        tiny_soundfont(tmp_path / "pack" / name / "tiny.sf2")
    return tmp_path / "pack"


def train(pack, out, *arguments, minutes=0.1):
    settings = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    command = [sys.executable, SCRIPT, "--pack", pack, "--out", out, "--minutes", minutes,
               "--device", "cpu", "--jobs", 1, "--slots", 20, "--valid-songs", 1,
               "--song-seconds", 3, "--stems", "drums,bass", *settings, *arguments]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [str(part) for part in command], check=False, capture_output=True, text=True,
        timeout=300, env=environment,
    )  # fmt: skip


def test_trains_keeps_and_goes_on(pack, tmp_path):
    first = tmp_path / "first"
    done = train(pack, first)
    assert done.returncode == 0, done.stderr
    assert "1 recorded songs, 1 songs to validate, 1 processes" in done.stdout
    files = {path.name: path.stat().st_size for path in first.iterdir()}
    assert set(files) == {"model.safetensors", "state.pt", "run.json", "losses.csv", "log.txt"}
    assert (first / "log.txt").read_text() == done.stdout
    rows = read_losses(first / "losses.csv")
    assert rows[-1]["step"] >= 1
    model = load_checkpoint(first / "model.safetensors")
    assert model.sources == ("vocals", "drums", "bass", "other")
    assert json.loads((first / "run.json").read_text())["config"]["features"] == 4

    again = train(pack, tmp_path / "second", "--resume", first)
    assert again.returncode == 0, again.stderr
    more = read_losses(tmp_path / "second/losses.csv")
    assert [row["step"] for row in more[: len(rows)]] == [row["step"] for row in rows]
    assert more[-1]["step"] > rows[-1]["step"]


def test_nothing_to_go_on_from(pack, tmp_path):
    (tmp_path / "empty").mkdir()
    done = train(pack, tmp_path / "out", "--resume", tmp_path / "empty")
    assert done.returncode == 1
    assert "holds nothing of an earlier call" in done.stderr
