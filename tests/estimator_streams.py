"""Streams through estimators: random signals, all estimates at once, what waits inside."""

import torch

from partita.separation.windowed import estimate_blocks


def noise(*shape, seed=0):
    return 0.3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def estimated(estimator, mixture, block=777):
    return torch.cat(list(estimate_blocks(estimator, torch.split(mixture, block, dim=-1))), dim=-1)


def most_waiting(estimator, count):
    """Return how many samples of a stream have gone in and not come out, at most."""
    read = written = waiting = 0

    def blocks():
        nonlocal read
        for index in range(count):
            read += 500
            yield noise(1, 2, 500, seed=index)

    for block in estimate_blocks(estimator, blocks()):
        waiting = max(waiting, read - written)
        written += block.shape[-1]
    assert written == read
    return waiting
