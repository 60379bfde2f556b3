"""Open-Unmix's weights, as its authors publish them: a state dict for each source."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from partita.errors import WeightsCorruptError, one_line

#: What the first releases kept beside the network: the transform's window, twice, and the rate.
_NOT_OF_THE_NETWORK = ("stft.window", "transform.0.window", "sample_rate")
_NORMS = ("bn1", "bn2", "bn3")


def tensors_from_files(files: Mapping[str, Path]) -> dict[str, Tensor]:
    """Read the networks of all sources and give the tensors partita's names.

    Nothing but tensors is unpickled. Whether they are all there is for the caller to check.

    Parameters
    ----------
    files : mapping of str to Path
        The sources, and the file of each.

    Raises
    ------
    WeightsCorruptError
        A file holds something else than a dict of tensors.
    """
    tensors: dict[str, Tensor] = {}
    for source, path in files.items():
        network = {f"{norm}.num_batches_tracked": torch.tensor(0) for norm in _NORMS}
        network |= _state_dict(path)  # PyTorch did not always count batches
        for name, tensor in network.items():
            if name not in _NOT_OF_THE_NETWORK:
                tensors[f"networks.{source}.{name}"] = tensor
    return tensors


def _state_dict(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, LookupError) as error:
        raise WeightsCorruptError(f"{one_line(path)}: not a file of tensors") from error
    if not isinstance(state, dict) or not all(isinstance(x, Tensor) for x in state.values()):
        raise WeightsCorruptError(f"{one_line(path)}: not a dict of tensors")
    return {str(name): tensor.detach() for name, tensor in state.items()}
