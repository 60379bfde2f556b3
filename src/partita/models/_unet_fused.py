"""The U-Net for inference: the same results in fewer passes over memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_FORMAT = torch.channels_last
#: A transposed convolution of kernel 5 and stride 2, cropped by one before and two after, is two
#: ordinary ones: even outputs depend on two inputs, odd outputs on three. For each of these two
#: phases: position in a 3-tap kernel → index in the 5-tap kernel.
_TAPS = ({0: 3, 1: 1}, {0: 4, 1: 2, 2: 0})
_PHASES = [(row, column) for row in (0, 1) for column in (0, 1)]
_MIN_CHANNELS = 16  # with fewer outputs, vector registers are not full


class FusedDown(nn.Module):
    """A level of the encoder in evaluation mode."""

    kernel: Tensor
    scale: Tensor | None
    shift: Tensor | None

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | None, leak: float) -> None:
        super().__init__()
        kernel = conv.weight.detach().contiguous(memory_format=_FORMAT)
        self.register_buffer("kernel", kernel)
        self.bias, self.leak = conv.bias, leak
        scale, shift = (None, None) if norm is None else _affine(norm)
        self.register_buffer("scale", None if scale is None else scale[:, None, None])
        self.register_buffer("shift", None if shift is None else shift[:, None, None])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the skip and the input of the next level."""
        padded = functional.pad(x, (1, 2, 1, 2))
        skip = functional.conv2d(padded, self.kernel, self.bias, stride=2)
        if self.scale is None or self.shift is None:
            return skip, skip
        normalised = torch.addcmul(self.shift.to(skip.dtype), skip, self.scale.to(skip.dtype))
        return skip, functional.leaky_relu_(normalised, self.leak)


class FusedUp(nn.Module):
    """A level of the decoder in evaluation mode, which concatenates its output with the next skip.

    The transposed convolution becomes ordinary ones, one for each parity of row and column
    (sub-pixel convolution, Shi et al. 2016, section 3); with few outputs, one convolution
    for all four is faster. Activation and normalisation become one clamp: with scale s
    and shift t, ``s max(x, 0) + t`` is ``max(s x + t, t)`` for positive and ``min(s x + t, t)`` for
    negative s, and ``s x + t`` is folded into the convolution. The clamp writes directly into the
    concatenated tensor.
    """

    bias: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(self, conv: nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        scale, shift = _affine(norm)
        assert conv.bias is not None
        self.together = len(scale) < _MIN_CHANNELS
        taps = _taps(conv.weight)
        kernels = [_phase_kernel(taps, scale, row, column) for row, column in _PHASES]
        if self.together:
            kernels = [torch.cat([_in_three_rows(phase) for phase in kernels])]
        self.kernels = nn.ParameterList(
            nn.Parameter(k.contiguous(memory_format=_FORMAT), requires_grad=False) for k in kernels
        )
        infinite = torch.full_like(shift, math.inf)
        bias = conv.bias * scale + shift
        self.register_buffer("bias", bias.repeat(4) if self.together else bias)
        self.register_buffer("lowest", torch.where(scale >= 0, shift, -infinite)[:, None, None])
        self.register_buffer("highest", torch.where(scale >= 0, infinite, shift)[:, None, None])

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """Double rows and columns; concatenate `skip`, if there is one, and the result."""
        batch, _, rows, columns = x.shape
        skipped = 0 if skip is None else skip.shape[1]
        phases = self._phases(x)
        joint = phases[0].new_empty(batch, 2 * rows, 2 * columns, skipped + len(self.lowest))
        joint = joint.permute(0, 3, 1, 2)  # [B, C, 2 H, 2 W], channels last in memory
        lowest, highest = self.lowest.to(joint.dtype), self.highest.to(joint.dtype)
        for phase, (row, column) in zip(phases, _PHASES, strict=True):
            place = joint[:, skipped:, row::2, column::2]
            torch.clamp(phase[..., :rows, :columns], lowest, highest, out=place)
        if skip is not None:
            joint[:, :skipped] = skip
        return joint

    def _phases(self, x: Tensor) -> list[Tensor]:
        """Return four ``[batch, out, rows, columns]``, some with an extra row or column."""
        results = [functional.conv2d(x, k, self.bias, padding=1) for k in self.kernels]
        return list(results[0].chunk(4, dim=1)) if self.together else results


def _taps(kernel: Tensor) -> Tensor:
    """Return the ``[out, 5, 5, in]`` of a transposed convolution's kernel ``[in, out, 5, 5]``."""
    inputs, outputs, rows, columns = kernel.shape
    # A matrix is transposed faster than four axes are permuted.
    return kernel.reshape(inputs, -1).T.contiguous().view(outputs, rows, columns, inputs)


def _phase_kernel(taps: Tensor, scale: Tensor, row_phase: int, column_phase: int) -> Tensor:
    """Return one phase of taps ``[out, 5, 5, in]``: ``[out, in, 2 or 3 rows, 2 or 3 columns]``.

    A last row or column that would be zero is left out.
    """
    outputs, _, _, inputs = taps.shape
    from_rows, from_columns = _TAPS[row_phase], _TAPS[column_phase]
    phase = taps.new_empty(outputs, len(from_rows), len(from_columns), inputs)
    for row, from_row in from_rows.items():
        for column, from_column in from_columns.items():
            place = phase[:, row, column]
            torch.mul(taps[:, from_row, from_column], scale[:, None], out=place)
    return phase.permute(0, 3, 1, 2)


def _in_three_rows(phase: Tensor) -> Tensor:
    """Return a phase with the rows and columns of zeros that `_phase_kernel` leaves out."""
    return functional.pad(phase, (0, 3 - phase.shape[3], 0, 3 - phase.shape[2]))


class FusedMaskNetwork(nn.Module):
    """A `partita.models.unet.MaskNetwork` in evaluation mode; outputs agree to rounding."""

    def __init__(self, down: list[FusedDown], up: list[FusedUp], head: nn.Conv2d) -> None:
        super().__init__()
        self.down, self.up, self.head = nn.ModuleList(down), nn.ModuleList(up), head

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels, frames, bins]`` to masks of the same shape, 0 to 1."""
        x = x.contiguous(memory_format=_FORMAT)
        skips: list[Tensor] = []
        for down in self.down:
            skip, x = down(x)
            skips.append(skip)
        skips.pop()  # of the innermost level, which is x itself
        for up in self.up:
            x = up(x, skips.pop() if skips else None)
        masks: Tensor = torch.sigmoid(self.head(x))
        return masks


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return scale and shift of a normalisation in evaluation mode, each ``[channels]``."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale
