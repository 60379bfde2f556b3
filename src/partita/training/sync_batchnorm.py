"""Batch normalisation over all processes of a training."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn

_Norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def sync_batchnorms(module: nn.Module) -> None:
    """Let the batch normalisations of a module use the statistics of all processes' batches.

    Training in several processes then equals training in one with all their batches. PyTorch's
    own `torch.nn.SyncBatchNorm` needs CUDA.
    """
    for name, child in module.named_children():
        if isinstance(child, _Norm):
            setattr(module, name, _SyncBatchNorm(child))
        else:
            sync_batchnorms(child)


class _SyncBatchNorm(nn.modules.batchnorm._NormBase):
    """Batch normalisation with the parameters and buffers of another one."""

    def __init__(self, norm: Any) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        for name, parameter in norm.named_parameters():
            self.register_parameter(name, parameter)
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[batch, features, ...]``."""
        assert self.running_mean is not None
        assert self.running_var is not None
        if not self.training:
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        wide = x.float()
        others = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        here = wide.new_full((1,), wide.numel() / wide.shape[1])
        sums = _all_reduce(torch.cat([wide.sum(dim=others), here]))
        count = sums[-1]
        mean = sums[:-1] / count
        centred = wide - mean.reshape(shape)
        variance = _all_reduce(centred.square().sum(dim=others)) / count
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normalised = centred * scale.reshape(shape) + self.bias.reshape(shape)
        return normalised.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = self.momentum if self.momentum is not None else 1 / self.num_batches_tracked
        self.running_mean.lerp_(mean, float(momentum))
        self.running_var.lerp_(variance, float(momentum))


class _AllReduce(torch.autograd.Function):
    """Sum over processes; so is the gradient."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        total = values.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        torch.distributed.all_reduce(total)
        return total


def _all_reduce(values: Tensor) -> Tensor:
    total: Tensor = _AllReduce.apply(values)  # type: ignore[no-untyped-call]
    return total
