"""The stereo field of a song, and a linear map that makes it one that networks know.

Networks learn from ordinary stereo: both channels about as loud and of one polarity, the side
(left minus right) some 5 to 20 dB below the mid. Songs that are mono, narrow, one-sided or of
opposite polarity mislead them, and so do those whose instruments are hard-panned. `StereoMeter`
measures a whole song, `StereoField` says how to map it towards ordinary stereo, how to undo that on
estimates, and how much the side is worth. Ordinary songs are not touched.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_FRAME_S = 0.093
_MAX_FRAMES = 768  # as many snapshots are kept of a song at most, twice as few at least
_LOWEST_HZ, _OCTAVES = 80.0, 6
_AUDIBLE = 1e-6  # bands of less power than this part of a song's do not count
_COMPRESSION = 0.3  # of magnitudes: quiet moments count, too
_MAX_DB = 120.0

#: Imbalance (dB) up to which channels stay as they are, and from which they are made equal.
_IMBALANCE_DB = (4.0, 8.0)
#: Imbalance of unlike channels from which the louder one also takes the place of the quieter.
_ONE_SIDED_DB = (20.0, 35.0)
#: A side so many dB above the mid: one channel's polarity is turned.
_TURNED_DB = 6.0
#: Sides below this level are widened; ordinary ones are above it (-21 to -5 dB on twelve songs).
_NARROW_DB = -21.5
#: The further below it, the surer a side was once wider: it is raised above that level by this part
#: of what it is below, at most to what is usual.
_SURENESS, _USUAL_DB = 0.7, -16.0
#: Sides between these levels, or above, count whatever they hold.
_DOUBTED_DB = (-30.0, -23.0)
#: Sides and channels below these levels are what rounding and codecs leave.
_LOST_DB = (-70.0, -62.0)
#: What is worth nothing is raised to this level all the same, as far as the second allows: on the
#: way back a network's errors become as much smaller, and stems of mono songs are mono.
_RAISED_DB, _MAX_RAISED_DB = -50.0, 60.0
#: Correlation of magnitudes: that of noise with a song is within ±0.06, that of a song's side with
#: its mid 0.2 to 0.7.
_MUSIC = (0.06, 0.16)

#: Correlation of the channels below that frequency (1: one signal in the middle): 0.73 to 1 in
#: sixteen ordinary recordings, 0 in hard-panned ones. Below that value channels are mono songs.
_BASS_HZ, _APART = 250.0, 0.45
_MIN_BASS = 1e-3  # of a song's power; songs that have less are judged by all they have

Spectra = npt.NDArray[np.complex64]


@dataclass(frozen=True)
class StereoField:
    """What is done with a song's channels before a network sees them.

    Attributes
    ----------
    matrix : Tensor ``[groups, 2, 2]``, float64
        Maps left and right to what the network sees; invertible.
    side : Tensor ``[groups]``
        What the side is worth: 1 in ordinary stereo, 0 where there is none, or only noise.
    apart : tuple of bool
        For each group, whether its instruments are hard-panned: then the network sees each channel
        as a mono song of its own, in both of its channels.
    """

    matrix: Tensor
    side: Tensor
    apart: tuple[bool, ...]

    @classmethod
    def mono(cls, groups: int = 1) -> StereoField:
        """Return the field of songs whose channels are equal."""
        matrix = torch.from_numpy(_widening(10 ** (_MAX_RAISED_DB / 20)))
        return cls(matrix.repeat(groups, 1, 1), torch.zeros(groups), (False,) * groups)

    @property
    def is_turned(self) -> bool:
        """Whether the first group's channels are of opposite polarity."""
        return bool(torch.det(self.matrix[0]) < 0)

    @property
    def given_side(self) -> Tensor:
        """What the side is worth of all that `apply` returns: ``[given]``."""
        pairs = zip(self.side, self.apart, strict=True)
        return torch.cat([side.new_zeros(2) if apart else side[None] for side, apart in pairs])

    def apply(self, mixture: Tensor) -> Tensor:
        """Map ``[groups, 2, samples]`` to ``[given, 2, samples]``.

        A group that is apart gives two; the same tensor where nothing is to be done.
        """
        mapped = _product(self.matrix, mixture)
        if not any(self.apart):
            return mapped
        pairs = zip(mapped, self.apart, strict=True)
        return torch.cat(
            [pair[:, None].expand(2, 2, -1) if apart else pair[None] for pair, apart in pairs]
        )

    def undo(self, estimates: Tensor) -> Tensor:
        """Map estimates ``[given, sources, 2, samples]`` back to ``[groups, sources, 2, samples]``.

        Their sum is what was mapped.
        """
        if any(self.apart):
            given = iter(estimates)
            estimates = torch.stack(
                [
                    torch.stack([next(given).mean(dim=1), next(given).mean(dim=1)], dim=1)
                    if apart
                    else next(given)
                    for apart in self.apart
                ]
            )
        return _product(torch.linalg.inv(self.matrix)[:, None], estimates)


def _product(matrix: Tensor, signal: Tensor) -> Tensor:
    """Multiply ``[..., 2, 2]`` by ``[..., 2, samples]``."""
    if torch.equal(matrix, torch.eye(2, dtype=matrix.dtype).expand_as(matrix)):
        return signal
    # Gains of a thousand would leave errors of float32 where channels nearly cancel each other.
    return (matrix @ signal.double()).to(signal.dtype)


class StereoMeter:
    """Measures the stereo field of a whole song, in memory that does not grow with it.

    It keeps spectra of some hundred moments, evenly spread over the song.

    Parameters
    ----------
    sample_rate : int
        In hertz.
    """

    def __init__(self, sample_rate: int) -> None:
        size = 1 << max(4, round(np.log2(_FRAME_S * sample_rate)))
        self._window = np.hanning(size + 1)[1:].astype(np.float32)
        self._hertz = np.fft.rfftfreq(size, 1 / sample_rate)
        self._used = self._hertz < _LOWEST_HZ * 2**_OCTAVES
        self._rest: npt.NDArray[np.float32] | None = None  # [groups, 2, samples]
        self._moments: list[Spectra] = []  # [groups, 2, bins] each
        self._count, self._stride = 0, 1

    def add(self, block: npt.NDArray[np.float32]) -> None:
        """Take ``[groups, 2, samples]`` of the song."""
        if self._rest is not None:
            block = np.concatenate([self._rest, block], axis=-1)
        size = len(self._window)
        frames = block.shape[-1] // size
        for index in range(-self._count % self._stride, frames, self._stride):
            if (self._count + index) % self._stride == 0:  # the stride may have grown
                self._keep(block[..., index * size : (index + 1) * size])
        self._count += frames
        self._rest = block[..., frames * size :].copy()

    def _keep(self, frame: npt.NDArray[np.float32]) -> None:
        spectrum = np.fft.rfft(frame * self._window)[..., self._used]
        self._moments.append(spectrum.astype(np.complex64))
        if len(self._moments) > _MAX_FRAMES:
            self._moments = self._moments[::2]
            self._stride *= 2

    def field(self) -> StereoField:
        """Return the field of what has been added."""
        moments = self._moments
        if not moments and self._rest is not None and self._rest.shape[-1]:
            count = self._rest.shape[-1]  # a song shorter than one frame
            window = np.hanning(count + 2)[1:-1]
            spectrum = np.fft.rfft(self._rest * window, len(self._window))[..., self._used]
            moments = [spectrum.astype(np.complex64)]
        if not moments:
            return StereoField(torch.eye(2, dtype=torch.float64)[None], torch.ones(1), (False,))
        groups = np.stack(moments, axis=2)  # [groups, 2, moments, bins]
        bass = int(np.searchsorted(self._hertz[self._used], _BASS_HZ))
        matrices, sides, apart = zip(
            *(_field_of(group, self._bands(group), bass) for group in groups), strict=True
        )
        return StereoField(torch.from_numpy(np.stack(matrices)), torch.tensor(sides), apart)

    def _bands(self, spectra: Spectra) -> list[slice]:
        """Return the octaves in which there is something, or all bins as one."""
        power = np.square(np.abs(spectra), dtype=np.float64).sum(axis=(0, 1))  # [bins]
        edges = np.searchsorted(
            self._hertz[self._used], _LOWEST_HZ * 2.0 ** np.arange(_OCTAVES + 1)
        )
        octaves = [slice(low, high) for low, high in itertools.pairwise(edges)]
        audible = [band for band in octaves if power[band].sum() > _AUDIBLE * power.sum()]
        return audible or [slice(0, len(power))]


def _field_of(
    spectra: Spectra, bands: list[slice], bass: int
) -> tuple[npt.NDArray[np.float64], float, bool]:
    """Return matrix ``[2, 2]``, the side's worth and whether to separate channels, of one pair.

    Spectra are ``[2, moments, bins]``; `bass` is how many bins are bass.
    """
    matrix = _balance(spectra, bands)
    left, right = matrix.astype(np.float32) @ spectra.reshape(2, -1)
    shape = spectra.shape[1:]
    mid, side = (left + right).reshape(shape), (left - right).reshape(shape)
    width_db = _ratio_db(side, mid, bands)
    if width_db > _TURNED_DB:
        matrix = np.diag([1.0, -1.0]) @ matrix
        mid, side, width_db = side, mid, -width_db
    if _is_apart(mid, side, bass):
        return matrix, 1.0, True
    music = _ramp(_likeness(side, mid, bands), *_MUSIC) * _ramp(width_db, *_LOST_DB)
    worth = max(music, _ramp(width_db, *_DOUBTED_DB))
    lacking_db = max(0.0, _NARROW_DB - width_db)
    raised_db = min(_SURENESS * lacking_db, _USUAL_DB - _NARROW_DB)
    # Fully as soon as the side is worth a little: as low as it is, it would mislead.
    gain_db = max(min(1.0, 4 * worth) * (lacking_db + raised_db), _lost_gain_db(-width_db))
    return (_widening(10 ** (gain_db / 20)) @ matrix if gain_db else matrix), worth, False


def _is_apart(mid: Spectra, side: Spectra, bass: int) -> bool:
    """Tell whether the bass is not in the middle: whatever else is wide, in ordinary stereo it is.

    Early stereo records have instruments in one channel only, often with voices in the middle.
    """
    powers = [np.square(np.abs(x), dtype=np.float64).sum(axis=0) for x in (mid, side)]  # [bins]
    low_mid, low_side = (float(power[:bass].sum()) for power in powers)
    total_mid, total_side = (float(power.sum()) for power in powers)
    if low_mid + low_side < _MIN_BASS * (total_mid + total_side):
        low_mid, low_side = total_mid, total_side
    return low_mid - low_side < _APART * (low_mid + low_side)


def _widening(gain: float) -> npt.NDArray[np.float64]:
    """Return what leaves the mid as it is and makes the side louder."""
    return 0.5 * np.array([[1 + gain, 1 - gain], [1 - gain, 1 + gain]])


def _lost_gain_db(missing_db: float) -> float:
    """Return how much a signal so far below the other is raised, though it is worth nothing."""
    return min(max(0.0, missing_db + _RAISED_DB), _MAX_RAISED_DB)


def _balance(spectra: Spectra, bands: list[slice]) -> npt.NDArray[np.float64]:
    """Return the matrix that makes channels equally loud, as far as they are unbalanced."""
    left, right = spectra
    difference_db = _ratio_db(left, right, bands)
    imbalance_db = abs(difference_db)
    correction = _ramp(imbalance_db, *_IMBALANCE_DB)
    if not correction:
        return np.eye(2)
    music = _ramp(_likeness(left, right, bands), *_MUSIC) * _ramp(-imbalance_db, *_LOST_DB)
    gain_db = max(music * correction * imbalance_db, _lost_gain_db(imbalance_db))
    gain = 10 ** (gain_db / 20)
    copied = (1 - music) * _ramp(imbalance_db, *_ONE_SIDED_DB)
    if difference_db > 0:
        return np.array([[1.0, 0.0], [copied, gain]])
    return np.array([[gain, copied], [0.0, 1.0]])


def _ratio_db(above: Spectra, below: Spectra, bands: list[slice]) -> float:
    """Return how much louder one is than the other: dB, mean over the bands."""
    ratios = []
    for band in bands:
        powers = [
            np.square(np.abs(spectrum[:, band]), dtype=np.float64).sum()
            for spectrum in (above, below)
        ]
        least = 10 ** (-_MAX_DB / 10) * max(powers) + np.finfo(np.float64).tiny
        ratios.append(10 * np.log10(max(powers[0], least) / max(powers[1], least)))
    return float(np.mean(ratios))


def _likeness(one: Spectra, other: Spectra, bands: list[slice]) -> float:
    """Return how magnitudes of both rise and fall together: -1 to 1, mean over the bands.

    Music in two channels does, noise in one of them does not.
    """
    found = []
    for band in bands:
        a, b = (np.abs(spectrum[:, band]) ** _COMPRESSION for spectrum in (one, other))
        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
        norm = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
        found.append(float((a * b).sum()) / norm if norm > 0 else 0.0)
    return float(np.mean(found))


def _ramp(value: float, low: float, high: float) -> float:
    """Return 0 below `low`, 1 above `high`, and what lies on a line between them."""
    return min(1.0, max(0.0, (value - low) / (high - low)))
