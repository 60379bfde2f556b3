"""Weights of an ONNX network in fewer bits; the network computes with float32 as before.

Each weight is stored as float16, or as int8 with a scale for each output channel, and an operator
behind it makes float32 of it. ONNX Runtime does that once, when it loads the file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partita.errors import UsageError

FLOAT32, FLOAT16, INT8 = KINDS = ("float32", "float16", "int8")
_FEWEST_NUMBERS = 256  # of a tensor; smaller ones stay as they are
_MOST_INT8 = 127
#: The axis of the output channels, by operator and input.
_AXES = {
    ("Conv", 1): 0,
    ("ConvTranspose", 1): 1,
    ("MatMul", 1): -1,
    ("LSTM", 1): 1,
    ("LSTM", 2): 1,
}


def quantised(graph: bytes, kind: str) -> bytes:
    """Return an ONNX file with its weights in fewer bits.

    Parameters
    ----------
    graph : bytes
    kind : str
        One of `KINDS`.

    Raises
    ------
    UsageError
        There is no such kind; the package onnx is not installed.
    """
    check_kind(kind)
    if kind == FLOAT32:
        return graph
    onnx = require_onnx()
    model = onnx.load_from_string(graph)
    axes = _output_axes(model.graph)
    kept, made, operators = [], [], []
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.ndim < 2 or values.size < _FEWEST_NUMBERS:
            kept.append(tensor)
            continue
        small, nodes = _small(onnx, tensor.name, values, kind, axes.get(tensor.name, 0))
        made += small
        operators += nodes
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, *made])
    network = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*operators, *network])
    content: bytes = model.SerializeToString()
    return content


def check_kind(kind: str) -> None:
    """Refuse an unknown kind of weights.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    if kind not in KINDS:
        raise UsageError(f"`quantise` {kind} is not one of {', '.join(KINDS)}")


def require_onnx() -> Any:
    """Return the package onnx.

    Raises
    ------
    UsageError
        It is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise UsageError("exporting needs ONNX: pip install 'partita[onnx]'") from error
    return onnx


def _output_axes(graph: Any) -> dict[str, int]:
    """Return the axis of the output channels of each weight."""
    axes: dict[str, int] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            axis = _AXES.get((node.op_type, place))
            if node.op_type == "Gemm" and place == 1:
                is_transposed = any(each.name == "transB" and each.i for each in node.attribute)
                axis = 0 if is_transposed else 1
            if axis is not None:
                axes.setdefault(name, axis)
    return axes


def _small(
    onnx: Any, name: str, values: npt.NDArray[np.float32], kind: str, axis: int
) -> tuple[list[Any], list[Any]]:
    """Return a weight's tensors in the file, and the operators that make float32 of them."""
    tensor, node = onnx.numpy_helper.from_array, onnx.helper.make_node
    if kind == FLOAT16:
        limit = np.finfo(np.float16).max
        half = values.clip(-limit, limit).astype(np.float16)
        stored = f"{name}.float16"
        return [tensor(half, stored)], [
            node("Cast", [stored], [name], name=f"{name}.cast", to=onnx.TensorProto.FLOAT)
        ]
    axis %= values.ndim
    others = tuple(each for each in range(values.ndim) if each != axis)
    scales = np.abs(values).max(axis=others, keepdims=True) / _MOST_INT8
    scales = np.where(scales > 0, scales, 1.0).astype(np.float32)
    whole = np.rint(values / scales).astype(np.int8)
    inputs = [f"{name}.int8", f"{name}.scales"]
    tensors = [tensor(whole, inputs[0]), tensor(scales.reshape(-1), inputs[1])]
    return tensors, [node("DequantizeLinear", inputs, [name], name=f"{name}.scaled", axis=axis)]
