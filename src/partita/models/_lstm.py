"""An LSTM that is trained in full precision, also under autocast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.models._onednn import FewRows, has_float32_products, linear

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


class WideLstm(nn.Module):
    """An `Lstm` for inference on CPUs whose recurrent weights no cache holds.

    Every step reads all recurrent weights of a direction, for several examples at once. oneDNN's
    LSTM, which PyTorch uses, takes 1.6 times as long for one example and twice as long for four.

    Parameters
    ----------
    lstm : Lstm
        Its weights are shared.
    """

    MIN_FEATURES = 1024
    _ROWS = 4  # examples at a time

    def __init__(self, lstm: Lstm) -> None:
        super().__init__()
        self.lstm = lstm

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """Map ``[steps, batch, features]`` to ``[steps, batch, directions * hidden features]``."""
        lstm = self.lstm
        if not has_float32_products(x):
            return lstm(x)[0], None
        weights, directions = iter(lstm.all_weights), 1 + lstm.bidirectional
        for _ in range(lstm.num_layers):
            states = x.new_empty(*x.shape[:2], directions * lstm.hidden_size)
            for is_reversed, own in enumerate(states.chunk(directions, dim=2)):
                self._recur(x, own, next(weights), is_reversed=bool(is_reversed))
            x = states
        return x, None

    def _recur(
        self, x: Tensor, states: Tensor, weights: Sequence[Tensor], *, is_reversed: bool
    ) -> None:
        """Write the states of one direction of a layer ``[steps, batch, hidden features]``."""
        weight, recurrent, bias, other_bias = weights
        rows = 1 if x.shape[1] == 1 else self._ROWS
        product = FewRows(recurrent, rows)
        parts = (torch.split(each, rows, dim=1) for each in (x, states))
        for some, out in zip(*parts, strict=True):
            filled = functional.pad(some, (0, 0, 0, rows - some.shape[1]))
            gates = linear(filled, weight, bias + other_bias)  # [steps, rows, 4 * hidden features]
            steps = zip(gates, out, strict=True)
            hidden = x.new_zeros(rows, self.lstm.hidden_size)
            cell = torch.zeros_like(hidden)
            for now, place in reversed([*steps]) if is_reversed else steps:
                product.add(hidden, now)
                _update(now, cell, hidden)
                place.copy_(hidden[: len(place)])


def _update(gates: Tensor, cell: Tensor, hidden: Tensor) -> None:
    """Compute the next states ``[rows, hidden]`` in place from ``[rows, 4 * hidden]``."""
    inwards, kept, content, outwards = gates.chunk(4, dim=1)
    cell.mul_(kept.sigmoid_()).addcmul_(inwards.sigmoid_(), content.tanh_())
    torch.mul(outwards.sigmoid_(), cell.tanh(), out=hidden)
