"""A network as an ONNX graph, by tracing it.

PyTorch's exporter that traces (``dynamo=False``) takes a fraction of a second for networks of which
the newer one takes a minute, and keeps LSTMs as one operator each.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch

from partita.errors import UsageError, one_line
from partita.models._protocol import SeparationModel
from partita.weights.exported.convolutions import fast_convolutions
from partita.weights.exported.network import (
    Network,
    dynamic_axes,
    example,
    input_names,
    plain_operators,
    usual_samples,
)
from partita.weights.exported.operators import ExportableOperators

#: Of the exported files. 17 is the first with Fourier transforms.
OPSET = 17


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
    with plain_operators(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the check that follows tells what a trace has got wrong
        usual = example(model, samples)
        network = Network(model, [each is not None for each in usual.arguments]).eval()
        found = network(*usual.inputs)
        count = len(found) if isinstance(found, tuple) else 1
        names = input_names(model, usual), [f"output_{n}" for n in range(count)]
        axes = dynamic_axes(model, usual)
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
    return fast_convolutions(file.getvalue())
