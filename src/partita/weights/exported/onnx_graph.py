"""A network as an ONNX graph, by tracing it.

PyTorch's exporter that traces (``dynamo=False``) takes a fraction of a second for networks of which
the newer one takes a minute, and keeps LSTMs as one operator each.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from partita.errors import UsageError, one_line
from partita.models._protocol import SeparationModel
from partita.weights.exported.network import Example, Network, example, input_names, usual_samples
from partita.weights.exported.operators import ExportableOperators

#: Of the exported files. 17 is the first with Fourier transforms.
OPSET = 17
BATCH, LENGTH = "batch", "length"


def onnx_graph(model: SeparationModel) -> bytes:
    """Return the network of a model, weights included, as an ONNX file.

    Axes that depend on the number of mixtures or on their length are dynamic.

    Parameters
    ----------
    model : SeparationModel
        In evaluation mode.

    Raises
    ------
    UsageError
        The model has no network, or one with operators that cannot be exported.
    """
    samples = usual_samples(model)
    # Nothing is learned; but without gradients, layers on CPUs take operators of oneDNN, which no
    # exporter knows.
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the check that follows tells what a trace has got wrong
        usual = example(model, samples)
        network = Network(model, [each is not None for each in usual.arguments]).eval()
        found = network(*usual.inputs)
        count = len(found) if isinstance(found, tuple) else 1
        names = input_names(model, usual), [f"output_{n}" for n in range(count)]
        axes = _dynamic_axes(model, usual, names[0])
        file: Any = io.BytesIO()  # which works, though its type says paths only
        try:
            with ExportableOperators():
                torch.onnx.export(
                    network,
                    usual.inputs,
                    file,
                    dynamo=False,
                    opset_version=OPSET,
                    input_names=names[0],
                    output_names=names[1],
                    dynamic_axes=axes,
                )
        except (torch.onnx.OnnxExporterError, RuntimeError, ValueError, TypeError) as error:
            reason = one_line(str(error).partition("\n")[0])
            raise UsageError(f"{model.registry_name} cannot be exported: {reason}") from error
    graph: bytes = file.getvalue()
    return graph


def _dynamic_axes(
    model: SeparationModel, usual: Example, names: list[str]
) -> dict[str, dict[int, str]]:
    """Return the names of the axes that depend on batch and length, by input and output."""
    batch = len(usual.inputs[0])
    longer = example(model, usual.samples + usual.samples // 2)
    more = example(model, usual.samples, batch=batch + 1)
    axes = {}
    for name, *tensors in zip(names, usual.inputs, more.inputs, longer.inputs, strict=True):
        axes[name] = _differing(*tensors)
    return axes


def _differing(usual: Tensor, more: Tensor, longer: Tensor) -> dict[int, str]:
    shapes = zip(usual.shape, more.shape, longer.shape, strict=True)
    found = {}
    for axis, (one, other, third) in enumerate(shapes):
        if one != other:
            found[axis] = BATCH
        elif one != third:
            found[axis] = LENGTH
    return found


def as_tuple(found: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the outputs of a network as a tuple."""
    return (found,) if isinstance(found, Tensor) else tuple(found)
