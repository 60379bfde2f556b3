import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from partita.dsp.double_rate import double_rate, halve_rate

BOTH = [double_rate, halve_rate]
SAMPLES = st.integers(2, 400)


def noise(samples, batch=2, channels=3, dtype=torch.float32):
    generator = torch.Generator().manual_seed(samples)
    return torch.randn(batch, channels, samples, generator=generator, dtype=dtype)


def test_tones():
    times = torch.arange(4000, dtype=torch.float64)
    for frequency in (0.001, 0.1, 0.35):  # of the rate
        tone = torch.sin(2 * torch.pi * frequency * times).float().expand(2, 3, -1)
        between = torch.sin(torch.pi * frequency * torch.arange(8000, dtype=torch.float64)).float()
        doubled = double_rate(tone)
        inside = slice(200, -200)
        assert float((doubled[0, 1] - between)[inside].abs().max()) < 1e-3
        assert float((halve_rate(doubled) - tone)[..., inside].abs().max()) < 1e-3
    above = torch.sin(2 * torch.pi * 0.35 * times).float()[None, None]  # beyond half the half rate
    assert float(halve_rate(above)[..., 100:-100].abs().max()) < 1e-3


@pytest.mark.parametrize(
    "samples", [1, 2, 3, 25, 26, 50, 51, 52, 102, 103, 104, 205, 206, 1023, 1024]
)
def test_lengths_and_constants(samples):
    ones = torch.full((2, 1, samples), -0.3)
    torch.testing.assert_close(double_rate(ones), torch.full((2, 1, 2 * samples), -0.3))
    torch.testing.assert_close(halve_rate(ones), torch.full((2, 1, samples // 2), -0.3))


@pytest.mark.parametrize("convert", BOTH)
@given(samples=SAMPLES, factor=st.floats(-10, 10))
def test_linear(convert, samples, factor):
    x, y = noise(samples, dtype=torch.float64), noise(samples + 1, dtype=torch.float64)[..., 1:]
    together, alone = convert(factor * x + y), factor * convert(x) + convert(y)
    torch.testing.assert_close(together, alone, atol=1e-12, rtol=0)


@pytest.mark.parametrize("convert", BOTH)
@given(samples=SAMPLES)
def test_channels_do_not_hear_each_other(convert, samples):
    x = noise(samples, dtype=torch.float64)
    together = convert(x)
    for example, channel in ((0, 0), (0, 2), (1, 1), (1, 2)):
        alone = convert(x[example, channel][None, None])[0, 0]
        torch.testing.assert_close(together[example, channel], alone, atol=1e-12, rtol=0)
    x[0, 1] = torch.nan
    assert convert(x).isnan().all(dim=-1).tolist() == [[False, True, False], [False] * 3]
    assert convert(x).isnan().any(dim=-1).tolist() == [[False, True, False], [False] * 3]


@given(samples=SAMPLES)
def test_backwards(samples):
    x = noise(samples, dtype=torch.float64)
    there, back = double_rate(x), double_rate(x.flip(-1)).flip(-1)
    torch.testing.assert_close(there[..., :-1], back[..., 1:])  # behind the last there is one more
    if samples % 2:  # every second sample, counted from either end
        there, back = halve_rate(x), halve_rate(x.flip(-1)).flip(-1)
        torch.testing.assert_close(there[..., 1:], back[..., :-1])


@given(samples=st.integers(1, 300), delay=st.integers(0, 60))
def test_delays(samples, delay):
    # Zeros on both sides are longer than filters reach.
    x = torch.nn.functional.pad(noise(samples, dtype=torch.float64), (110, 170))
    late = x.roll(delay, dims=-1)
    torch.testing.assert_close(double_rate(late), double_rate(x).roll(2 * delay, dims=-1))
    twice = double_rate(x)
    moved = halve_rate(twice.roll(2 * delay, dims=-1))
    torch.testing.assert_close(moved, halve_rate(twice).roll(delay, dims=-1))


@pytest.mark.parametrize("convert", BOTH)
@pytest.mark.parametrize("samples", [1, 2, 7, 60])
def test_gradients(convert, samples):
    x = noise(samples, 2, 1, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(convert, x)


@pytest.mark.parametrize("convert", BOTH)
def test_gradients_in_single_precision(convert):
    x = noise(300).requires_grad_()
    convert(x).square().sum().backward()
    assert x.grad.dtype == torch.float32
    assert x.grad.isfinite().all()
    assert x.grad.any(dim=-1).all()


@pytest.mark.parametrize("convert", BOTH)
def test_autocast_changes_nothing(convert):
    x = noise(300)
    expected = convert(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(convert(x), expected)


@pytest.mark.parametrize("convert", BOTH)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_comes_back_in_single(convert, dtype, autocast):
    x = noise(300).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        converted = convert(x)
    assert converted.dtype == torch.float32
    assert torch.equal(converted, convert(x.float()))


@pytest.mark.parametrize("convert", BOTH)
def test_double_precision_stays(convert):
    x = noise(300, dtype=torch.float64)
    assert convert(x).dtype == torch.float64
    torch.testing.assert_close(convert(x.float()).double(), convert(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("convert", BOTH)
@pytest.mark.parametrize("samples", [1, 2, 51, 300])
def test_input_is_not_changed_whatever_its_layout(convert, samples):
    x = noise(samples)
    before, expected = x.clone(), convert(x)
    assert torch.equal(x, before)
    assert torch.equal(convert(x.mT.contiguous().mT), expected)
    assert torch.equal(convert(x.repeat(1, 1, 2)[..., samples:]), expected)
    expanded = x[:, :1].expand(-1, 3, -1)
    torch.testing.assert_close(convert(expanded), expected[:, :1].expand(-1, 3, -1))
