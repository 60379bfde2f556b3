"""The LSTM that is trained in full precision."""

import pytest
import torch

from partita.models import create_model
from partita.models._lstm import Lstm, WideLstm
from partita.training.losses import TrainingStep

SMALL = {"fft_samples": 256, "hop_samples": 64, "bins": 100, "frames": 32, "overlap_frames": 8}


@pytest.fixture
def lstm():
    torch.manual_seed(0)
    return Lstm(6, 4, bidirectional=True)


def test_is_an_lstm(lstm):
    x = torch.randn(5, 2, 6)
    plain = torch.nn.LSTM(6, 4, bidirectional=True)
    plain.load_state_dict(lstm.state_dict())
    assert torch.equal(lstm(x)[0], plain(x)[0])


def test_autocast_leaves_it_alone_in_training(lstm):
    x = torch.randn(5, 2, 6)
    expected = lstm(x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(lstm(x)[0], expected)
        assert lstm(x.bfloat16())[0].dtype == torch.float32  # what a layer before it gives
        with torch.no_grad():
            assert lstm(x)[0].dtype == torch.bfloat16


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 9])
@torch.inference_mode()
def test_wide_ones_agree(bidirectional, layers, batch):
    torch.manual_seed(batch)
    lstm, x = Lstm(6, 8, layers, bidirectional=bidirectional), torch.randn(7, batch, 6)
    before = x.clone()
    torch.testing.assert_close(WideLstm(lstm)(x)[0], lstm(x)[0], rtol=1e-5, atol=1e-6)
    assert torch.equal(x, before)


def test_wide_ones_leave_other_cases_to_pytorch(lstm):
    wide, x = WideLstm(lstm), torch.randn(5, 2, 6)
    assert torch.equal(wide(x)[0], lstm(x)[0])  # with gradients
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(wide(x)[0], lstm(x)[0])
    lstm.double()
    with torch.no_grad():
        assert torch.equal(wide(x.double())[0], lstm(x.double())[0])


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("band-split", {**SMALL, "features": 4, "hidden": 4, "layers": 1}),
        ("open-unmix", {**SMALL, "bins": 0, "hidden": 8, "layers": 1}),
        ("demucs", {"hidden": 4, "depth": 2, "lstm_layers": 1}),
    ],
)
def test_networks_learn_in_bfloat16(name, sizes):
    """Gradients reach the recurrent weights, and come from full precision."""
    model = create_model(name, sizes)
    step = TrainingStep(model, "l1")
    rows = 0.1 * torch.randn(2, len(model.sources), model.channels, 4000)
    with torch.autocast("cpu", torch.bfloat16):
        losses = step(rows)
    losses.total.backward()
    found = [m for m in model.modules() if isinstance(m, Lstm)]
    assert found
    for weight in (p for each in found for p in each.parameters()):
        assert weight.grad.abs().sum() > 0
