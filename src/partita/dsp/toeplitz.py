"""Symmetric positive definite block Toeplitz systems, for multichannel filters."""

from __future__ import annotations

import torch
from torch import Tensor


def solve_block_toeplitz(blocks: Tensor, right: Tensor) -> Tensor:
    """Solve a batch of symmetric positive definite block Toeplitz systems.

    Parameters
    ----------
    blocks : Tensor ``[batch, n, n, lags]``
        Block (a, b) of the matrix is ``blocks[..., a - b]`` for a ≥ b, its transpose above.
    right : Tensor ``[batch, n, lags, columns]``

    Returns
    -------
    Tensor ``[batch, n, lags, columns]``

    Raises
    ------
    ArithmeticError
        A matrix is not positive definite to working precision.

    Notes
    -----
    The Schur algorithm (Kailath & Sayed, "Displacement structure", SIAM Review 1995, section 4)
    finds the block Cholesky factor from the first block column in O(n³ lags²) operations instead
    of O(n³ lags³). Hyperbolic rotations are applied in mixed form, which keeps it as stable as
    Cholesky's (Bojanczyk, Brent, Van Dooren & De Hoog, SIAM J. Algebraic Discrete Methods 1987).
    """
    batch, n, lags, columns = right.shape
    try:
        rows = _factor(blocks)
    except RuntimeError as error:  # torch.linalg.LinAlgError, which is not exported
        raise ArithmeticError("a matrix is not positive definite") from error
    # Grouped by lag: [batch, lags * n, columns].
    solution = right.transpose(1, 2).reshape(batch, lags * n, columns).clone()
    inverses = torch.linalg.inv(torch.stack([row[..., :n] for row in rows]))
    for step, row in enumerate(rows):  # forward: lower triangle times y = right
        here, below = slice(step * n, (step + 1) * n), slice((step + 1) * n, None)
        solved = inverses[step].mT @ solution[:, here]
        solution[:, here] = solved
        solution[:, below].baddbmm_(row[..., n:].mT, solved, alpha=-1)
    for step in reversed(range(lags)):  # backward: its transpose times the solution = y
        row = rows[step]
        here, below = slice(step * n, (step + 1) * n), slice((step + 1) * n, None)
        rest = torch.baddbmm(solution[:, here], row[..., n:], solution[:, below], alpha=-1)
        solution[:, here] = inverses[step] @ rest
    return solution.reshape(batch, lags, n, columns).transpose(1, 2)


def _factor(blocks: Tensor) -> list[Tensor]:
    """Return block rows ``[batch, n, (lags - step) n]`` of the factor R of each matrix Rᵀ R.

    Diagonal blocks are not triangular: R is unique up to an orthogonal factor of each block row.
    """
    batch, n, _, lags = blocks.shape
    root = torch.linalg.cholesky(blocks[..., 0])
    first = blocks.permute(0, 2, 3, 1).reshape(batch, n, lags * n)  # its transposed block column
    positive = torch.linalg.solve_triangular(root, first, upper=False)
    negative = positive[..., n:]
    rows = [positive]
    for step in range(1, lags):
        # The matrix less its copy, one block further down and right, is
        # positiveᵀ positive - negativeᵀ negative; a rotation that keeps this difference and clears
        # the first block of `negative` leaves the next row of the factor in `positive`.
        positive = positive[..., : (lags - step) * n]
        ratio = torch.linalg.solve(positive[..., :n], negative[..., :n], left=False)
        left, tanh, right = torch.linalg.svd(ratio)  # [batch, n, n], [batch, n], [batch, n, n]
        if not bool((tanh < 1).all()):
            raise ArithmeticError("a matrix is not positive definite")
        cosine = ((1 - tanh) * (1 + tanh)).sqrt()[..., None]  # 1 / cosh
        tanh, left = tanh[..., None], left.mT
        positive = torch.baddbmm(
            (right / cosine) @ positive, left * (tanh / cosine), negative, alpha=-1
        )
        negative = (left * cosine) @ negative[..., n:] - tanh * positive[..., n:]
        rows.append(positive)
    return rows
