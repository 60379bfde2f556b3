"""Levels of hybrid models in their form for inference give what the plain ones give."""

import pytest
import torch

from partita.models import _hybrid_fused, create_model
from partita.models._hybrid_fused import FusedDecoder, FusedEncoder

SMALL = {
    "hidden": 4,
    "fft_samples": 512,
    "depth": 3,
    "dconv_scale": 0.3,
    "dconv_compress": 2.0,
    "rescale": 0.5,
    "segment_s": 0.02,
    "bottom_channels": 8,
    "heads": 2,
    "layers": 3,
}
SWITCHES = {
    "as they are": {},
    "mono, one source": {"channels": 1, "sources": ["a"]},
    "other widths": {"hidden": 5, "hidden_time": 7, "growth": 1.5},
    "stride of two": {"stride": 2, "depth": 5},
    "no branches": {"dconv": "none"},
    "branches of the encoder": {"dconv": "encoder", "dconv_depth": 3},
    "branches of the decoder": {"dconv": "decoder", "dconv_depth": 1},
    "wide contexts": {"context": 2, "encoder_context": 1},
    "no contexts": {"context": 0},
    "norms within": {"norm_from": 2, "norm_groups": 2},
    "bands": {"bands": [0.25, 0.5], "band_levels": 1},
    "magnitudes": {"complex_as_channels": False},
}


def build(**values):
    torch.manual_seed(0)
    model = create_model("htdemucs", {**SMALL, **values}).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # no bias and no norm stays 0 or 1
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def noise(samples, channels=2, batch=2):
    generator = torch.Generator().manual_seed(samples)
    return 0.1 * torch.randn(batch, channels, samples, generator=generator) + 0.01


def assert_alike(found, expected, tolerance=1e-5):
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert float((found - expected).norm()) <= tolerance * float(expected.norm())


@pytest.mark.parametrize("values", SWITCHES.values(), ids=SWITCHES)
@pytest.mark.parametrize("block", [3000, 1 << 20], ids=["few rows", "at once"])
@torch.inference_mode()
def test_any_model(values, block, monkeypatch):
    monkeypatch.setattr(_hybrid_fused, "_BLOCK_NUMBERS", block)
    model = build(**values)
    fast = model.for_inference()
    for samples in (700, 3000):
        mixture = noise(samples, model.channels)
        before, expected = mixture.clone(), model(mixture)
        assert_alike(fast(mixture), expected)
        assert torch.equal(mixture, before)
    assert torch.equal(model(mixture), expected)


@torch.inference_mode()
def test_levels_are_fused_where_they_can_be():
    fast = build().for_inference()
    assert all(isinstance(layer, FusedEncoder) for layer in [*fast.encoder, *fast.tencoder])
    assert all(isinstance(layer, FusedDecoder) for layer in [*fast.decoder, *fast.tdecoder])
    fast = build(norm_from=2).for_inference()
    assert [isinstance(layer, FusedEncoder) for layer in fast.encoder] == [True, True, False]


def test_weights_are_shared_and_the_model_stays_as_it_was():
    model = build().train()
    fast = model.for_inference()
    assert model.training
    assert not fast.training
    layers = (each.crosstransformer.layers[0] for each in (fast, model))
    assert next(layers).linear1.weight is next(layers).linear1.weight
    assert all(not isinstance(layer, FusedEncoder) for layer in model.encoder)
    found, expected = fast(noise(999)).detach(), model.eval()(noise(999)).detach()
    assert_alike(found, expected)


@torch.inference_mode()
def test_silent_and_constant_rows_have_finite_norms():
    model = build()
    fast = model.for_inference()
    for mixture in (torch.zeros(1, 2, 3000), torch.full((1, 2, 3000), 0.5)):
        expected = model(mixture)
        assert fast(mixture).isfinite().all()
        largest = float(expected.abs().max())
        torch.testing.assert_close(fast(mixture), expected, rtol=0, atol=1e-4 * largest + 1e-6)


@torch.inference_mode()
def test_bfloat16():
    model = build()
    expected = model(noise(3000))
    with torch.autocast("cpu", torch.bfloat16):
        found = model.for_inference()(noise(3000))
    assert_alike(found, expected, 0.1)


@torch.inference_mode()
def test_double_precision():
    model = build().double()
    assert_alike(model.for_inference()(noise(999).double()), model(noise(999).double()), 1e-6)
