"""Files of PyTorch's that hold a dict of tensors."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor

from partita.errors import WeightsCorruptError, one_line


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a dict of tensors; nothing else is unpickled.

    Raises
    ------
    WeightsCorruptError
        The file holds something else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, LookupError) as error:
        raise WeightsCorruptError(f"{one_line(path)}: not a file of tensors") from error
    if not isinstance(state, dict) or not all(isinstance(x, Tensor) for x in state.values()):
        raise WeightsCorruptError(f"{one_line(path)}: not a dict of tensors")
    return {str(name): tensor.detach() for name, tensor in state.items()}
