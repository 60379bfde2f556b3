"""Blocks in which a signal is not silent: many parts rest for half of a song."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ActiveBlocks:
    """The blocks of a signal that are not silent, in order.

    They are processed as one signal, with the pauses cut out.

    Attributes
    ----------
    hop : int
        Samples of a block.
    blocks : ndarray ``[kept]``
        Numbers of the blocks.
    """

    hop: int
    blocks: npt.NDArray[np.int64]

    @classmethod
    def around(
        cls, is_active: npt.NDArray[np.bool_], hop: int, *, before: int = 0, after: int = 0
    ) -> ActiveBlocks:
        """Keep active blocks, and so many silent ones around each.

        Parameters
        ----------
        is_active : ndarray ``[blocks]``
        hop : int
        before, after : int
            Blocks; what rings on after an active block has died away after these.
        """
        changes = np.zeros(len(is_active) + 1, np.int64)
        active = np.flatnonzero(is_active)
        np.add.at(changes, np.maximum(active - before, 0), 1)
        np.add.at(changes, np.minimum(active + after + 1, len(is_active)), -1)
        return cls(hop, np.flatnonzero(np.cumsum(changes[:-1])))

    @property
    def spans(self) -> list[tuple[slice, slice]]:
        """Slices of the signal, and their places once the pauses are cut out."""
        cuts = np.flatnonzero(np.diff(self.blocks) > 1) + 1
        firsts, ends = np.append(0, cuts).tolist(), np.append(cuts, len(self.blocks)).tolist()
        spans = []
        for first, end in zip(firsts, ends, strict=True):
            if end > first:
                begin = int(self.blocks[first]) * self.hop
                whole = slice(begin, begin + (end - first) * self.hop)
                spans.append((whole, slice(first * self.hop, end * self.hop)))
        return spans

    def cut(self, samples: Samples, factor: float = 1.0) -> Samples:
        """Return ``[channels, kept * hop]`` of samples times a factor.

        Beyond the end they are silent.
        """
        out = np.empty((len(samples), len(self.blocks) * self.hop), np.float32)
        for whole, kept in self.spans:
            piece = samples[:, whole]
            begin, end = kept.start, kept.start + piece.shape[1]
            np.multiply(piece, np.float32(factor), out=out[:, begin:end])
            out[:, end : kept.stop] = 0
        return out

    def add(self, kept_samples: Samples, total: Samples) -> None:
        """Add a processed signal ``[..., kept * hop]`` to a whole one, in place.

        Samples beyond its end are left out.
        """
        for whole, kept in self.spans:
            piece = total[..., whole]
            piece += kept_samples[..., kept.start : kept.start + piece.shape[-1]]
