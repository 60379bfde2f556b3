"""ONNX files read as data: initialisers and nodes; nothing is run.

An ONNX file is a protocol buffer. Only the graph's initialisers (named tensors) and the names and
inputs of its nodes are read. https://github.com/onnx/onnx/blob/main/onnx/onnx.proto has the field
numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from partita.weights.protobuf import fields, message, varint

_GRAPH, _NODE, _INITIALISER = 7, 1, 5  # of the model; of the graph
_NODE_INPUT, _NODE_NAME = 1, 3
_DIMS, _TYPE, _NAME, _RAW, _LOCATION = 1, 2, 8, 9, 14  # of a tensor
_FLOAT = 1
_FLOAT_BYTES = 4
_MOST_TENSORS = 20_000
_MOST_NODES = 100_000
_MOST_CHARS = 1000
_MOST_AXES = 8


@dataclass(frozen=True)
class OnnxNode:
    """One operation of the graph.

    Attributes
    ----------
    name : str
    inputs : tuple of str
        Names of its inputs, in order.
    """

    name: str
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class OnnxGraph:
    """The graph of a file.

    Attributes
    ----------
    tensors : dict of str to Tensor
        Its initialisers.
    nodes : list of OnnxNode
        In the order of the file.
    """

    tensors: dict[str, Tensor]
    nodes: list[OnnxNode]


def read_graph(content: bytes) -> OnnxGraph:
    """Read the tensors and nodes of an ONNX file.

    Parameters
    ----------
    content : bytes
        The whole file.

    Raises
    ------
    ValueError
        It is cut short, not an ONNX file, has tensors that are not float32 or in other files, or
        exceeds a limit.
    """
    graphs = [value for field, value in fields(memoryview(content)) if field == _GRAPH]
    if len(graphs) != 1:
        raise ValueError(f"it holds {len(graphs)} graphs")
    tensors: dict[str, Tensor] = {}
    nodes: list[OnnxNode] = []
    for field, value in fields(message(graphs[0])):
        if field == _NODE:
            nodes.append(_node(message(value)))
        elif field == _INITIALISER:
            name, tensor = _tensor(message(value))
            if name in tensors:
                raise ValueError(f"it holds {name!r} twice")
            tensors[name] = tensor
        if len(nodes) > _MOST_NODES or len(tensors) > _MOST_TENSORS:
            raise ValueError("it exceeds a limit")
    return OnnxGraph(tensors, nodes)


def _text(value: int | memoryview) -> str:
    data = message(value)
    if len(data) > _MOST_CHARS:
        raise ValueError("a name is too long")
    return bytes(data).decode()


def _node(data: memoryview) -> OnnxNode:
    name, inputs = "", []
    for field, value in fields(data):
        if field == _NODE_NAME:
            name = _text(value)
        elif field == _NODE_INPUT:
            inputs.append(_text(value))
    return OnnxNode(name, tuple(inputs))


def _tensor(data: memoryview) -> tuple[str, Tensor]:
    name, shape, kind = "", list[int](), 0
    raw: memoryview | None = None
    for field, value in fields(data):
        if field == _DIMS:
            shape += [value] if isinstance(value, int) else _packed(value)
        elif field == _TYPE:
            kind = value if isinstance(value, int) else 0
        elif field == _NAME:
            name = _text(value)
        elif field == _RAW:
            raw = message(value)
        elif field == _LOCATION and value != 0:
            raise ValueError(f"{name!r} is in another file")
    if kind != _FLOAT or raw is None:
        raise ValueError(f"{name!r} is not a float32 tensor")
    if len(shape) > _MOST_AXES or math.prod(shape) * _FLOAT_BYTES != len(raw):
        raise ValueError(f"the size of {name!r} contradicts its shape")
    numbers = torch.frombuffer(bytearray(raw), dtype=torch.float32) if raw else torch.zeros(0)
    return name, numbers.reshape(shape)


def _packed(data: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = varint(data, at)
        values.append(value)
        if len(values) > _MOST_AXES:
            raise ValueError("a tensor has too many axes")
    return values
