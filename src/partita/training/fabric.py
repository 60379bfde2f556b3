"""Lightning Fabric for one device, or for the processes of ``torchrun``."""

from __future__ import annotations

import logging
import os

import torch
from lightning_fabric import Fabric

from partita.errors import UsageError

_PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


def make_fabric(device: torch.device, precision: str) -> Fabric:
    """Return the Fabric of a training: one device, or the processes of ``torchrun``.

    Parameters
    ----------
    device : torch.device
    precision : str
        ``float32``, ``bfloat16`` or ``float16``.

    Raises
    ------
    UsageError
        float16 on a CPU.
    """
    if precision == "float16" and device.type == "cpu":
        raise UsageError("precision float16 needs a GPU; bfloat16 works on CPUs, too")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    devices: int | list[int] = [device.index or 0] if device.type == "cuda" else 1
    nodes, strategy = 1, "auto"
    if torch.distributed.is_torchelastic_launched():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes, strategy = int(os.environ["WORLD_SIZE"]) // devices, "ddp"
    fabric = Fabric(
        accelerator=device.type,
        devices=devices,
        num_nodes=nodes,
        strategy=strategy,
        precision=_PRECISIONS[precision],  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric
