"""Oracles: estimates that are made with the references, as ceilings; and the mixture, as a floor.

Each takes the mixture and the true targets and returns estimates, as the oracles of the SiSEC
campaigns (Stöter, Liutkus & Ito, "The 2018 signal separation evaluation campaign", LVA/ICA 2018,
section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from partita.dsp.stft import Stft
from partita.dsp.wiener import multichannel_wiener
from partita.errors import UnknownNameError

#: As the oracles of SiSEC 2018 have it.
_STFT = Stft(fft_samples=2048, hop_samples=1024)
_TINY = 1e-10
_FRAMES_AT_ONCE = 32


@dataclass(frozen=True)
class Oracle:
    """A separator that is given the references.

    Attributes
    ----------
    name : str
    summary : str
        One line for lists.
    estimate : callable
        Maps mixture ``[channels, samples]`` and references ``[targets, channels, samples]`` to
        estimates of the references' shape.
    """

    name: str
    summary: str
    estimate: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, mixture: Tensor, references: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Estimate every reference.

        Parameters
        ----------
        mixture : Tensor ``[channels, samples]``
        references : mapping of str to Tensor ``[channels, samples]``
            The true targets; together they should make the mixture.
        """
        estimates = self.estimate(mixture, torch.stack(list(references.values())))
        return dict(zip(references, estimates, strict=True))


def _mixture(mixture: Tensor, references: Tensor) -> Tensor:
    return mixture.expand_as(references).clone()


def _masked(mixture: Tensor, references: Tensor, total: Tensor, mask: _Mask) -> Tensor:
    """Apply a mask that is made from the magnitudes of one target and a total at a time."""
    spectrogram = _STFT.analyse(mixture)  # [C, F, N]
    estimates = torch.empty_like(references)
    for index, reference in enumerate(references):
        ratio = mask(_STFT.analyse(reference).abs(), total)
        estimates[index] = _STFT.synthesise(ratio * spectrogram, mixture.shape[-1])
    return estimates


_Mask = Callable[[Tensor, Tensor], Tensor]


def _ideal_binary_mask(mixture: Tensor, references: Tensor) -> Tensor:
    """Give a bin to a target that has more than half of the mixture's magnitude there.

    Wang, "On ideal binary mask as the computational goal of auditory scene analysis" (2005),
    equation 1; the threshold of SiSEC 2018.
    """
    total = _STFT.analyse(mixture).abs()
    return _masked(mixture, references, total, lambda own, whole: (own > 0.5 * whole).to(own.dtype))


def _ideal_ratio_mask(power: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Return an oracle with ratio masks of magnitudes to a power.

    Liutkus & Badeau, "Generalized Wiener filtering with fractional power spectrograms" (2015),
    equation 6: power 1 are magnitudes, 2 is the Wiener filter for one channel.
    """

    def estimate(mixture: Tensor, references: Tensor) -> Tensor:
        total = torch.full_like(_STFT.analyse(mixture).real, _TINY)
        for reference in references:
            total += _STFT.analyse(reference).abs() ** power
        return _masked(mixture, references, total, lambda own, whole: own**power / whole)

    return estimate


def _multichannel_wiener(mixture: Tensor, references: Tensor) -> Tensor:
    """Filter with the true power spectral densities and spatial covariances.

    Duong, Vincent & Gribonval, "Under-determined reverberant audio source separation using a
    full-rank spatial covariance model" (2010), equations 11 to 14: a target's covariance in a bin
    is its power there, the mean over channels, times one matrix for each frequency.
    """
    spectrogram = _STFT.analyse(mixture)  # [C, F, N]
    densities, spatial = [], []
    for reference in references:
        image = _STFT.analyse(reference)  # [C, F, N]
        density = image.abs().square().mean(dim=0)  # [F, N]
        outer = torch.einsum("cfn,dfn->cdf", image, image.conj()).to(torch.complex128)
        spatial.append(outer / (density.sum(dim=1) + _TINY))  # [C, C, F]
        densities.append(density)
    matrices, noise = torch.stack(spatial)[None], torch.tensor(_TINY)
    images = spectrogram.mT.new_empty(len(references), *spectrogram.mT.shape).mT  # [R, C, F, N]
    for start in range(0, spectrogram.shape[-1], _FRAMES_AT_ONCE):
        here = slice(start, start + _FRAMES_AT_ONCE)
        powers = torch.stack([density[:, here] for density in densities])[None]  # [1, R, F, n]
        filtered = multichannel_wiener(spectrogram[None, ..., here], powers, matrices, noise)
        images[..., here] = filtered[0]
    return torch.stack([_STFT.synthesise(image, mixture.shape[-1]) for image in images])


ORACLES: Mapping[str, Oracle] = {
    oracle.name: oracle
    for oracle in [
        Oracle("mixture", "floor: the mixture itself as every estimate", _mixture),
        Oracle("ibm", "ceiling: ideal binary mask", _ideal_binary_mask),
        Oracle("irm1", "ceiling: ideal ratio mask of magnitudes", _ideal_ratio_mask(1.0)),
        Oracle("irm2", "ceiling: ideal ratio mask of powers", _ideal_ratio_mask(2.0)),
        Oracle(
            "mwf", "ceiling: multichannel Wiener filter, true covariances", _multichannel_wiener
        ),
    ]
}


def get_oracle(name: str) -> Oracle:
    """Return the oracle of that name.

    Raises
    ------
    UnknownNameError
        There is none.
    """
    if name not in ORACLES:
        raise UnknownNameError("oracle", name, ORACLES)
    return ORACLES[name]
