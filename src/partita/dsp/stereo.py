"""The stereo field of a song, and a linear map towards ordinary stereo.

Networks are trained on ordinary stereo: channels of about equal level and equal polarity, the side
(left minus right) some 5 to 20 dB below the mid. They fail on songs that are mono, narrow,
one-sided, of opposite polarity or hard-panned. `StereoMeter` measures a whole song. `StereoField`
maps it towards ordinary stereo, undoes that on estimates, and has the weight of the side signal for
the networks. Ordinary songs are not changed.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_FRAME_S = 0.093
_MAX_FRAMES = 768  # spectra that are kept of a song; of long songs at least half as many
_LOWEST_HZ, _OCTAVES = 80.0, 6
_AUDIBLE = 1e-6  # bands below this fraction of a song's power are ignored
_COMPRESSION = 0.3  # exponent of magnitudes, so that quiet frames count as well
_MAX_DB = 120.0

#: Imbalance in dB: below the first nothing is corrected, above the second all of it.
_IMBALANCE_DB = (4.0, 8.0)
#: Imbalance of uncorrelated channels: above the second the louder channel replaces the quieter.
_ONE_SIDED_DB = (20.0, 35.0)
#: If the side is so many dB above the mid, the polarity of one channel is inverted.
_INVERTED_DB = 6.0
#: Sides below this level (re mid) are raised; ordinary ones are -21 to -5 dB (twelve songs).
_NARROW_DB = -21.5
#: The further a side is below that level, the more likely the song was narrowed: it is raised above
#: the level by this fraction of what it is below, at most to the typical level.
_EXTRA_RAISE, _TYPICAL_DB = 0.7, -16.0
#: Sides above the second level have full weight, also if they are uncorrelated with the mid.
_TRUSTED_DB = (-30.0, -23.0)
#: Sides and channels below the first level are rounding errors and codec noise.
_NOISE_DB = (-70.0, -62.0)
#: A side or channel without weight is still raised to this level, by at most the second number:
#: `undo` then attenuates the network's errors in it, and stems of mono songs are mono.
_RAISED_DB, _MAX_RAISED_DB = -50.0, 60.0
#: Correlation of magnitudes over time: noise and song are within ±0.06, side and mid of a song are
#: at 0.2 to 0.7.
_MUSIC = (0.06, 0.16)

#: Correlation of the channels below this frequency: 0.73 to 1 in sixteen ordinary recordings, 0 in
#: hard-panned ones. Songs below this correlation count as hard-panned.
_BASS_HZ, _MIN_BASS_CORRELATION = 250.0, 0.45
_MIN_BASS = 1e-3  # of a song's power; with less bass, all frequencies are used

Spectra = npt.NDArray[np.complex64]


@dataclass(frozen=True)
class StereoField:
    """How a song's channels are mapped before separation.

    Attributes
    ----------
    matrix : Tensor ``[groups, 2, 2]``, float64
        Maps left and right to the network's input; invertible.
    side : Tensor ``[groups]``
        Weight of the side signal: 1 in ordinary stereo, 0 if it is silent or noise.
    hard_panned : tuple of bool
        For each group, whether its instruments are hard-panned: then each channel is separated as a
        mono song.
    """

    matrix: Tensor
    side: Tensor
    hard_panned: tuple[bool, ...]

    @classmethod
    def mono(cls, groups: int = 1) -> StereoField:
        """Return the field of songs with equal channels."""
        matrix = torch.from_numpy(_widening(10 ** (_MAX_RAISED_DB / 20)))
        return cls(matrix.repeat(groups, 1, 1), torch.zeros(groups), (False,) * groups)

    @property
    def is_inverted(self) -> bool:
        """Whether the first group's channels have opposite polarity."""
        return bool(torch.det(self.matrix[0]) < 0)

    @property
    def mapped_side(self) -> Tensor:
        """Weight of the side signal in each group that `apply` returns, ``[mapped groups]``."""
        pairs = zip(self.side, self.hard_panned, strict=True)
        return torch.cat([side.new_zeros(2) if panned else side[None] for side, panned in pairs])

    def apply(self, mixture: Tensor) -> Tensor:
        """Map ``[groups, 2, samples]`` to ``[mapped groups, 2, samples]``.

        A hard-panned group becomes two. Ordinary stereo is returned as it is.
        """
        mapped = _product(self.matrix, mixture)
        if not any(self.hard_panned):
            return mapped
        pairs = zip(mapped, self.hard_panned, strict=True)
        return torch.cat(
            [pair[:, None].expand(2, 2, -1) if panned else pair[None] for pair, panned in pairs]
        )

    def undo(self, estimates: Tensor) -> Tensor:
        """Map estimates ``[mapped groups, sources, 2, samples]`` to ``[groups, …]``.

        Estimates that add up to the mapped mixture then add up to the mixture.
        """
        if any(self.hard_panned):
            groups = iter(estimates)
            estimates = torch.stack(
                [
                    torch.stack([next(groups).mean(dim=1), next(groups).mean(dim=1)], dim=1)
                    if panned
                    else next(groups)
                    for panned in self.hard_panned
                ]
            )
        return _product(torch.linalg.inv(self.matrix)[:, None], estimates)


def _product(matrix: Tensor, signal: Tensor) -> Tensor:
    """Multiply ``[..., 2, 2]`` by ``[..., 2, samples]``."""
    if torch.equal(matrix, torch.eye(2, dtype=matrix.dtype).expand_as(matrix)):
        return signal
    # In double precision: gains of 1000 would amplify rounding errors of float32.
    return (matrix @ signal.double()).to(signal.dtype)


class StereoMeter:
    """Measures the stereo field of a whole song in constant memory.

    It keeps the spectra of some hundred frames, evenly spaced over the song.

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
        self._spectra: list[Spectra] = []  # [groups, 2, bins] each
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
        self._spectra.append(spectrum.astype(np.complex64))
        if len(self._spectra) > _MAX_FRAMES:
            self._spectra = self._spectra[::2]
            self._stride *= 2

    def field(self) -> StereoField:
        """Return the stereo field of the song so far."""
        frames = self._spectra
        if not frames and self._rest is not None and self._rest.shape[-1]:
            count = self._rest.shape[-1]  # a song shorter than one frame
            window = np.hanning(count + 2)[1:-1]
            spectrum = np.fft.rfft(self._rest * window, len(self._window))[..., self._used]
            frames = [spectrum.astype(np.complex64)]
        if not frames:
            return StereoField(torch.eye(2, dtype=torch.float64)[None], torch.ones(1), (False,))
        groups = np.stack(frames, axis=2)  # [groups, 2, frames, bins]
        bass = int(np.searchsorted(self._hertz[self._used], _BASS_HZ))
        matrices, sides, panned = zip(
            *(_field_of(group, self._bands(group), bass) for group in groups), strict=True
        )
        return StereoField(torch.from_numpy(np.stack(matrices)), torch.tensor(sides), panned)

    def _bands(self, spectra: Spectra) -> list[slice]:
        """Return the octaves that are not silent, or all bins as one band."""
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
    """Return matrix ``[2, 2]``, weight of the side, and whether it is hard-panned, of one group.

    Spectra are ``[2, frames, bins]``; `bass` is the number of bass bins.
    """
    matrix = _balance(spectra, bands)
    left, right = matrix.astype(np.float32) @ spectra.reshape(2, -1)
    shape = spectra.shape[1:]
    mid, side = (left + right).reshape(shape), (left - right).reshape(shape)
    width_db = _ratio_db(side, mid, bands)
    if width_db > _INVERTED_DB:
        matrix = np.diag([1.0, -1.0]) @ matrix
        mid, side, width_db = side, mid, -width_db
    if _is_hard_panned(mid, side, bass):
        return matrix, 1.0, True
    music = _ramp(_correlation(side, mid, bands), *_MUSIC) * _ramp(width_db, *_NOISE_DB)
    weight = max(music, _ramp(width_db, *_TRUSTED_DB))
    missing_db = max(0.0, _NARROW_DB - width_db)
    raised_db = min(_EXTRA_RAISE * missing_db, _TYPICAL_DB - _NARROW_DB)
    # Full gain already at a weight of 1/4, because networks fail on narrow sides.
    gain_db = max(
        min(1.0, 4 * weight) * (missing_db + raised_db), _gain_without_weight_db(-width_db)
    )
    return (_widening(10 ** (gain_db / 20)) @ matrix if gain_db else matrix), weight, False


def _is_hard_panned(mid: Spectra, side: Spectra, bass: int) -> bool:
    """Return whether the bass is off centre, where ordinary stereo has it whatever else is wide.

    Early stereo records have whole instruments in one channel, often with centred voices.
    """
    powers = [np.square(np.abs(x), dtype=np.float64).sum(axis=0) for x in (mid, side)]  # [bins]
    low_mid, low_side = (float(power[:bass].sum()) for power in powers)
    total_mid, total_side = (float(power.sum()) for power in powers)
    if low_mid + low_side < _MIN_BASS * (total_mid + total_side):
        low_mid, low_side = total_mid, total_side
    return low_mid - low_side < _MIN_BASS_CORRELATION * (low_mid + low_side)


def _widening(gain: float) -> npt.NDArray[np.float64]:
    """Return the matrix that amplifies the side and keeps the mid."""
    return 0.5 * np.array([[1 + gain, 1 - gain], [1 - gain, 1 + gain]])


def _gain_without_weight_db(missing_db: float) -> float:
    """Return the gain of a signal without weight that is so far below the other one."""
    return min(max(0.0, missing_db + _RAISED_DB), _MAX_RAISED_DB)


def _balance(spectra: Spectra, bands: list[slice]) -> npt.NDArray[np.float64]:
    """Return the matrix that corrects the imbalance of the channels."""
    left, right = spectra
    difference_db = _ratio_db(left, right, bands)
    imbalance_db = abs(difference_db)
    correction = _ramp(imbalance_db, *_IMBALANCE_DB)
    if not correction:
        return np.eye(2)
    music = _ramp(_correlation(left, right, bands), *_MUSIC) * _ramp(-imbalance_db, *_NOISE_DB)
    gain_db = max(music * correction * imbalance_db, _gain_without_weight_db(imbalance_db))
    gain = 10 ** (gain_db / 20)
    copied = (1 - music) * _ramp(imbalance_db, *_ONE_SIDED_DB)
    if difference_db > 0:
        return np.array([[1.0, 0.0], [copied, gain]])
    return np.array([[gain, copied], [0.0, 1.0]])


def _ratio_db(above: Spectra, below: Spectra, bands: list[slice]) -> float:
    """Return the power ratio in dB, mean over the bands."""
    ratios = []
    for band in bands:
        powers = [
            np.square(np.abs(spectrum[:, band]), dtype=np.float64).sum()
            for spectrum in (above, below)
        ]
        least = 10 ** (-_MAX_DB / 10) * max(powers) + np.finfo(np.float64).tiny
        ratios.append(10 * np.log10(max(powers[0], least) / max(powers[1], least)))
    return float(np.mean(ratios))


def _correlation(one: Spectra, other: Spectra, bands: list[slice]) -> float:
    """Return the correlation of compressed magnitudes over time, mean over the bands.

    It is high for music in two channels, near 0 for music and noise.
    """
    correlations = []
    for band in bands:
        a, b = (np.abs(spectrum[:, band]) ** _COMPRESSION for spectrum in (one, other))
        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
        norm = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
        correlations.append(float((a * b).sum()) / norm if norm > 0 else 0.0)
    return float(np.mean(correlations))


def _ramp(value: float, low: float, high: float) -> float:
    """Return 0 below `low`, 1 above `high`, linear between."""
    return min(1.0, max(0.0, (value - low) / (high - low)))
