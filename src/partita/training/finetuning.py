"""Fine-tuning: a model that starts from the weights of another, for the same or other sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from partita.errors import UsageError
from partita.models import create_model
from partita.models._protocol import SeparationModel

_NETWORKS = "networks."


def transfer_weights(
    model: SeparationModel, config: Mapping[str, Any]
) -> tuple[SeparationModel, list[str]]:
    """Return a model of another configuration with all weights that fit.

    A source that both have keeps its network (the tensors under ``networks.SOURCE.``). The network
    of a new source starts from that of the source at its position, or of the last one. Tensors of
    another shape start at random.

    Parameters
    ----------
    model : SeparationModel
        Is not changed.
    config : mapping
        The whole configuration of the new model.

    Returns
    -------
    model : SeparationModel
    fresh : list of str
        Names of the tensors that start at random.

    Raises
    ------
    UsageError
        No weight fits.
    """
    new = create_model(model.registry_name, config)
    old_tensors, tensors = model.state_dict(), new.state_dict()
    taken: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        old = old_tensors.get(_old_name(name, model, new))
        if old is not None and old.shape == tensor.shape:
            taken[name] = old.clone()
    # Counts of batches have no shape and always fit.
    if not any(tensor.ndim for tensor in taken.values()):
        raise UsageError("no weight fits the configuration: the settings change every shape")
    new.load_state_dict({**tensors, **taken}, strict=True)
    return new, [name for name in tensors if name not in taken]


def _old_name(name: str, old: SeparationModel, new: SeparationModel) -> str:
    """Return the name of the tensor that a tensor of the new model starts from."""
    if not name.startswith(_NETWORKS):
        return name
    source, _, rest = name.removeprefix(_NETWORKS).partition(".")
    if source not in new.learned or source in old.learned:
        return name
    place = min(new.learned.index(source), len(old.learned) - 1)
    return f"{_NETWORKS}{old.learned[place]}.{rest}"
