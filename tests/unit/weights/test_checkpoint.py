"""partita's own file of weights, in 16 bits."""

import errno

import pytest
import torch
from safetensors import safe_open

from common import SMALL_UNET, little_room
from partita.errors import ModelError
from partita.models import create_model
from partita.weights.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create_model("unet", {**SMALL_UNET, "widths": [16, 64]}).eval()


def test_halved_weights_take_half_the_room_and_are_used_as_float32(model, tmp_path):
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    save_checkpoint(whole, model)
    save_checkpoint(half, model, half=True)
    with safe_open(half, framework="pt") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert {t.dtype for t in stored.values() if t.is_floating_point()} == {torch.float16}
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    loaded = load_checkpoint(half).state_dict()
    for name, tensor in model.state_dict().items():
        assert loaded[name].dtype == tensor.dtype
        torch.testing.assert_close(loaded[name], tensor, rtol=1e-3, atol=1e-7)


def test_what_16_bits_cannot_hold_is_refused_and_nothing_written(model, tmp_path):
    with torch.no_grad():
        next(model.parameters())[0] = 1e5
    with pytest.raises(ModelError, match="beyond the range of float16"):
        save_checkpoint(tmp_path / "half.safetensors", model, half=True)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_the_systems_own_error(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model)
    before = path.read_bytes()
    with pytest.raises(OSError, match="File too large") as caught, little_room(1000):
        save_checkpoint(path, model)
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
