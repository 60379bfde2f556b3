"""ONNX graphs of a page: its models with small weights, and the FFT of the song."""

from __future__ import annotations

from onnx import TensorProto, helper

from partita.errors import ModelError
from partita.export.web.whole_graph import IR_VERSION, whole_graph
from partita.export.whole import graph_difference
from partita.models._protocol import SeparationModel
from partita.weights.exported.onnx_graph import OPSET, onnx_graph
from partita.weights.exported.quantise import FLOAT16, quantised
from partita.weights.exported.write import TOLERANCE, check_graph


def model_graph(model: SeparationModel) -> tuple[bytes, int]:
    """Return a model as a page runs it, checked against PyTorch's.

    Returns
    -------
    bytes
        An ONNX file, see `whole_graph`, with weights in float16.
    int
        Mixtures need so many samples at least.

    Raises
    ------
    UsageError
        The network cannot be exported, or ONNX Runtime is not installed.
    ModelError
        The graph does not give what PyTorch gives.
    """
    network = onnx_graph(model)
    _, least = check_graph(model, network)
    whole = whole_graph(model, network).SerializeToString()
    difference = graph_difference(model, whole, model)
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{model.registry_name}: the graph for the page differs from PyTorch's by "
            f"{difference:.1g}; at most {TOLERANCE:g} is allowed"
        )
    # The network's weights alone: windows and statistics around it stay float32.
    return whole_graph(model, quantised(network, FLOAT16)).SerializeToString(), least


def spectra_graph() -> bytes:
    """Return an FFT as ONNX file: ``frames`` ``[n, size, 1]`` → ``spectrum`` ``[n, bins, 2]``."""
    given = helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["n", "size", 1])
    wanted = helper.make_tensor_value_info("spectrum", TensorProto.FLOAT, ["n", "bins", 2])
    node = helper.make_node("DFT", ["frames"], ["spectrum"], axis=1, onesided=1)
    graph = helper.make_graph([node], "spectra", [given], [wanted])
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    return bytes(model.SerializeToString())
