import pytest
import torch

from partita.models import create_model

SMALL = {
    "sources": ["a", "b"],
    "fft_samples": 256,
    "hop_samples": 64,
    "bins": 64,
    "frames": 64,
    "widths": [4, 8, 16, 20],
}


def build(**values):
    torch.manual_seed(0)
    model = create_model("unet", {**SMALL, **values})
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):  # both signs of scale, real statistics
                module.weight.normal_()
                module.bias.normal_()
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return model.eval()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("widths", [[4], [4, 8, 16, 20], [20, 24]])
@torch.inference_mode()
def test_fused_networks_agree(channels, widths):
    model = build(channels=channels, widths=widths)
    image = torch.rand(2, channels, 64, 64)
    fast = model.for_inference()
    for source in model.sources:
        torch.testing.assert_close(
            fast.networks[source](image), model.networks[source](image), atol=1e-6, rtol=0
        )
    assert fast.for_inference().networks["a"] is fast.networks["a"]


def test_spleeters_size():
    model = create_model("unet", {"sources": ["vocals"]}, initialise=False)
    assert sum(parameter.numel() for parameter in model.parameters()) == 9_822_725


@torch.inference_mode()
def test_with_a_level_range_loudness_does_not_matter():
    model = build(level_range_db=[-14.0, -14.0])
    mixture = 0.1 * torch.randn(1, 2, 5000)
    loud = model(mixture * 8)
    torch.testing.assert_close(loud, model(mixture) * 8, atol=1e-5, rtol=1e-4)
    quiet = model(mixture * 0.005)  # -66 dB
    torch.testing.assert_close(loud, quiet * 1600, atol=1e-5, rtol=1e-4)
    plain = build()
    assert not torch.allclose(plain(mixture * 8), plain(mixture) * 8, atol=1e-3)


@torch.inference_mode()
def test_within_the_range_nothing_changes():
    mixture = 0.1 * torch.randn(1, 2, 5000)  # -20 dB
    ranged, plain = build(level_range_db=[-30.0, -10.0]), build()
    torch.testing.assert_close(ranged(mixture), plain(mixture))


@torch.inference_mode()
def test_each_member_of_a_batch_has_its_own_level():
    model = build(level_range_db=[-14.0, -14.0])
    mixture = 0.1 * torch.randn(1, 2, 5000)
    both = model(torch.cat([mixture, 10 * mixture]))
    torch.testing.assert_close(both[1], 10 * both[0], atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_estimates_add_up():
    mixture = torch.randn(2, 2, 5000)
    torch.testing.assert_close(build()(mixture).sum(dim=1), mixture)
