"""Our averaged NMFD against libnmfd 1.0.0; scripts/freeze_libnmfd.py says how its results came."""

from pathlib import Path

import numpy as np
import pytest
import torch

from partita.dsp.nmfd import nmfd


@pytest.fixture(scope="module")
def vectors():
    """What libnmfd got and what it made of it: name → float64."""
    with np.load(Path(__file__).parent / "vectors" / "libnmfd.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def distance(ours, theirs):
    """Greatest difference over the greatest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def run(vectors, case, iterations, dtype=torch.float64):
    start = vectors[f"{case}_W"]
    _, components, lags = start.shape
    found = nmfd(
        vectors[f"{case}_V"].to(dtype),
        components,
        lags,
        updates="averaged",
        iterations=iterations,
        templates=start.to(dtype),
        activations=vectors[f"{case}_H"].to(dtype) * vectors[f"{case}_V"].sum(),
    )
    # libnmfd's activations are for a spectrogram that adds up to one.
    return found.templates, found.activations / vectors[f"{case}_V"].sum(), found


@pytest.mark.parametrize("iterations", range(1, 31))
def test_every_iteration(vectors, iterations):
    w, h, _ = run(vectors, "small", iterations)
    assert distance(w, vectors["small_Ws"][iterations - 1]) < 1e-12
    assert distance(h, vectors["small_Hs"][iterations - 1]) < 1e-12


def test_table_3(vectors):
    w, h, found = run(vectors, "table3", 30)
    assert distance(w, vectors["table3_W30"]) < 1e-12
    assert distance(h, vectors["table3_H30"]) < 1e-12
    model = found.components().sum(dim=0) / vectors["table3_V"].sum()
    assert distance(model, vectors["table3_model"]) < 1e-12


def test_single_precision(vectors):
    _, _, found = run(vectors, "table3", 30, torch.float32)
    model = found.components().sum(dim=0) / vectors["table3_V"].sum()
    assert distance(model, vectors["table3_model"]) < 1e-5
