"""Losses of a model's estimates.

References
----------
.. [1] Stöter, Uhlich, Liutkus & Mitsufuji, "Open-Unmix - A Reference Implementation for Music
   Source Separation", JOSS 2019.
.. [2] Défossez, Usunier, Bottou & Bach, "Music Source Separation in the Waveform Domain", 2019.
.. [3] Sawata, Uhlich, Takahashi & Mitsufuji, "All for One and One for All: Improving Music
   Separation by Bridging Networks", ICASSP 2021.
.. [4] Choi, Kim, Huh, Kim, Ha & Lee, "Phase-aware speech enhancement with deep complex U-Net",
   ICLR 2019.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.errors import UsageError
from partita.models._protocol import SeparationModel
from partita.models._spectrogram import SpectrogramModel
from partita.threads import result_awake

_WAVEFORM_WEIGHT = 10.0  # of the loss of waveforms beside that of magnitudes, as X-UMX has it
_TINY = 1e-8


class Losses(NamedTuple):
    """The losses of a batch.

    Attributes
    ----------
    total : Tensor, scalar
        What is minimised.
    sources : Tensor ``[learned sources]``
        Of each source; their mean is `total` where sums of sources have no loss.
    """

    total: Tensor
    sources: Tensor


class TrainingStep(nn.Module):
    """A model and its loss as one module, so that wrappers see one `forward`.

    ``magnitude`` is the mean squared error of magnitudes [1]_, ``l1`` and ``l2`` are the mean
    absolute and squared error of waveforms [2]_; ``multi-domain`` [3]_ adds to the first
    `weighted_sdr_loss` of the waveforms that the magnitudes make with the mixture's phases.

    Parameters
    ----------
    model : SeparationModel
    loss : str
        ``magnitude``, ``l1``, ``l2`` or ``multi-domain``.
    combinations : bool
        Whether sums of sources have a loss as well.

    Raises
    ------
    UsageError
        The loss needs magnitudes and the model has none, or the model has no trainable weights.
    """

    def __init__(self, model: SeparationModel, loss: str, *, combinations: bool = False) -> None:
        super().__init__()
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise UsageError(f"the model {model.registry_name!r} has no trainable weights")
        if loss in ("magnitude", "multi-domain") and not isinstance(model, SpectrogramModel):
            raise UsageError(f"loss {loss!r} needs magnitudes, {model.registry_name} has none")
        self.model = model
        self._loss = loss
        groups = _combinations(len(model.learned))
        self._groups = groups if combinations else groups[: len(model.learned)]

    def forward(self, rows: Tensor) -> Losses:
        """Return the loss of a batch.

        Parameters
        ----------
        rows : Tensor ``[batch, rows, channels, samples]``
            The learned sources, and whatever else is in the mixture, which is the sum of all.
        """
        count = len(self.model.learned)
        true, mixture = rows[:, :count], rows.sum(dim=1)
        if self._loss in ("l1", "l2"):
            errors = _grouped(self._groups, self.model(mixture)[:, :count] - true)  # [B, G, C, T]
            distances = errors.abs() if self._loss == "l1" else errors.square()
            each = distances.mean(dim=(0, 2, 3))
        else:
            each = self._of_magnitudes(true, mixture)
        return Losses(each.mean(), each[:count].detach())

    def _of_magnitudes(self, true: Tensor, mixture: Tensor) -> Tensor:
        """Return the loss of each group of sources, ``[groups]``."""
        model, groups = self.model, self._groups
        assert isinstance(model, SpectrogramModel)
        bins = model.config.bins
        true = _grouped(groups, true)
        wanted = self._beside_the_network(lambda: model.stft.magnitudes(true, bins))
        observed = model.observe(mixture)
        spectrogram = observed.spectrogram[..., :bins, :]  # [B, C, bins, N]
        magnitudes = model.magnitudes(observed.network_input)  # [B, S, C, bins, N]
        if model.gives_masks:
            magnitudes = magnitudes * spectrogram.abs().unsqueeze(1)
        elif model.config.level_range_db is not None:  # of the mixture at the network's level
            magnitudes = magnitudes / observed.gain.unsqueeze(1)
        each = mean_squares(_grouped(groups, magnitudes) - wanted())
        if self._loss != "multi-domain":
            return each
        images = magnitudes * spectrogram.sgn().unsqueeze(1)  # [B, S, C, bins, N]
        above = model.stft.bins - bins
        estimates = model.stft.synthesise(
            functional.pad(images, (0, 0, 0, above)), mixture.shape[-1]
        )  # [B, S, C, T]
        waves = weighted_sdr_loss(_grouped(groups, estimates), true, mixture)
        return each + _WAVEFORM_WEIGHT * waves

    def _beside_the_network(self, function: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Start a calculation beside the network; return a function that returns its result.

        It runs in a thread of its own where PyTorch uses one thread for each operation.
        """
        if torch.get_num_threads() > 1:
            return function
        thread = ThreadPoolExecutor(1, "partita-targets")
        future = thread.submit(function)
        thread.shutdown(wait=False)  # it ends with the calculation
        return lambda: result_awake(future)


def mean_squares(errors: Tensor) -> Tensor:
    """Return the mean squares of ``[batch, groups, ...]`` for each group, ``[groups]``."""
    means: Tensor = _MeanSquares.apply(errors)  # type: ignore[no-untyped-call]
    return means


class _MeanSquares(torch.autograd.Function):
    """PyTorch's own mean returns gradients with another memory layout than the errors have.

    All operations before it would then take two to five times as long backwards.
    """

    @staticmethod
    def forward(ctx: Any, errors: Tensor) -> Tensor:
        ctx.save_for_backward(errors)
        others = [dim for dim in range(errors.ndim) if dim != 1]
        return errors.square().mean(dim=others)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        errors: Tensor = ctx.saved_tensors[0]
        each = gradient * (2 * errors.shape[1] / errors.numel())
        return errors * each.reshape(1, -1, *(1,) * (errors.ndim - 2))


def weighted_sdr_loss(estimates: Tensor, true: Tensor, mixture: Tensor) -> Tensor:
    r"""Return the weighted SDR loss of waveforms.

    .. math:: -α \frac{⟨y, ŷ⟩}{|y| |ŷ|} - (1 - α) \frac{⟨z, ẑ⟩}{|z| |ẑ|}

    with :math:`z = x - y`, what else is in the mixture x, and :math:`α = |y|² / (|y|² + |z|²)`
    (section 3.3 of [4]_, equation 6 of [3]_).

    Parameters
    ----------
    estimates, true : Tensor ``[batch, sources, channels, samples]``
    mixture : Tensor ``[batch, channels, samples]``

    Returns
    -------
    Tensor ``[sources]``
        -1 (right) to 1, means over the batch.
    """
    whole = mixture.flatten(1).unsqueeze(1)  # [B, 1, C T]
    y, estimated = true.flatten(2), estimates.flatten(2)  # [B, S, C T]
    energy = y.square().sum(dim=-1)
    alpha = energy / (energy + (whole - y).square().sum(dim=-1)).clamp(min=_TINY)
    loss = -alpha * _cosine(y, estimated)
    loss = loss - (1 - alpha) * _cosine(whole - y, whole - estimated)
    return loss.mean(dim=0)


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    cosine: Tensor = functional.cosine_similarity(a, b, dim=-1, eps=_TINY)
    return cosine


def _grouped(groups: Sequence[Sequence[int]], values: Tensor) -> Tensor:
    """Add up sources ``[batch, sources, ...]`` to ``[batch, groups, ...]``."""
    if len(groups) == values.shape[1]:  # each source is a group
        return values
    # No product with a matrix: where networks are in half precision, that would be as well.
    return torch.stack([values[:, group].sum(dim=1) for group in groups], dim=1)


def _combinations(count: int) -> list[list[int]]:
    """Return single sources, then all sums of them that are not the mixture."""
    sizes = range(1, max(count, 2))
    return [list(c) for size in sizes for c in itertools.combinations(range(count), size)]
