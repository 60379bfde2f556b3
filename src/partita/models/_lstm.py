"""An LSTM that is trained in full precision, also under autocast."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_LSTM_MODE = 2  # PyTorch's number of that kind of recurrent layer


class Lstm(nn.LSTM):
    """An LSTM that autocast leaves in the precision of its weights during training.

    On GPUs autocast runs LSTMs in float16, even if bfloat16 was asked for, and gradients of a mean
    over millions of samples underflow in float16. Inference does not change.
    """

    def forward(self, input: Any, hx: Any = None) -> Any:
        """See `torch.nn.LSTM`."""
        device = input.device.type
        if not (torch.is_grad_enabled() and torch.is_autocast_enabled(device)):
            return super().forward(input, hx)
        with torch.autocast(device, enabled=False):
            return super().forward(input.to(self.all_weights[0][0].dtype), hx)

    def directions(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states of each direction, which saves the pass that concatenates them.

        Only for one bidirectional layer, and only if `_onednn.has_float32_products`.

        Parameters
        ----------
        steps : Tensor ``[steps, rows, features]``

        Returns
        -------
        pair of Tensor ``[steps, rows, hidden features]``
        """
        steps = steps.contiguous()
        start = steps.new_zeros(steps.shape[1], self.hidden_size)
        forwards, backwards = (
            torch.ops.aten.mkldnn_rnn_layer(
                steps,
                *weights,
                start,
                start,
                is_reversed,
                batch_sizes=[],
                mode=_LSTM_MODE,
                hidden_size=self.hidden_size,
                num_layers=1,
                has_biases=True,
                bidirectional=True,
                batch_first=False,
                train=False,
            )[0]
            for is_reversed, weights in enumerate(self.all_weights)
        )
        return forwards, backwards
