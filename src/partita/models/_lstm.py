"""An LSTM that is trained in full precision, whatever precision the rest of a network has."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Lstm(nn.LSTM):
    """An LSTM that autocast leaves in the precision of its weights while it is trained.

    On GPUs autocast runs LSTMs in float16, also where bfloat16 is asked for. The gradients of a
    mean over millions of samples are below what float16 can tell from 0. Without gradients nothing
    changes.
    """

    def forward(self, input: Any, hx: Any = None) -> Any:
        """See `torch.nn.LSTM`."""
        device = input.device.type
        if not (torch.is_grad_enabled() and torch.is_autocast_enabled(device)):
            return super().forward(input, hx)
        with torch.autocast(device, enabled=False):
            return super().forward(input.to(self.all_weights[0][0].dtype), hx)
