"""Where a signal sounds: many parts rest for half of a song, and silence need not be worked on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Stretches:
    """The blocks of a signal in which it sounds, in order; what lies between is silent.

    They are worked on side by side, as if the pauses between had been cut out.

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
        cls, sounding: npt.NDArray[np.bool_], hop: int, *, before: int = 0, after: int = 0
    ) -> Stretches:
        """Keep blocks that sound, and so many silent ones around each.

        Parameters
        ----------
        sounding : ndarray ``[blocks]``
        hop : int
        before, after : int
            Blocks; what is worked out from a stretch has died away in those after it.
        """
        changes = np.zeros(len(sounding) + 1, np.int64)
        heard = np.flatnonzero(sounding)
        np.add.at(changes, np.maximum(heard - before, 0), 1)
        np.add.at(changes, np.minimum(heard + after + 1, len(sounding)), -1)
        return cls(hop, np.flatnonzero(np.cumsum(changes[:-1])))

    @property
    def spans(self) -> list[tuple[slice, slice]]:
        """Samples of the signal, and where they are when the pauses are cut out."""
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
        """Add what was worked out ``[..., kept * hop]`` to a whole signal, in place.

        What lies beyond the end of that is left out.
        """
        for whole, kept in self.spans:
            piece = total[..., whole]
            piece += kept_samples[..., kept.start : kept.start + piece.shape[-1]]
