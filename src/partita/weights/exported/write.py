"""Writing networks as ONNX files, checked against PyTorch before they get their names."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from partita._version import __version__
from partita.errors import ModelError
from partita.files import whole_file
from partita.models._protocol import SeparationModel
from partita.weights.checkpoint import tensors_digest
from partita.weights.exported.metadata import WHOLE, with_metadata
from partita.weights.exported.network import Network, as_tuple, example, usual_samples
from partita.weights.exported.onnx_graph import OPSET, onnx_graph
from partita.weights.exported.quantise import FLOAT32, check_kind, quantised, require_onnx
from partita.weights.exported.session import new_session

#: Largest difference from PyTorch, relative to the largest number.
TOLERANCE = 1e-4
#: Lengths that are tried, in multiples of the window's.
_SHORTER, _LONGER = (0.03, 0.25, 0.5, 0.75), 1.5


@dataclass(frozen=True)
class ExportedFile:
    """What was written.

    Attributes
    ----------
    path : Path
    bytes : int
    difference : float
        The largest from PyTorch, relative to the largest number of the network's output.
    least_samples : int
        Mixtures must have at least so many; partita pads shorter ones with silence.
    opset : int
    """

    path: Path
    bytes: int
    difference: float
    least_samples: int
    opset: int = OPSET


def export_network(
    model: SeparationModel,
    path: Path,
    *,
    name: str = "",
    licence: str = "",
    digest: str = "",
    quantise: str = FLOAT32,
    around: Callable[[SeparationModel, bytes], bytes] | None = None,
) -> ExportedFile:
    """Write the network of a model, weights included, as an ONNX file.

    Its inputs and outputs are those of the method `SeparationModel.core`; `describe` is in its
    metadata. The number of mixtures and their length are dynamic.

    Parameters
    ----------
    model : SeparationModel
    path : Path
        Appears when the file is complete and checked.
    name, licence : str
        Of the weights, for the metadata.
    digest : str
        Of model and weights, by default that of all tensors.
    quantise : str
        How weights are stored: ``float32``, ``float16`` or ``int8``; see `quantised`. The float32
        network is checked; `difference` is that of the smaller one.
    around : callable, optional
        Makes a graph of the whole model of its network's graph, and checks it.

    Raises
    ------
    UsageError
        The model has no network, or one that cannot be exported; ONNX Runtime is not installed.
    ModelError
        The file does not give what PyTorch gives.
    OSError
        The file cannot be written.
    """
    check_kind(quantise)
    require_onnx()
    model = model.eval()
    graph = onnx_graph(model)
    difference, least = check_graph(model, graph)
    if quantise != FLOAT32:
        graph = quantised(graph, quantise)
        difference = _difference(model, new_session(graph), usual_samples(model))
        if not np.isfinite(difference):
            raise ModelError(f"{model.registry_name}: cannot be computed with {quantise} weights")
    metadata = {
        **describe(model, name=name, licence=licence, digest=digest, least_samples=least),
        "weights": quantise,
    }
    if around is not None:
        graph, metadata["core"] = around(model, graph), WHOLE
    content = with_metadata(graph, metadata)
    with whole_file(path) as partial:
        partial.write_bytes(content)
    return ExportedFile(path, len(content), difference, least)


def describe(
    model: SeparationModel, *, name: str, licence: str, digest: str, least_samples: int
) -> Mapping[str, str]:
    """Return the metadata of an exported model: texts, some of them JSON."""
    window = model.window
    sizes = None if window is None else [window.length, window.overlap, window.step]
    return {
        "partita_version": __version__,
        "name": name or model.registry_name,
        "model": model.registry_name,
        "config": json.dumps(model.config.to_dict()),
        "sources": json.dumps(list(model.sources)),
        "sample_rate": str(model.sample_rate),
        "channels": str(model.channels),
        "window": json.dumps(sizes),
        "core": model.core,
        "least_samples": str(least_samples),
        "opset": str(OPSET),
        "weights": FLOAT32,
        "licence": licence,
        "digest": digest or tensors_digest(model.state_dict()),
    }


def check_graph(model: SeparationModel, graph: bytes) -> tuple[float, int]:
    """Compare an exported network with PyTorch's, at several lengths.

    Returns
    -------
    float
        The largest difference, relative to the largest number.
    int
        The shortest length in samples, among those tried, at which they agree.

    Raises
    ------
    ModelError
        They do not agree at the window's length, or at a longer one.
    """
    session, usual = new_session(graph), usual_samples(model)
    worst = 0.0
    for samples in (usual, round(_LONGER * usual)):
        difference = _difference(model, session, samples)
        if not difference <= TOLERANCE:
            raise ModelError(
                f"{model.registry_name}: the exported network differs from PyTorch's by "
                f"{difference:.1g} at {samples} samples; at most {TOLERANCE:g} is allowed"
            )
        worst = max(worst, difference)
    for part in _SHORTER:
        difference = _difference(model, session, round(part * usual))
        if difference <= TOLERANCE:
            return max(worst, difference), round(part * usual)
    return worst, usual


def _difference(model: SeparationModel, session: Any, samples: int) -> float:
    """Return the largest relative difference; infinite if the network cannot run."""
    inputs = example(model, samples, batch=1, seed=samples)
    given = [each is not None for each in inputs.arguments]
    with torch.inference_mode():
        expected = as_tuple(Network(model, given).eval()(*inputs.inputs))
    names = [each.name for each in session.get_inputs()]
    arrays = (each.numpy() for each in inputs.inputs)
    try:
        found = session.run(None, dict(zip(names, arrays, strict=True)))
    except Exception:  # its classes have no common base
        return np.inf
    differences = [
        np.abs(one - other.numpy()).max() / max(float(other.abs().max()), 1e-20)
        if one.shape == tuple(other.shape)
        else np.inf
        for one, other in zip(found, expected, strict=True)
    ]
    return float(max(differences))
