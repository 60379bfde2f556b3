"""Every recipe for a network: begins, trains, goes on, separates; small enough for a test."""

import numpy as np
import pytest
import soundfile
import torch

from partita.training.recipes import DICTIONARIES, load_recipe, recipe_names
from partita.training.run_folder import read_losses

RATE = 8000
SOURCES = "vocals,drums"
TRAINING = {
    "batch_size": 2,
    "accumulate": 2,
    "excerpt_s": 0.25,
    "steps_per_epoch": 2,
    "valid_excerpts": 2,
    "workers": 1,
}
FRAMES = {"fft_samples": 256, "hop_samples": 64}
DENSE = {**FRAMES, "first_channels": "4,4,2", "splits_hz": "1000", "blocks": "3x2 2x1 3x2,2x1,2x1"}
ROFORMER = {
    **{**FRAMES, "window_samples": 256, "features": 8, "layers": 1, "heads": 2, "head_features": 4},
    **{"mask_expansion": 1, "segment_samples": 12800, "overlap_samples": 3200},
}
#: What makes a model small.
SMALL = {
    "open-unmix": {**FRAMES, "hidden": 8, "bandwidth_hz": 4000},
    "crosstalk-unmix": {**FRAMES, "hidden": 8, "bandwidth_hz": 4000},
    "demucs": {"hidden": 4, "depth": 3, "segment_s": 0.5},
    "demucs-multidecoder": {"hidden": 4, "depth": 3, "segment_s": 0.5},
    "htdemucs": {
        **{"fft_samples": 1024, "hidden": 4, "depth": 3, "dconv_compress": 2, "segment_s": 0.25},
        **{"bottom_channels": 8, "layers": 2, "heads": 2},
    },
    "conv-tasnet": {"filters": 8, "bottleneck": 8, "hidden": 8, "blocks": 2, "repeats": 1},
    "mmdensenet": DENSE,
    "mmdenselstm": {
        **DENSE,
        "splits_hz": "500,1000",
        "first_channels": "4,4,4,2",
        "blocks": "3x2 2x1 3x2+4,2x1,+2,2x1",
    },
    "unet": {**FRAMES, "bins": 128, "widths": "4,8", "frames": 32, "overlap_frames": 8},
    "band-split": {
        **FRAMES,
        "bins": 129,
        "frames": 32,
        "overlap_frames": 8,
        "features": 8,
        "hidden": 8,
        "layers": 1,
        "mask_hidden": 8,
    },
    "bs-roformer": {**ROFORMER, "band_bins": "4,8,16,101"},
    "mdx23c": {
        **{**FRAMES, "bins": 120, "subbands": 2, "width": 4, "growth": 2, "depth": 2, "blocks": 1},
        "segment_s": 0.25,
    },
    "mel-band-roformer": {**ROFORMER, "bands": 6},
    "scnet": {
        **{**FRAMES, "widths": "6,8", "strides": "1,2,4", "kernels": "3,2,4", "dual_layers": 2},
        **{"convolutions": "2,1,1", "segment_s": 0.25},
    },
    "tfc-tdf": {
        **FRAMES,
        "bins": 128,
        "frames": 32,
        "overlap_frames": 7,
        "width": 4,
        "growth": 2,
        "depth": 2,
    },
}


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    folder = tmp_path_factory.mktemp("album")
    generator = np.random.default_rng(0)
    times = np.arange(2 * RATE) / RATE
    for index in range(3):
        track = folder / f"track {index}"
        track.mkdir()
        tone = 0.3 * np.sin(2 * np.pi * (300 + 100 * index) * times)
        soundfile.write(track / "vocals.wav", tone, RATE)
        soundfile.write(track / "drums.wav", 0.05 * generator.normal(size=len(times)), RATE)
    return folder


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", [name for name in recipe_names() if name != DICTIONARIES])
def test_recipes(run, album, tmp_path, monkeypatch, name):
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))
    small = {**TRAINING, **SMALL[load_recipe(name).model], "sample_rate": RATE}

    def train(epochs, *arguments):
        values = {**small, "epochs": epochs}
        flags = [flag for key, value in values.items() for flag in ("--set", f"{key}={value}")]
        return run("train", name, "--data", album, "--sources", SOURCES, "-o", tmp_path / "mine",
                   *flags, *arguments)  # fmt: skip

    assert train(1).status == 0
    resumed = train(3, "--resume")
    assert resumed.status == 0, resumed.err
    losses = [row["train"] for row in read_losses(tmp_path / "mine" / "losses.csv")]
    assert len(losses) == 3
    assert np.isfinite(losses).all()
    song = tmp_path / "song.wav"
    soundfile.write(song, 0.1 * np.random.default_rng(1).normal(size=(3 * RATE, 2)), RATE)
    result = run("separate", song, "--model", tmp_path / "mine", "-o", tmp_path / "stems")
    assert result.status == 0, result.err
    for source in SOURCES.split(","):
        (path,) = (tmp_path / "stems").rglob(f"{source}.wav")
        assert len(soundfile.read(path)[0]) == 3 * RATE
