"""What hybrid models refuse, and what parity with demucs 4.1.0 does not show."""

import pytest
import torch

from partita.errors import ModelError
from partita.models import create_model
from partita.models._hybrid_spectrum import HybridTransform

SMALL = {"fft_samples": 256, "hidden": 4, "dconv_compress": 1.0, "rescale": 0.5, "segment_s": 0.1}
HDEMUCS = {**SMALL, "depth": 5}
HTDEMUCS = {**SMALL, "depth": 2, "bottom_channels": 8, "heads": 2, "layers": 2}


@pytest.mark.parametrize(
    ("model", "changed", "message"),
    [
        ("hdemucs", {"depth": 2}, "depth is too small"),
        ("hdemucs", {"fft_samples": 100}, "multiple of 8"),
        ("hdemucs", {"fft_samples": 320}, "must divide"),
        ("hdemucs", {"stride": 3}, "stride must be even"),
        ("hdemucs", {"bands": [0.5, 0.25]}, "ascending"),
        ("hdemucs", {"bands": [0.5], "band_levels": 4}, "levels with bands"),
        ("htdemucs", {"depth": 5}, "depth is too large"),
        ("htdemucs", {"heads": 3}, "divide by 4 and by heads"),
        ("htdemucs", {"bottom_channels": 0, "hidden_time": 2}, "same width"),
        ("htdemucs", {"positions": "learned"}, "one of sin"),
        ("demucs-v3", {"dconv_compress": 1000.0}, "dconv_compress"),
        ("demucs-v3", {"norm_from": 0, "norm_groups": 3}, "cannot be built"),
    ],
)
def test_configurations_that_make_no_sense(model, changed, message):
    base = {"hdemucs": HDEMUCS, "htdemucs": HTDEMUCS}.get(model, {"hidden": 4})
    with pytest.raises(ModelError, match=message):
        create_model(model, {**base, **changed}, initialise=False)


@pytest.mark.parametrize("delayed", [False, True])
@pytest.mark.parametrize("samples", [1, 64, 1000])
def test_the_transform_and_back(samples, delayed):
    signal = torch.randn(1, 2, samples, generator=torch.Generator().manual_seed(0))
    transform = HybridTransform(256, delayed=delayed)
    spectrogram = transform.analyse(signal)
    assert spectrogram.shape == (1, 2, 128, -(-samples // 64))
    found = transform.synthesise(spectrogram, samples)
    assert found.shape == signal.shape
    if samples == 1000:  # but for the highest bin, and the delay of a frame and a half
        late = 96 if delayed else 0
        inside = slice(256, 744)
        expected = signal[..., inside.start - late : inside.stop - late]
        assert float((found[..., inside] - expected).norm() / expected.norm()) < 0.15


def test_songs_shorter_than_a_window_are_padded_but_in_training():
    torch.manual_seed(0)
    model = create_model("htdemucs", HTDEMUCS).eval()
    mixture = torch.randn(1, 2, 3000)
    padded = torch.nn.functional.pad(mixture, (0, model.window.length - 3000))
    with torch.inference_mode():
        assert torch.equal(model(mixture), model(padded)[..., :3000])
        assert not torch.equal(model.train()(mixture), model.eval()(mixture))


@pytest.mark.parametrize("positions", ["sin", "cape"])
def test_positions_move_in_training_only(positions):
    torch.manual_seed(0)
    given = {**HTDEMUCS, "positions": positions, "most_shift": 100, "pad_to_segment": False}
    model = create_model("htdemucs", given)
    mixture = torch.randn(1, 2, 3000)
    with torch.inference_mode():
        torch.manual_seed(1)
        moved = [model.train()(mixture) for _ in range(3)]
        assert not torch.equal(moved[0], moved[1]) or not torch.equal(moved[1], moved[2])
        assert torch.equal(model.eval()(mixture), model(mixture))


@pytest.mark.parametrize("name", ["hdemucs", "htdemucs"])
def test_half_precision_comes_close(name):
    torch.manual_seed(0)
    model = create_model(name, HDEMUCS if name == "hdemucs" else HTDEMUCS).eval()
    mixture = 0.1 * torch.randn(1, 2, 5000)
    with torch.inference_mode():
        expected = model(mixture)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = model(mixture)
    assert found.dtype == torch.float32
    assert float((found - expected).norm() / expected.norm()) < 0.05
