"""Reader of Open-Unmix's weights as published: a state dict for each source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from partita.weights.state_dicts import read_state_dict

#: Extra tensors of the first releases: the transform's window, twice, and the sample rate.
_NOT_OF_THE_NETWORK = ("stft.window", "transform.0.window", "sample_rate")
_NORMS = ("bn1", "bn2", "bn3")


def tensors_from_files(files: Mapping[str, Path]) -> dict[str, Tensor]:
    """Read the networks of all sources and return their tensors with partita's names.

    Nothing but tensors is unpickled. The caller checks that they are complete.

    Parameters
    ----------
    files : mapping of str to Path
        Source → file.

    Raises
    ------
    WeightsCorruptError
        A file is not a dict of tensors.
    """
    tensors: dict[str, Tensor] = {}
    for source, path in files.items():
        network = {f"{norm}.num_batches_tracked": torch.tensor(0) for norm in _NORMS}
        network |= read_state_dict(path)  # older PyTorch had no such counter
        for name, tensor in network.items():
            if name not in _NOT_OF_THE_NETWORK:
                tensors[f"networks.{source}.{name}"] = tensor
    return tensors
