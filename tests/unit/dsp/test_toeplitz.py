import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from partita.dsp.correlation import correlate
from partita.dsp.toeplitz import solve_block_toeplitz


def dense(blocks):
    """Write the matrix out, ``[n lags, n lags]`` with all lags of a channel together."""
    count, _, lags = blocks.shape
    rows = []
    for i in range(count):
        row = []
        for k in range(count):
            lag = torch.arange(lags)[:, None] - torch.arange(lags)
            row.append(torch.where(lag >= 0, blocks[i, k][lag.abs()], blocks[k, i][lag.abs()]))
        rows.append(torch.cat(row, dim=1))
    return torch.cat(rows)


@given(
    count=st.integers(1, 4),
    lags=st.integers(1, 12),
    columns=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_solves_the_dense_system(count, lags, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    signals = torch.randn(2, count, 300, generator=generator, dtype=torch.float64)
    blocks = torch.stack([correlate(signal, signal, lags) for signal in signals])
    right = torch.randn(2, count, lags, columns, generator=generator, dtype=torch.float64)
    before = blocks.clone(), right.clone()
    found = solve_block_toeplitz(blocks, right)
    for index in range(2):
        expected = torch.linalg.solve(dense(blocks[index]), right[index].flatten(0, 1))
        torch.testing.assert_close(found[index].flatten(0, 1), expected, atol=1e-10, rtol=1e-8)
    assert torch.equal(blocks, before[0])
    assert torch.equal(right, before[1])


def test_ill_conditioned_systems_keep_the_energy_right():
    """Signals without treble: condition numbers beyond 1e10, as decoded AAC has them."""
    generator = torch.Generator().manual_seed(0)
    spectrum = torch.fft.rfft(torch.randn(2, 8192, generator=generator, dtype=torch.float64))
    spectrum[:, 2000:] *= 1e-6
    signals = torch.fft.irfft(spectrum)
    blocks = correlate(signals, signals, 64)[None]
    matrix = dense(blocks[0])
    assert torch.linalg.cond(matrix) > 1e10
    right = torch.randn(1, 2, 64, 1, generator=generator, dtype=torch.float64)
    solution = solve_block_toeplitz(blocks, right)[0].flatten()
    residual = matrix @ solution - right.flatten()
    # Backward stable: small against the matrix and the solution, whatever the condition.
    assert residual.norm() < 1e-13 * torch.linalg.matrix_norm(matrix, 2) * solution.norm()


@pytest.mark.parametrize("blocks", [-torch.ones(1, 1, 3), torch.ones(1, 1, 3)])
def test_matrices_that_are_not_positive_definite_are_refused(blocks):
    with pytest.raises(ArithmeticError, match="not positive definite"):
        solve_block_toeplitz(blocks.double()[None], torch.ones(1, 1, 3, 1).double())
