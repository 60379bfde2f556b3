"""Convolutions of an ONNX graph in forms that ONNX Runtime computes faster.

Its ordinary convolutions work on blocks of channels; its transposed ones are matrix products whose
results are added up one by one, and half as fast. Zeros around a convolution's input cost a copy,
and two more between the blocked form and the usual one.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from partita.weights.exported.quantise import require_onnx

_FEWEST_CHANNELS = 16  # of a block; with fewer outputs, most of it would be zeros
_ROWS, _COLUMNS = 2, 3  # axes of an image
_TO_THE_END = 2**31 - 1  # or more: the end of a slice
#: A kernel ``[out, in, rows, columns]``, and zeros around: top, left, bottom, right.
_Phase = tuple[npt.NDArray[np.float32], list[int]]


def fast_convolutions(graph: bytes) -> bytes:
    """Return an ONNX file that gives the same, to rounding.

    Zeros that are padded become a convolution's own. A transposed convolution of stride 2 that
    doubles rows and columns becomes one ordinary convolution for each parity of row and column,
    whose results are interleaved (sub-pixel convolution, Shi et al. 2016, section 3).

    Parameters
    ----------
    graph : bytes

    Raises
    ------
    UsageError
        The package onnx is not installed.
    """
    onnx = require_onnx()
    model = onnx.load_from_string(graph)
    _Rewriter(onnx, model.graph).run()
    content: bytes = model.SerializeToString()
    return content


class _Rewriter:
    """Rewrites a graph in place."""

    def __init__(self, onnx: Any, graph: Any) -> None:
        self._onnx, self._graph = onnx, graph
        self._weights = {each.name: each for each in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._users: dict[str, list[Any]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self._users[name].append(node)
        for output in graph.output:
            self._users[output.name].append(None)
        self._constants: dict[str, Any] = {}
        self._instead: dict[str, list[Any]] = {}  # nodes by the name that they make

    def run(self) -> None:
        """Rewrite all convolutions, and leave out what is no longer used."""
        for node in self._graph.node:
            if node.op_type == "Conv":
                self._merge_zeros(node)
            elif node.op_type == "ConvTranspose":
                self._split_phases(node)
        nodes = [
            made
            for node in self._graph.node
            for made in self._instead.get(node.output[0] if node.output else "", [node])
        ]
        self._keep(nodes)

    def _keep(self, nodes: list[Any]) -> None:
        used = {output.name for output in self._graph.output}
        kept = []
        for node in reversed(nodes):
            if used.intersection(node.output):
                kept.append(node)
                used.update(node.input)
        del self._graph.node[:]
        self._graph.node.extend(reversed(kept))
        weights = [each for each in self._graph.initializer if each.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(weights)

    def _merge_zeros(self, conv: Any) -> None:
        """Let a convolution pad its input itself, where a node before it pads zeros."""
        pad = self._makers.get(conv.input[0])
        if pad is None or pad.op_type != "Pad" or len(self._users[conv.input[0]]) > 1:
            return
        pads, value = self._constant(pad.input[1]), 0
        if len(pad.input) > 2 and pad.input[2]:
            value = self._constant(pad.input[2])
        if pads is None or value != 0 or self._attributes(pad)["mode"] != b"constant":
            return
        ends = pads.reshape(2, -1)  # before and behind each axis
        if ends[:, :2].any() or (ends < 0).any():
            return
        own = np.reshape(self._attributes(conv)["pads"], (2, -1))
        made = self._copy(conv, pads=(ends[:, 2:] + own).flatten().tolist())
        made.input[0] = pad.input[0]
        self._instead[conv.output[0]] = [made]

    def _split_phases(self, grow: Any) -> None:
        """Make a transposed convolution ordinary ones; with few outputs, let it crop by itself."""
        kernel, attributes = self._weights.get(grow.input[1]), self._attributes(grow)
        if kernel is None or len(grow.input) < 3 or not _is_of_stride_two(attributes):
            return
        last, ends = self._cropped(grow, attributes["pads"])
        sizes = kernel.dims[2:]
        if min(sizes) < 3 or [sum(cut) for cut in ends] != [size - 2 for size in sizes]:
            return
        if kernel.dims[1] < _FEWEST_CHANNELS:
            made = self._copy(grow, pads=[cut[side] for side in (0, 1) for cut in ends])
            made.output[0] = last
            self._instead[last] = [made]
            return
        users = self._users[last]
        is_positive = len(users) == 1 and users[0] is not None and users[0].op_type == "Relu"
        wanted = users[0].output[0] if is_positive else last
        values = self._onnx.numpy_helper.to_array(kernel)  # [in, out, rows, columns]
        begins = [begin for begin, _ in ends]
        phases = [_phase(values, parity, begins) for parity in itertools.product((0, 1), repeat=2)]
        self._instead[wanted] = self._phases(grow, wanted, phases, is_positive=is_positive)

    def _phases(
        self, grow: Any, wanted: str, phases: list[_Phase], *, is_positive: bool
    ) -> list[Any]:
        """Return the nodes that make a name: convolutions, activation, interleaving."""
        make, nodes, parts = self._onnx.helper.make_node, [], []
        for number, (kernel, pads) in enumerate(phases):
            name, weights = f"{grow.output[0]}.{number}", f"{grow.input[1]}.{number}"
            self._add(weights, kernel)
            inputs = [grow.input[0], weights, grow.input[2]]
            nodes.append(make("Conv", inputs, [name], name=name, pads=pads))
            if is_positive:
                nodes.append(make("Relu", [name], [f"{name}.relu"], name=f"{name}.relu"))
            parts.append(nodes[-1].output[0])
        joined = f"{grow.output[0]}.phases"
        nodes.append(make("Concat", parts, [joined], name=joined, axis=1))
        nodes.append(make("DepthToSpace", [joined], [wanted], name=f"{wanted}.grown", blocksize=2))
        return nodes

    def _cropped(self, grow: Any, own: list[int]) -> tuple[str, list[tuple[int, int]]]:
        """Return the name behind the slices that follow, and what is cut from rows and columns."""
        ends = {_ROWS: (own[0], own[2]), _COLUMNS: (own[1], own[3])}
        name = grow.output[0]
        while len(self._users[name]) == 1 and (node := self._users[name][0]) is not None:
            if node.op_type != "Slice" or (cut := self._cut(node)) is None:
                break
            for axis, (begin, end) in cut.items():
                ends[axis] = (ends[axis][0] + begin, ends[axis][1] + end)
            name = node.output[0]
        return name, [ends[_ROWS], ends[_COLUMNS]]

    def _cut(self, node: Any) -> dict[int, tuple[int, int]] | None:
        """Return what a slice cuts from both ends of rows or columns; None: anything else."""
        found = [self._constant(name) for name in node.input[1:]]
        if len(found) != 4 or any(each is None for each in found):
            return None
        cut: dict[int, tuple[int, int]] = {}
        for start, stop, axis, step in zip(*(each.tolist() for each in found), strict=True):
            end = 0 if stop >= _TO_THE_END else -stop
            if step != 1 or axis not in (_ROWS, _COLUMNS) or start < 0 or end < 0:
                return None
            cut[axis] = (start, end)
        return cut

    def _constant(self, name: str) -> Any:
        """Return the value of a name that depends on no input, else None."""
        if name not in self._constants:
            self._constants[name] = self._computed(name)
        return self._constants[name]

    def _computed(self, name: str) -> Any:
        if name in self._weights:
            return self._onnx.numpy_helper.to_array(self._weights[name])
        node = self._makers.get(name)
        if node is None:
            return None
        inputs = {}
        for each in filter(None, node.input):
            inputs[each] = self._constant(each)
            if inputs[each] is None:
                return None
        from onnx.reference import ReferenceEvaluator

        found: Any = ReferenceEvaluator(node).run([name], inputs)
        return found[0]

    def _attributes(self, node: Any) -> dict[str, Any]:
        return {each.name: self._onnx.helper.get_attribute_value(each) for each in node.attribute}

    def _copy(self, node: Any, **attributes: Any) -> Any:
        return self._onnx.helper.make_node(
            node.op_type,
            node.input,
            node.output,
            node.name,
            **{**self._attributes(node), **attributes},
        )

    def _add(self, name: str, values: npt.NDArray[np.float32]) -> None:
        if name not in self._weights:
            self._weights[name] = self._onnx.numpy_helper.from_array(values, name)
            self._graph.initializer.append(self._weights[name])


def _is_of_stride_two(attributes: Mapping[str, Any]) -> bool:
    """Return whether a transposed convolution of images has stride 2, and is plain otherwise."""
    wanted = {"strides": [2, 2], "dilations": [1, 1], "group": 1}
    is_plain = attributes.keys() <= {*wanted, "pads", "kernel_shape"}
    return is_plain and all(attributes[name] == value for name, value in wanted.items())


def _phase(kernel: npt.NDArray[np.float32], parity: tuple[int, ...], begins: list[int]) -> _Phase:
    """Return the convolution that makes the outputs of one parity of row and column.

    The kernel is ``[in, out, rows, columns]``, as much is cut from the begin of rows and columns.
    Output ``2 i + parity`` of the cropped result is the sum over the taps t of
    ``kernel[t] x[i + (parity + begin - t) / 2]``, where that is whole.
    """
    found, before, behind = kernel.swapaxes(0, 1), [], []
    for axis, (odd, begin) in enumerate(zip(parity, begins, strict=True), start=2):
        taps = [t for t in range(kernel.shape[axis]) if (odd + begin - t) % 2 == 0][::-1]
        places = [(odd + begin - t) // 2 for t in taps]  # -1, 0, 1
        found = found.take(taps, axis=axis)
        before.append(max(0, -places[0]))
        behind.append(max(0, places[-1]))
    return np.ascontiguousarray(found), before + behind
