"""Whole trainings of a few steps."""

import numpy as np
import pytest
import soundfile
import torch

from partita.training.recipes import load_recipe
from partita.training.run import Start, train

SMALL = [
    "hidden=4",
    "fft_samples=256",
    "hop_samples=64",
    "sources=vocals,drums",
    "epochs=1",
    "steps_per_epoch=2",
    "batch_size=2",
    "excerpt_s=0.2",
    "valid_excerpts=1",
]


class Watch:
    """Notes how many threads PyTorch has at each step."""

    def __init__(self):
        self.threads = []

    def step(self, step, steps, loss):
        self.threads.append(torch.get_num_threads())

    def epoch(self, row):
        pass


@pytest.fixture
def songs(tmp_path, monkeypatch):
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))
    rng = np.random.default_rng(0)
    for song in ("a", "b"):
        folder = tmp_path / "songs" / song
        folder.mkdir(parents=True)
        for stem in ("vocals", "drums"):
            soundfile.write(folder / f"{stem}.wav", 0.1 * rng.normal(size=22050), 44100)
    return tmp_path / "songs"


@pytest.mark.parametrize(
    ("settings", "expected"), [([], 1), (["threads=3"], 3), (["threads=0"], 2)]
)
def test_threads_are_the_recipes(songs, tmp_path, settings, expected):
    before, watch = torch.get_num_threads(), Watch()
    torch.set_num_threads(2)
    try:
        start = Start(load_recipe("umx-tiny"), [*SMALL, *settings])
        train(start, songs, tmp_path / "run", observer=watch)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert watch.threads == [expected] * 2
