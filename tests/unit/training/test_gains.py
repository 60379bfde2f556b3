"""Gains: what dictionaries learn from mixtures."""

import numpy as np
import pytest
import soundfile
import torch

from partita import Separator
from partita.datasets import open_dataset
from partita.models import create_model
from partita.training.nmf_training.dictionaries import DictionaryRecipe, learn_dictionaries
from partita.training.nmf_training.gains import can_have_gains, excerpts, learn_gains

RATE = 8000
CONFIG = {
    "sample_rate": RATE,
    "fft_samples": 256,
    "hop_samples": 128,
    "bins": 129,
    "bands": 48,
    "components": 2,
    "lags": 2,
}


def album(root, tracks=2):
    """Two sources whose tones lie so close that their templates overlap."""
    times = np.arange(8 * RATE) / RATE
    for track in range(tracks):
        folder = root / f"track {track}"
        folder.mkdir()
        for name, hertz in (("low", 400 + 20 * track), ("high", 900 - 30 * track)):
            noise = np.random.default_rng(hertz).standard_normal(len(times))
            swell = 0.5 + 0.5 * np.sin(2 * np.pi * (0.3 if name == "low" else 0.4) * times)
            level = 0.02 if name == "low" else 0.3
            signal = swell * (0.2 * np.sin(2 * np.pi * hertz * times) + level * noise)
            soundfile.write(folder / f"{name}.wav", signal, RATE)
    return open_dataset(root)


def learned(dataset, **recipe):
    values = {"sources": ("low", "high"), "gain_steps": 0, "seconds": 6, "model": CONFIG}
    return learn_dictionaries(dataset, DictionaryRecipe(**{**values, **recipe}))


def test_the_loss_falls_and_gains_stay_positive(tmp_path):
    dataset = album(tmp_path)
    model = learned(dataset)
    assert (model.gains == 1).all()
    templates = model.templates.clone()
    losses = list(learn_gains(model, excerpts(dataset, model, 6, seed=0), 40, seed=0))
    assert len(losses) == 40
    assert max(losses[-5:]) < losses[0] - 0.1  # dB, of the 18 that there are already
    assert (model.gains > 0).all()
    assert not torch.equal(model.gains, torch.ones_like(model.gains))
    assert torch.equal(model.templates, templates)


def test_estimates_get_better(tmp_path):
    dataset = album(tmp_path)
    track = dataset.tracks[0]
    true = {name: audio.samples for name, audio in track.load_stems().items()}

    def error(model):
        found = Separator(model)(sum(true.values()).expand(2, -1), RATE)
        return sum(float((found[name].samples - true[name]).square().sum()) for name in true)

    assert error(learned(dataset, gain_steps=60, mixtures=8)) < 0.97 * error(learned(dataset))


def test_the_seed_fixes_everything(tmp_path):
    dataset = album(tmp_path)
    first, again = (learned(dataset, gain_steps=3, mixtures=4).gains for _ in range(2))
    assert torch.equal(first, again)


def test_excerpts_are_songs_and_remixes(tmp_path):
    dataset = album(tmp_path)
    model = learned(dataset)
    parts = excerpts(dataset, model, 8, seed=0)
    assert len(parts) == 8
    assert {tuple(part.shape) for part in parts} == {(2, 6 * RATE)}
    stems = [track.load_stems() for track in dataset]
    low = parts[0][0]
    whole = stems[0]["low"].samples[0]
    windows = whole.unfold(0, len(low), 1)[:: RATE // 100]
    assert float((windows - low).abs().amax(dim=1).min()) < 0.2  # it is from there
    again = excerpts(dataset, model, 8, seed=0)
    assert all(map(torch.equal, parts, again))
    other = excerpts(dataset, model, 8, seed=1)
    assert all(map(torch.equal, parts[:4], other[:4]))  # only remixes are drawn
    assert not all(map(torch.equal, parts[4:], other[4:]))


def test_excerpts_at_another_rate_are_whole(tmp_path):
    dataset = album(tmp_path)
    own = excerpts(dataset, learned(dataset), 2, seed=0)[0]
    model = create_model("nmfd", {**CONFIG, "sources": ["low", "high"], "sample_rate": 2 * RATE})
    converted = excerpts(dataset, model, 2, seed=0)[0]
    assert converted.shape == (2, 12 * RATE)
    error = (converted[:, ::2] - own)[0]  # the one with little near the highest frequencies
    assert float(error[:1000].norm()) < 0.1 * float(own[0, :1000].norm())
    assert float(error[-1000:].norm()) < 0.1 * float(own[0, -1000:].norm())


def test_missing_stems_are_silent(tmp_path):
    dataset = album(tmp_path)
    (tmp_path / "track 1/high.wav").unlink()
    dataset = open_dataset(tmp_path)
    parts = excerpts(dataset, learned(dataset), 4, seed=0)
    assert any(not bool(part[1].any()) for part in parts)


def test_nothing_to_mix_leaves_gains_at_one(tmp_path):
    model = learned(album(tmp_path))
    assert not list(learn_gains(model, [], 5, seed=0))
    assert (model.gains == 1).all()


@pytest.mark.parametrize(
    ("values", "can"),
    [
        ({"sources": ["a", "b"]}, True),
        ({"sources": ["a"]}, False),
        ({"sources": ["a", "b", "c"], "free": ["c"]}, False),
        ({"sources": ["a", "b"], "adapt_iterations": 2}, False),
    ],
)
def test_where_gains_make_sense(values, can):
    assert can_have_gains(create_model("nmfd", {**CONFIG, **values})) == can
