"""``scripts/gpu_training.py``: what it does besides training (tests/e2e has that)."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from common import SMALL_UNMIX, load_script
from partita.models import create_model
from partita.weights.checkpoint import load_checkpoint

SCRIPTS = "packages/partita-synthesis/scripts"

RATE = 8000


@pytest.fixture
def script(monkeypatch):
    folder = Path(__file__).parents[1] / "scripts"
    monkeypatch.syspath_prepend(str(folder))
    load_script("gpu_files", monkeypatch, SCRIPTS)
    return load_script("gpu_training", monkeypatch, SCRIPTS)


@pytest.fixture
def kept(script, tmp_path, monkeypatch):
    """What a training has left behind, with its state in pieces."""
    monkeypatch.setattr(sys.modules["gpu_files"], "PIECE_BYTES", 20_000)
    folder = script.kept_folder(tmp_path / "run", tmp_path / "out")
    model = create_model("open-unmix", {"sources": ["tone", "noise"], **SMALL_UNMIX})
    folder.begin({"recipe": "mine"}, resume=False)
    folder.save_model(model)
    folder.save_state({"elapsed_s": 61.5, "model": model.state_dict()})
    return tmp_path / "out"


def test_what_is_kept_comes_back(script, kept, tmp_path):
    names = {path.name.partition(".pt.")[0] for path in kept.iterdir()}
    assert "state" in names
    assert len(list(kept.glob("state.pt.*"))) > 1
    assert all(path.stat().st_size <= 20_000 for path in kept.iterdir())
    folder = script.kept_folder(tmp_path / "again", tmp_path / "out2")
    assert script.restore(kept, folder) == 61.5
    assert json.loads(folder.description.read_text()) == {"recipe": "mine"}
    model = load_checkpoint(folder.model)
    found = folder.load_state()["model"]
    for name, value in model.state_dict().items():
        assert torch.allclose(found[name].float(), value.float(), rtol=1e-3, atol=1e-6)


def test_weights_alone_are_no_state(script, kept, tmp_path):
    for piece in kept.glob("state.pt*"):
        piece.unlink()
    folder = script.kept_folder(tmp_path / "again", tmp_path / "out2")
    assert script.restore(kept, folder) == 0
    assert not folder.state.exists()
    assert not folder.description.exists()  # what it trains may be another recipe


def test_settings_named_last_count(script):
    found = dict(each.split("=") for each in script.settings_of(["batch_size=2", "seed=3"], "cpu"))
    assert found["batch_size"] == "2"
    assert found["seed"] == "3"
    assert found["precision"] == "float32"
    assert found["steps_per_epoch"] == script.SETTINGS["steps_per_epoch"]


def test_the_time_limit(script):
    with script._at_most(0.05) as over:
        assert over.wait(5)
    with script._at_most(60) as over:
        assert not over.is_set()


def test_packed_songs_become_tracks(script, tmp_path):
    folder = tmp_path / "song"
    folder.mkdir()
    times = np.arange(48000) / 48000
    for name, seconds, channels in (("bass", 1.0, 1), ("drums", 0.5, 2)):
        tone = 0.5 * np.sin(2 * np.pi * 440 * times[: round(seconds * 48000)])
        with (folder / f"{name}.opus").open("wb") as file:
            soundfile.write(
                file, np.stack([tone] * channels, axis=1), 48000, format="OGG", subtype="OPUS"
            )
    songs = script.Songs(tmp_path, ("drums",), ("vocals", "drums", "bass"), RATE, 1.0, 0)
    track = songs.decode(folder)
    assert (track.samples, track.channels) == (RATE, 2)
    assert not track.read(0, 0, RATE).any()  # no vocals
    drums, bass = (track.read(row, 0, RATE) for row in (1, 2))
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    middle = slice(RATE // 8, RATE * 3 // 8)
    for row in (drums, bass):
        for channel in row[:, middle].numpy():
            assert np.abs(channel - expected[middle]).max() < 0.05
    assert not drums[:, RATE // 2 + 200 :].any()
