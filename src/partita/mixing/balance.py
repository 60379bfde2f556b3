"""Gains and pans of stems: from the stems' samples to those of each track."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from partita.errors import UsageError

Samples = npt.NDArray[np.float32]


def pan_matrix(pan: float) -> npt.NDArray[np.float32]:
    """Return ``[out, in]`` factors of a stereo signal.

    The law is that of the Web Audio API's StereoPannerNode (section 1.28): the middle changes
    nothing; towards one side, the other side's signal moves over with equal power.
    """
    across = (pan if pan > 0 else pan + 1.0) * math.pi / 2
    stays, moves = math.cos(across), math.sin(across)
    if pan > 0:
        return np.array([[stays, 0.0], [moves, 1.0]], np.float32)
    return np.array([[1.0, stays], [0.0, moves]], np.float32)


class Balance:
    """Sums of stems with gains and pans.

    Parameters
    ----------
    tracks : sequence of mapping of str to float
        Stem → factor, for each track.
    stems : sequence of str
        In the order of the blocks.
    channels : int
        Of the stems.
    pans : mapping of str to float
        Stem → -1 to 1; a mono song becomes stereo where there is any.

    Attributes
    ----------
    channels : int
        Of the tracks.

    Raises
    ------
    UsageError
        A song of more than two channels cannot be panned.
    """

    def __init__(
        self,
        tracks: Sequence[Mapping[str, float]],
        stems: Sequence[str],
        channels: int,
        pans: Mapping[str, float],
    ) -> None:
        if pans and channels > 2:
            raise UsageError(f"`pan` is for mono and stereo, the stems have {channels} channels")
        self.channels = 2 if pans else channels
        places = np.stack(
            [_place(pans.get(stem, 0.0), channels, self.channels) for stem in stems]
        )  # [S, out, in]
        factors = np.array([[track[stem] for stem in stems] for track in tracks], np.float32)
        weights = np.einsum("ks,soi->kosi", factors, places)  # [K, out, S, in]
        self._matrix = weights.reshape(len(tracks) * self.channels, len(stems) * channels)

    def __call__(self, block: Samples) -> Samples:
        """Mix ``[S, in, T]`` to ``[K * out, T]``."""
        mixed: Samples = self._matrix @ block.reshape(-1, block.shape[-1])
        return mixed


def _place(pan: float, channels: int, out: int) -> npt.NDArray[np.float32]:
    if out == channels and not pan:
        return np.eye(channels, dtype=np.float32)
    both = pan_matrix(pan)
    return both if channels == 2 else both.sum(axis=1, keepdims=True)
