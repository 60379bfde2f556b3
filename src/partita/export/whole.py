"""Models as one ONNX graph each, for any program: a mixture in, estimates out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from partita.errors import ModelError, UsageError
from partita.export.web.fitting import has_known_stages
from partita.export.web.whole_graph import whole_graph
from partita.models._protocol import SeparationModel
from partita.weights.exported.network import usual_samples
from partita.weights.exported.session import new_session
from partita.weights.exported.write import TOLERANCE

_LEVEL = 0.1


def check_whole(model: SeparationModel) -> None:
    """Refuse a model of which only the network can be an ONNX graph.

    Raises
    ------
    UsageError
        It is one.
    """
    if model.core != "forward" and not (has_known_stages(model) and model.channels == 2):
        raise UsageError(
            f"{model.registry_name} cannot be exported with `whole`: what it does around its "
            "network has no operators in ONNX; without, the network itself is exported"
        )


def checked_whole_graph(model: SeparationModel, network: bytes) -> bytes:
    """Return the graph of a whole model, compared with the model around the same network.

    Raises
    ------
    ModelError
        It does not give what the model gives.
    """
    from partita.weights.exported.session import ExportedModel, session_network

    graph: bytes = whole_graph(model, network).SerializeToString()
    around = ExportedModel(model, session_network(network, model), 1)
    difference = graph_difference(model, graph, around)
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{model.registry_name}: the whole graph differs from PyTorch by {difference:.1g}"
        )
    return graph


def graph_difference(
    model: SeparationModel, graph: bytes, expected: Callable[[Tensor], Tensor]
) -> float:
    """Compare the graph of a whole model with what it should give, for one window of noise.

    Parameters
    ----------
    model : SeparationModel
    graph : bytes
        See `partita.export.web.whole_graph.whole_graph`.
    expected : callable
        Takes a mixture ``[1, C, T]``, returns estimates.

    Returns
    -------
    float
        The largest difference, relative to the largest number.
    """
    session = new_session(graph)
    rng = torch.Generator().manual_seed(0)
    mixture = _LEVEL * torch.randn(1, model.channels, usual_samples(model), generator=rng)
    inputs = {"mixture": mixture.numpy(), "side": np.ones(1, np.float32)}
    given = {each.name: inputs[each.name] for each in session.get_inputs()}
    (found,) = session.run(None, given)
    with torch.inference_mode():
        wanted = expected(mixture).numpy()
    return float(np.abs(found - wanted).max() / max(float(np.abs(wanted).max()), 1e-20))
