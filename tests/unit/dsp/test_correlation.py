import pytest
import torch

from partita.dsp.correlation import correlate


@pytest.mark.parametrize("samples", [5, 100, 4000, 9000, 120000])
def test_equals_the_definition(samples):
    generator = torch.Generator().manual_seed(samples)
    first, second = (
        torch.randn(count, samples, generator=generator, dtype=torch.float64) for count in (2, 3)
    )
    found = correlate(first, second, 16)
    assert found.shape == (2, 3, 16)
    for lag in range(min(16, samples)):
        expected = first[:, : samples - lag] @ second[:, lag:].T
        torch.testing.assert_close(found[..., lag], expected, atol=1e-9, rtol=1e-12)


def test_longer_second_signals_go_on_behind_the_first():
    generator = torch.Generator().manual_seed(0)
    signals = torch.randn(2, 10000, generator=generator, dtype=torch.float64)
    pieces = [(0, 3000), (3000, 7500), (7500, 10000)]
    summed = sum(
        correlate(signals[:, start:stop], signals[:, start : stop + 31], 32)
        for start, stop in pieces
    )
    torch.testing.assert_close(summed, correlate(signals, signals, 32))
