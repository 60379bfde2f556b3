"""What tests of several folders import (fixtures are in conftest.py)."""

import contextlib
import importlib.util
import resource
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest
import torch

from partita.models import create_model
from partita.training.losses import TrainingStep
from partita.training.recipes import load_recipe
from partita.weights.cards import CARDS, DEFAULT_MODEL
from partita.weights.chain import parse_chain

#: Real recordings and other people's scores, where this machine has them.
SHARED = Path(__file__).resolve().parents[2] / "shared"

#: The weights that people get unasked, and those that come with the package.
DEFAULT = (DEFAULT_MODEL, *(link.model for link in parse_chain(DEFAULT_MODEL)))
SHIPPED = [name for name, card in CARDS.items() if card.bundled]

#: A U-Net that is quick to run.
SMALL_UNET = {
    "fft_samples": 512,
    "hop_samples": 128,
    "bins": 128,
    "frames": 128,
    "overlap_frames": 32,
    "widths": [4, 8],
}

#: A band-split network that is quick to run.
SMALL_BANDS = {
    "fft_samples": 512,
    "hop_samples": 128,
    "bins": 200,
    "frames": 40,
    "overlap_frames": 8,
    "features": 6,
    "hidden": 5,
    "layers": 1,
    "mask_hidden": 7,
}

#: An Open-Unmix that is quick to run and to train.
SMALL_UNMIX = {
    "fft_samples": 512,
    "hop_samples": 128,
    "frames": 256,
    "overlap_frames": 64,
    "hidden": 16,
}


def load_script(name: str, monkeypatch: pytest.MonkeyPatch, folder: str = "scripts") -> ModuleType:
    """Import a file of ``scripts``, or of another folder beside the tests, for one test."""
    path = Path(__file__).resolve().parents[1] / folder / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)  # where dataclasses look it up
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def little_room(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond that many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def losses_of_recipe(
    name: str, sizes: Mapping[str, object], noise_level: float = 1.0
) -> list[float]:
    """Train a recipe some steps on one batch of a tone and noise, in small; return the losses."""
    settings = [f"{key}={value}" for key, value in sizes.items()]
    recipe = load_recipe(name).changed([*settings, "sources=tone,noise"])
    torch.manual_seed(0)
    model = create_model(recipe.model, recipe.config)
    step = TrainingStep(model, recipe.training.loss)
    times = torch.arange(2000) / 44100
    tone = (2 * torch.pi * 440 * times).sin().expand(2, 1, 2, -1)
    noise = torch.randn(2, 1, 2, 2000, generator=torch.Generator().manual_seed(1))
    rows = 0.1 * torch.cat([tone, noise_level * noise], dim=1)  # [B, S, C, T]
    optimiser = torch.optim.Adam(model.parameters(), recipe.training.learning_rate)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = step(rows).total
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def small_checkpoint(path: Path, name: str = "unet", **config: object) -> Path:
    """Write a valid checkpoint of some kilobytes, with random weights, to start from."""
    from partita.weights.checkpoint import save_checkpoint

    torch.manual_seed(0)
    sizes = {"unet": SMALL_UNET, "open-unmix": SMALL_UNMIX}.get(name, {})
    save_checkpoint(path, create_model(name, {"sources": ["a", "b"], **sizes, **config}).eval())
    return path
