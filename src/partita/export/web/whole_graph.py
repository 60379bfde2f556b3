"""A model as one ONNX graph: transform, level, network, masks, inverse transform.

The network is exported as for any other use; what `partita.models._spectrogram` does around it is
written down here in ONNX's text format, so that a page needs nothing but ONNX Runtime.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
import torch
from onnx import compose, numpy_helper, parser

from partita.dsp.masks import TINY
from partita.models._protocol import SeparationModel
from partita.models._softmax_masks import SoftmaxMaskModel
from partita.models._spectrogram import MAX_GAIN_DB, SpectrogramConfig, SpectrogramModel
from partita.weights.exported.onnx_graph import OPSET

IR_VERSION = 8  # of files that hold this opset
_NETWORK = "Network"
#: Mixture [1, 2, T] → spectrum [2, N, F, 2], and the lowest bins of it.
_ANALYSIS = """
    song = Squeeze(mixture, zero)
    padded = Pad(song, pads)
    signal = Unsqueeze(padded, two)
    spectrum = STFT <onesided = 1> (signal, hop, window)
    low = Slice(spectrum, zero, bins, two)
"""
#: The gain for the network, squared, where it was trained on one range of levels.
_LEVEL = """
    squared = Mul(mixture, mixture)
    power = ReduceMean <keepdims = 0> (squared)
    audible = Max(power, least_power)
    nepers = Log(audible)
    level_db = Mul(nepers, db_of_power)
    within_db = Clip(level_db, lowest_db, highest_db)
    missing_db = Sub(within_db, level_db)
    gain_db = Clip(missing_db, least_gain_db, most_gain_db)
    exponent = Div(gain_db, db_of_power)
    power_gain = Exp(exponent)
"""
#: Low [2, N, b, 2] → what `SpectrogramModel.magnitudes` gets, [1, 2, b, N]; found → masks.
_MAGNITUDES = """
    parts = Mul(low, low)
    powers = ReduceSum <keepdims = 0> (parts, three)
    scaled = Mul(powers, power_gain)
    magnitudes = Sqrt(scaled)
    by_bin = Transpose <perm = [0, 2, 1]> (magnitudes)
    given = Unsqueeze(by_bin, zero)
    found = Network(given)
    raised = Pow(found, mask_exponent)
    safe = Add(raised, tiny)
    total = ReduceSum <keepdims = 1> (safe, one)
    masks = Div(safe, total)
"""
#: Low [2, N, b, 2] → what `SoftmaxMaskModel.masks` gets, [1, N, 3, b].
_SOFTMAX = """
    left, right = Split <axis = 0> (low)
    difference = Sub(left, right)
    halved = Mul(difference, half)
    three_signals = Concat <axis = 0> (low, halved)
    parts = Mul(three_signals, three_signals)
    powers = ReduceSum <keepdims = 0> (parts, three)
    scaled = Mul(powers, power_gain)
    by_frame = Transpose <perm = [1, 0, 2]> (scaled)
    given = Unsqueeze(by_frame, zero)
    masks = Network(given, side)
"""
#: Masks [1, S, 2, b, N] → estimates [1, S, 2, T]. One transform gives left as real and right as
#: imaginary part; what is missing of the last source is the rest of the mixture.
_SYNTHESIS = """
    one_song = Squeeze(masks, zero)
    all_but_last = Slice(one_song, zero, minus_one, zero)
    by_time = Transpose <perm = [0, 1, 3, 2]> (all_but_last)
    upper = Slice(by_time, upper_half, bins, three)
    mean = ReduceMean <axes = [3], keepdims = 1> (upper)
    with_mean = Concat <axis = 3> (by_time, mean)
    full = Gather <axis = 3> (with_mean, bins_of_all)
    full_masks = Unsqueeze(full, four)
    masked = Mul(full_masks, spectrum)
    l = Gather <axis = 1> (masked, first_channel)
    r = Gather <axis = 1> (masked, second_channel)
    swapped = Gather <axis = 3> (r, swap)
    turned = Mul(swapped, minus_plus)
    below = Add(l, turned)
    conjugate = Mul(l, plus_minus)
    above = Add(conjugate, swapped)
    mirrored = Gather <axis = 2> (above, mirror)
    both = Concat <axis = 2> (below, mirrored)
    rows = Reshape(both, rows_shape)
    back = DFT <axis = 1, inverse = 1> (rows)
    faded = Mul(back, window_column)
    pieces = Reshape(faded, pieces_shape)
    frames = Shape <start = 1, end = 2> (spectrum)
    energy_shape = Concat <axis = 0> (one, frames, ones_shape)
    energies = Expand(window_energy, energy_shape)
"""


def whole_graph(model: SeparationModel, network: bytes) -> onnx.ModelProto:
    """Return a model as one graph: ``mixture`` ``[1, 2, T]`` → ``estimates`` ``[1, S, 2, T]``.

    Models that weight the difference of the channels have another input, ``side`` ``[1]``.

    Parameters
    ----------
    model : SeparationModel
        One that `partita.export.web.fitting.check_models` lets pass.
    network : bytes
        Its exported network.
    """
    core = onnx.load_from_string(network)
    if not isinstance(model, SpectrogramModel):
        return _renamed(core)
    has_side = isinstance(model, SoftmaxMaskModel)
    config = model.config
    text = _ANALYSIS + (_LEVEL if config.level_range_db is not None else "")
    text += (_SOFTMAX if has_side else _MAGNITUDES) + _SYNTHESIS + _overlap_add(config)
    inputs = "float[1, 2, T] mixture" + (", float[1] side" if has_side else "")
    whole = parser.parse_model(
        f'<ir_version: {IR_VERSION}, opset_import: ["": {OPSET}]>\n'
        f"separation ({inputs}) => (float[1, S, 2, T] estimates) {{{text}}}"
    )
    used = {name for node in whole.graph.node for name in node.input}
    whole.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in _constants(model).items()
        if name in used
    )
    _insert(whole.graph, core)
    onnx.checker.check_model(whole)
    return whole


def _overlap_add(config: SpectrogramConfig) -> str:
    """Return the end of the graph: each frame is so many hops long, and added at its own."""
    steps = range(config.fft_samples // config.hop_samples)
    lines = []
    for name, parts in (("pieces", "sum"), ("energies", "energy")):
        for n in steps:
            lines += [
                f"{name}_{n} = Gather <axis = 2> ({name}, step_{n})",
                f"{name}_at_{n} = Pad({name}_{n}, place_{n})",
            ]
        lines.append(f"{parts} = Sum({', '.join(f'{name}_at_{n}' for n in steps)})")
    return "\n".join(lines) + _END


#: Sum [S - 1, N + steps - 1, h, 2] and energy [1, N + steps - 1, h, 1] → estimates.
_END = """
    length = Shape <start = 2, end = 3> (mixture)
    end = Add(start, length)
    flat_sum = Reshape(sum, sum_shape)
    flat_energy = Reshape(energy, energy_flat)
    inside_sum = Slice(flat_sum, start, end, one)
    inside_energy = Slice(flat_energy, start, end, one)
    by_sample = Div(inside_sum, inside_energy)
    most = Transpose <perm = [0, 2, 1]> (by_sample)
    total_of_most = ReduceSum <keepdims = 1> (most, zero)
    last = Sub(mixture, total_of_most)
    all = Concat <axis = 0> (most, last)
    estimates = Unsqueeze(all, zero)
"""


def _constants(model: SpectrogramModel) -> dict[str, np.ndarray]:
    """Return name → value of what the graph does not compute."""
    config = model.config
    n, h, b = config.fft_samples, config.hop_samples, config.bins
    steps, count = n // h, len(model.sources)
    window = np.asarray(model.stft._window(torch.device("cpu")), np.float32)
    lowest, highest = config.level_range_db or (0.0, 0.0)
    without_levels = {} if config.level_range_db else {"power_gain": 1.0}
    floats = {
        "window": window,
        "window_column": window[None, :, None],
        "window_energy": np.square(window).reshape(1, 1, steps, h, 1),
        "least_power": 1e-20,
        "db_of_power": 10 / math.log(10),
        "lowest_db": lowest,
        "highest_db": highest,
        "least_gain_db": -MAX_GAIN_DB,
        "most_gain_db": MAX_GAIN_DB,
        "half": 0.5,
        "tiny": TINY / count,
        "mask_exponent": config.mask_exponent,
        "minus_plus": [-1.0, 1.0],
        "plus_minus": [1.0, -1.0],
        **without_levels,
    }
    integers = {
        **{name: [value] for value, name in enumerate(("zero", "one", "two", "three", "four"))},
        "minus_one": [-1],
        "hop": h,
        "pads": [0, n // 2, 0, n // 2],
        "bins": [b],
        "upper_half": [b // 2],
        "bins_of_all": np.minimum(np.arange(n // 2 + 1), b),
        "first_channel": 0,
        "second_channel": 1,
        "swap": [1, 0],
        "mirror": np.arange(n // 2 - 1, 0, -1),
        "rows_shape": [-1, n, 2],
        "pieces_shape": [count - 1, -1, steps, h, 2],
        "ones_shape": [steps, h, 1],
        "start": [n // 2],
        "sum_shape": [count - 1, -1, 2],
        "energy_flat": [1, -1, 1],
    }
    for step in range(steps):
        integers[f"step_{step}"] = step
        integers[f"place_{step}"] = [0, step, 0, 0, 0, steps - 1 - step, 0, 0]
    return {
        **{name: np.asarray(value, np.float32) for name, value in floats.items()},
        **{name: np.asarray(value, np.int64) for name, value in integers.items()},
    }


def _insert(graph: onnx.GraphProto, core: onnx.ModelProto) -> None:
    """Put a network in the place of the node that stands for it."""
    place, node = next(
        (place, node) for place, node in enumerate(graph.node) if node.op_type == _NETWORK
    )
    inner = compose.add_prefix(core, "network/").graph
    given = zip((value.name for value in inner.input), node.input, strict=True)
    names = {**dict(given), inner.output[0].name: node.output[0]}
    for part in inner.node:
        part.input[:] = [names.get(name, name) for name in part.input]
        part.output[:] = [names.get(name, name) for name in part.output]
    nodes = [*graph.node[:place], *inner.node, *graph.node[place + 1 :]]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(inner.initializer)


def _renamed(core: onnx.ModelProto) -> onnx.ModelProto:
    """Return a network that is all of its model, under the names of this module."""
    names = {core.graph.input[0].name: "mixture", core.graph.output[0].name: "estimates"}
    for node in core.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (core.graph.input[0], core.graph.output[0]):
        value.name = names[value.name]
    return core
