import copy
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from partita.models import _demucs_fused, create_model
from partita.models._demucs_fused import Product
from partita.models._lstm import Lstm, WideLstm
from partita.separation.windowed import InferenceOptions, WindowedModel

pytestmark = pytest.mark.slow

NAMES = ["demucs", "demucs-multidecoder"]
SMALL = {"sources": ["a", "b", "c"], "hidden": 4, "depth": 3, "rescale": 1.0, "lstm_layers": 1}
SIZES = [(8, 4), (7, 3), (5, 5), (4, 4), (3, 1)]  # kernel, stride
CONTEXTS = [1, 2, 3, 5]
SWITCHES = [
    {"glu": False},
    {"rewrite": False},
    {"rewrite": False, "context": 1, "kernel": 7, "stride": 3},
    {"lstm_layers": 0},
    {"lstm_layers": 2},
    {"bidirectional": False},
    {"lstm_layers": 2, "bidirectional": False},
    {"channels": 1},
    {"channels": 1, "sources": ["a"], "resample": False},
    {"resample": False},
    {"normalise": False},
    {"depth": 1},
    {"growth": 1.3, "hidden": 2, "depth": 4, "kernel": 2, "stride": 2},
]


def build(name="demucs", **values):
    torch.manual_seed(0)
    if name == "demucs-multidecoder" and not values.get("rewrite", True):
        values["decoder_width"] = 1.0
    return create_model(name, {**SMALL, **values}).eval()


def noise(samples, batch=1, channels=2):
    generator = torch.Generator().manual_seed(samples)
    return 0.1 * torch.randn(batch, channels, samples, generator=generator) + 0.01


def assert_alike(found, expected, tolerance=1e-5):
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert float((found - expected).norm()) <= tolerance * float(expected.norm())


def assert_agrees(model, lengths=(1, 2, 13, 64, 301), batch=2):
    fast = model.for_inference()
    for samples in lengths:
        mixture = noise(samples, batch, model.channels)
        before = mixture.clone()
        expected = model(mixture)
        assert_alike(fast(mixture), expected)
        assert torch.equal(mixture, before)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("kernel", "stride"), SIZES)
@pytest.mark.parametrize("context", CONTEXTS)
@torch.inference_mode()
def test_any_size(name, kernel, stride, context):
    assert_agrees(build(name, kernel=kernel, stride=stride, context=context))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("values", SWITCHES)
@torch.inference_mode()
def test_any_switch(name, values):
    assert_agrees(build(name, **values))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("values", [{}, {"lstm_layers": 2}, {"bidirectional": False}])
@pytest.mark.parametrize("batch", [1, 3, 5])
@torch.inference_mode()
def test_wide_recurrences(monkeypatch, name, values, batch):
    assert isinstance(build().for_inference().recurrence.lstm, Lstm)
    monkeypatch.setattr(WideLstm, "MIN_FEATURES", 1)
    model = build(name, **values)
    assert isinstance(model.for_inference().recurrence.lstm, WideLstm)
    assert_agrees(model, batch=batch)


@pytest.mark.parametrize("width", [0.1, 0.5, 1.0, 2.0])
@torch.inference_mode()
def test_any_width_of_decoders(width):
    assert_agrees(build("demucs-multidecoder", decoder_width=width))


@pytest.mark.parametrize("batch", [1, 2, 3])
@torch.inference_mode()
def test_any_number_of_samples(batch):
    assert_agrees(build(), (*range(1, 40), 127, 128, 129, 997), batch)


@given(
    st.sampled_from(NAMES),
    st.fixed_dictionaries(
        {
            "stride": st.integers(1, 4),
            "context": st.integers(1, 5),
            "hidden": st.integers(2, 5),
            "depth": st.integers(1, 3),
            "growth": st.sampled_from([1.0, 1.5, 2.0]),
            "channels": st.integers(1, 2),
            "lstm_layers": st.integers(0, 2),
            "sources": st.sampled_from([["a"], ["a", "b"]]),
            **dict.fromkeys(
                ["glu", "rewrite", "bidirectional", "resample", "normalise"], st.booleans()
            ),
        }
    ),
    st.integers(0, 6),
    st.integers(1, 200),
    st.integers(1, 3),
)
@torch.inference_mode()
def test_any_model(name, values, longer, samples, batch):
    model = build(name, kernel=max(2, values["stride"] + longer), **values)
    assert_agrees(model, [samples], batch)


@torch.inference_mode()
def test_convolutions_of_a_single_weight():
    values = {"sources": ["a"], "channels": 1, "hidden": 2, "depth": 1, "kernel": 1, "stride": 1}
    model = build("demucs-multidecoder", **values)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert_agrees(model)


def cut_every(monkeypatch, rows):
    """Let blocks have some number of rows, which may be fewer than there ever are."""

    def blocks(count, products):
        return itertools.pairwise([*range(0, count, rows), count])

    monkeypatch.setattr(_demucs_fused, "_blocks", blocks)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("kernel", "stride"), SIZES)
@pytest.mark.parametrize("rows", [1, 2, 3, 7])
@torch.inference_mode()
def test_blocks_of_a_few_rows(monkeypatch, name, kernel, stride, rows):
    cut_every(monkeypatch, rows)
    assert_agrees(build(name, kernel=kernel, stride=stride, depth=2), (1, 13, 100))


@pytest.mark.parametrize("values", [{"glu": False}, {"rewrite": False}, {"context": 1}])
@torch.inference_mode()
def test_blocks_of_other_models(monkeypatch, values):
    cut_every(monkeypatch, 3)
    assert_agrees(build(depth=2, **values), (1, 13, 100))


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_blocks_of_a_long_signal(monkeypatch, name):
    model, mixture = build(name), noise(9000)
    expected = model(mixture)
    assert_alike(model.for_inference()(mixture), expected)
    monkeypatch.setattr(_demucs_fused, "_BLOCK_NUMBERS", 1)  # 256 rows each, of 18 000, 4500, …
    assert_alike(model.for_inference()(mixture), expected)


@given(st.integers(0, 3000), st.integers(1, 1 << 19), st.integers(1, 1 << 12))
def test_blocks_leave_nothing_out(count, inputs, outputs):
    product = Product(torch.empty(0), torch.empty(0), 1)
    product.numbers = lambda: inputs + outputs
    rows = [row for pair in _demucs_fused._blocks(count, [product]) for row in range(*pair)]
    assert rows == list(range(count))


CONVOLUTION = (
    st.integers(1, 4),  # channels
    st.integers(1, 4),  # outputs
    st.integers(1, 9),  # kernel
    st.integers(1, 9),  # stride
    st.integers(0, 20),  # more steps than needed
)


@given(*CONVOLUTION)
def test_a_convolution_is_a_product(channels, outputs, kernel, stride, more):
    torch.manual_seed(kernel)
    x = torch.randn(kernel + more, channels)
    weight, bias = torch.randn(outputs, channels, kernel), torch.randn(outputs)
    product = Product.of_convolution(weight, bias, stride)
    expected = functional.conv1d(x.T[None], weight, bias, stride)[0].T
    assert product.places(len(x)) == len(expected)
    assert product.numbers() == kernel * channels + outputs
    torch.testing.assert_close(product(x), expected, atol=1e-5, rtol=1e-5)
    beginning = torch.cat([torch.full((3, channels), torch.nan), x])  # as blocks of a signal are
    torch.testing.assert_close(product(beginning[3:]), expected, atol=1e-5, rtol=1e-5)


@given(*CONVOLUTION)
def test_a_transposed_convolution_is_a_product(channels, outputs, kernel, stride, more):
    torch.manual_seed(kernel)
    x = torch.randn(1 + more, channels)
    weight, bias = torch.randn(channels, outputs, kernel), torch.randn(outputs)
    product = Product.of_transposed(weight, bias, stride)
    edge = product.reach - 1
    given_ = product(functional.pad(x, (0, 0, edge, edge))).reshape(-1, outputs)
    expected = functional.conv_transpose1d(x.T[None], weight, bias, stride)[0].T
    found, rest = given_[: len(expected)], given_[len(expected) :]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert len(rest) < stride
    assert torch.equal(rest, bias.expand_as(rest))


def test_a_product_in_another_precision():
    product = Product.of_convolution(torch.randn(3, 2, 5), torch.randn(3), 2)
    assert product.to_dtype(torch.float32) is product
    half = product.to_dtype(torch.bfloat16)
    assert (half.matrix.dtype, half.bias.dtype) == (torch.bfloat16, torch.bfloat16)
    assert (half.reach, half.stride) == (5, 2)
    assert product.matrix.dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_double_precision(name):
    model, mixture = build(name).double(), noise(301, 2).double()
    assert_alike(model.for_inference()(mixture), model(mixture), 1e-13)


@torch.inference_mode()
def test_mixtures_in_any_layout():
    model = build(normalise=False)
    fast, mixture = model.for_inference(), noise(301, 2)
    expected = model(mixture)
    assert_alike(fast(mixture.mT.contiguous().mT), expected)
    assert_alike(fast(mixture.repeat(1, 1, 2)[..., 301:]), expected)
    assert_alike(fast(mixture[:1].expand(3, -1, -1)), expected[:1].expand(3, -1, -1, -1))


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_examples_do_not_hear_each_other(name):
    fast, mixture = build(name).for_inference(), noise(301, 3)
    for index, expected in enumerate(fast(mixture)):
        assert_alike(fast(mixture[index : index + 1])[0], expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("normalise", [False, True])
@torch.inference_mode()
def test_silence_among_others(name, normalise):
    fast, mixture = build(name, normalise=normalise).for_inference(), noise(301, 3)
    mixture[1] = 0
    estimates = fast(mixture)
    assert not estimates[1].any()
    assert estimates[0].any()
    assert estimates[2].any()


@pytest.mark.parametrize("values", [{}, {"lstm_layers": 0}])
def test_the_original_trains_on(values):
    model = build(**values)
    state, mixture = copy.deepcopy(model.state_dict()), noise(301, 2)
    expected = model(mixture)
    model.train()
    fast = model.for_inference()
    assert not fast(mixture).requires_grad
    assert not any(module.training for module in fast.modules())
    for name, module in model.named_modules():
        assert module.training, name
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[key])
    estimates = model(mixture)
    assert_alike(estimates.detach(), expected.detach())
    estimates.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_the_recurrence_are_shared(name):
    model = build(name)
    fast = model.for_inference()
    shared = {parameter.data_ptr() for parameter in fast.parameters()}
    assert shared == {parameter.data_ptr() for parameter in model.recurrence.parameters()}
    assert all(key.startswith("recurrence.") for key in fast.state_dict())
    assert fast.for_inference() is fast
    for attribute in ("registry_name", "config", "window", "sources", "learned", "channels"):
        assert getattr(fast, attribute) == getattr(model, attribute)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"lstm_layers": 0, "rescale": 0.5},  # with larger weights, either model is at 30 dB
        {"resample": False},
        {"glu": False},
        {"normalise": False},
    ],
)
@torch.inference_mode()
def test_in_bfloat16_it_is_close(name, values):
    model, mixture = build(name, **values), noise(3000, 2)
    fast, expected = model.for_inference(), model(mixture)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, plain = fast(mixture), model(mixture)
    assert found.dtype == plain.dtype == torch.float32
    difference = float((found - expected).norm())
    assert 0 < difference < 10 ** (-30 / 20) * float(expected.norm())
    assert difference < 1.25 * float((plain - expected).norm())
    assert_alike(fast(mixture), expected)  # as before


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_it_is_what_runs(precision):
    model, mixture = build(), noise(301, 2)
    runner = WindowedModel(model, InferenceOptions(torch.device("cpu"), precision))
    assert (type(runner.model), runner.batch) == (_demucs_fused.FusedDemucs, 4)
    with torch.inference_mode():
        tolerance = 1e-5 if precision == torch.float32 else 10 ** (-30 / 20)
        assert_alike(runner.estimate([mixture])[0], model(mixture), tolerance)
