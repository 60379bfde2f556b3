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
#: Constants of a Fourier transform of n = p q samples in two products of matrices, after Cooley &
#: Tukey, "An algorithm for the machine calculation of complex Fourier series", Math. Comp. 1965:
#: n1 = 0 … p - 1 to k1, then n2 = 0 … q - 1 to k2 for each k1, where a sample is q n1 + n2 and a
#: bin k1 + p k2. ONNX Runtime computes them several times as fast as its operators STFT and DFT. It
#: multiplies constants when it loads the graph; all of them would make the file larger by 4 MB.
_TRANSFORM = """
    t_e = Mul(twiddle_real, to_bins_real)
    t_e_imaginary = Mul(twiddle_imaginary, to_bins_imaginary)
    t_f = Mul(twiddle_real, to_bins_imaginary)
    t_f_imaginary = Mul(twiddle_imaginary, to_bins_real)
    second_real = Sub(t_e, t_e_imaginary)
    second_imaginary = Add(t_f, t_f_imaginary)
    second_negative = Neg(second_imaginary)
    of_real = Concat <axis = 2> (second_real, second_imaginary)
    of_imaginary = Concat <axis = 2> (second_negative, second_real)
    of_real_turned = Transpose <perm = [0, 2, 1]> (of_real)
    of_imaginary_turned = Transpose <perm = [0, 2, 1]> (of_imaginary)
    to_real = Mul(of_real_turned, bin_weights)
    to_imaginary = Mul(of_imaginary_turned, bin_weights)
"""
#: Mixture [1, 2, T] → real and imaginary part of its spectrum, [2, N, f] each, and the lowest bins
#: of them. Bins beyond half the sample rate are among the f, and have no weight in the end.
_ANALYSIS = """
    song = Squeeze(mixture, zero)
    padded = Pad(song, pads)
    length = Shape <start = 2, end = 3> (mixture)
    hops = Div(length, hop)
    frame_count = Add(hops, one)
    block_count = Add(hops, steps)
    used = Mul(block_count, hop)
    inside = Slice(padded, zero, used, one)
    blocks = Reshape(inside, blocks_shape)
    {frames}
    windowed = Mul(framed, window)
    squares = Reshape(windowed, squares_shape)
    by_row = Transpose <perm = [1, 0, 2]> (squares)
    row_by_row = Reshape(by_row, flat_shape)
    first_real_flat = MatMul(cosines, row_by_row)
    first_imaginary_flat = MatMul(sines, row_by_row)
    first_real = Reshape(first_real_flat, rows_shape)
    first_imaginary = Reshape(first_imaginary_flat, rows_shape)
    from_real = MatMul(first_real, of_real)
    from_imaginary = MatMul(first_imaginary, of_imaginary)
    transformed = Add(from_real, from_imaginary)
    by_bin_real, by_bin_imaginary = Split <axis = 2> (transformed)
    flat_real = Reshape(by_bin_real, flat_shape)
    flat_imaginary = Reshape(by_bin_imaginary, flat_shape)
    in_order_real = Transpose <perm = [1, 0]> (flat_real)
    in_order_imaginary = Transpose <perm = [1, 0]> (flat_imaginary)
    real = Reshape(in_order_real, spectrum_shape)
    imaginary = Reshape(in_order_imaginary, spectrum_shape)
    low_real = Slice(real, zero, bins, two)
    low_imaginary = Slice(imaginary, zero, bins, two)
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
#: Low bins, [2, N, b] → what `SpectrogramModel.magnitudes` gets, [1, 2, b, N]; found → masks.
_MAGNITUDES = """
    squared_real = Mul(low_real, low_real)
    squared_imaginary = Mul(low_imaginary, low_imaginary)
    powers = Add(squared_real, squared_imaginary)
    scaled = Mul(powers, power_gain)
    magnitudes = Sqrt(scaled)
    by_frame = Transpose <perm = [0, 2, 1]> (magnitudes)
    given = Unsqueeze(by_frame, zero)
    found = Network(given)
    raised = Pow(found, mask_exponent)
    safe = Add(raised, tiny)
    total = ReduceSum <keepdims = 1> (safe, one)
    masks = Div(safe, total)
"""
#: Low bins, [2, N, b] → what `SoftmaxMaskModel.masks` gets, [1, N, 3, b].
_SOFTMAX = """
    left_real, right_real = Split <axis = 0> (low_real)
    left_imaginary, right_imaginary = Split <axis = 0> (low_imaginary)
    difference_real = Sub(left_real, right_real)
    difference_imaginary = Sub(left_imaginary, right_imaginary)
    half_real = Mul(difference_real, half)
    half_imaginary = Mul(difference_imaginary, half)
    three_real = Concat <axis = 0> (low_real, half_real)
    three_imaginary = Concat <axis = 0> (low_imaginary, half_imaginary)
    squared_real = Mul(three_real, three_real)
    squared_imaginary = Mul(three_imaginary, three_imaginary)
    powers = Add(squared_real, squared_imaginary)
    scaled = Mul(powers, power_gain)
    by_frame = Transpose <perm = [1, 0, 2]> (scaled)
    given = Unsqueeze(by_frame, zero)
    masks = Network(given, side)
"""
#: Masks [1, S, 2, b, N] → frames [2 (S - 1), N, n]. The bins have weights for that.
_SYNTHESIS = """
    one_song = Squeeze(masks, zero)
    all_but_last = Slice(one_song, zero, minus_one, zero)
    by_time = Transpose <perm = [0, 1, 3, 2]> (all_but_last)
    upper = Slice(by_time, upper_half, bins, three)
    mean = ReduceMean <axes = [3], keepdims = 1> (upper)
    above = Mul(mean, ones_above)
    full = Concat <axis = 3> (by_time, above)
    masked_real = Mul(full, real)
    masked_imaginary = Mul(full, imaginary)
    in_turn_real = Reshape(masked_real, in_turn_shape)
    in_turn_imaginary = Reshape(masked_imaginary, in_turn_shape)
    apart_real = Transpose <perm = [1, 0]> (in_turn_real)
    apart_imaginary = Transpose <perm = [1, 0]> (in_turn_imaginary)
    back_bins_real = Reshape(apart_real, bins_shape)
    back_bins_imaginary = Reshape(apart_imaginary, bins_shape)
    both_parts = Concat <axis = 2> (back_bins_real, back_bins_imaginary)
    back_real = MatMul(both_parts, to_real)
    back_imaginary = MatMul(both_parts, to_imaginary)
    back_real_flat = Reshape(back_real, flat_shape)
    back_imaginary_flat = Reshape(back_imaginary, flat_shape)
    from_back_real = MatMul(cosines, back_real_flat)
    from_back_imaginary = MatMul(sines, back_imaginary_flat)
    back = Add(from_back_real, from_back_imaginary)
    back_rows = Reshape(back, rows_shape)
    back_by_frame = Transpose <perm = [1, 0, 2]> (back_rows)
    back_frames = Reshape(back_by_frame, frames_shape)
    faded = Mul(back_frames, window)
    pieces = Reshape(faded, pieces_shape)
    energy_shape = Concat <axis = 0> (one, frame_count, ones_shape)
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
    text = _TRANSFORM + _analysis(config) + (_LEVEL if config.level_range_db is not None else "")
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


def _analysis(config: SpectrogramConfig) -> str:
    """Return the beginning of the graph, in which each frame is so many hops long."""
    steps = range(config.fft_samples // config.hop_samples)
    lines = []
    for n in steps:
        lines += [
            f"end_{n} = Add(frame_count, from_{n})",
            f"blocks_{n} = Slice(blocks, from_{n}, end_{n}, one)",
        ]
    lines.append(f"framed = Concat <axis = 2> ({', '.join(f'blocks_{n}' for n in steps)})")
    return _ANALYSIS.format(frames="\n".join(lines))


def _overlap_add(config: SpectrogramConfig) -> str:
    """Return the end of the graph, in which each frame is added at its own hop."""
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


#: Sum [2 (S - 1), N + steps - 1, h] and energy [1, N + steps - 1, h] → estimates.
_END = """
    end = Add(start, length)
    flat_sum = Reshape(sum, sum_shape)
    flat_energy = Reshape(energy, energy_flat)
    inside_sum = Slice(flat_sum, start, end, one)
    inside_energy = Slice(flat_energy, start, end, one)
    by_sample = Div(inside_sum, inside_energy)
    most = Reshape(by_sample, estimates_shape)
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
    transform, p, q, bins = _transform_constants(n)
    window = np.asarray(model.stft._window(torch.device("cpu")), np.float32)
    lowest, highest = config.level_range_db or (0.0, 0.0)
    without_levels = {} if config.level_range_db else {"power_gain": 1.0}
    floats = {
        **transform,
        "window": window,
        "window_energy": np.square(window).reshape(1, 1, steps, h),
        "least_power": 1e-20,
        "db_of_power": 10 / math.log(10),
        "lowest_db": lowest,
        "highest_db": highest,
        "least_gain_db": -MAX_GAIN_DB,
        "most_gain_db": MAX_GAIN_DB,
        "half": 0.5,
        "tiny": TINY / count,
        "mask_exponent": config.mask_exponent,
        "ones_above": np.ones(p * bins - b),
        **without_levels,
    }
    integers: dict[str, object] = {
        **{name: [value] for value, name in enumerate(("zero", "one", "two", "three"))},
        "minus_one": [-1],
        "hop": [h],
        "steps": [steps],
        "pads": [0, n // 2, 0, n // 2],
        "bins": [b],
        "upper_half": [b // 2],
        "blocks_shape": [2, -1, h],
        "squares_shape": [-1, p, q],
        "flat_shape": [p, -1],
        "rows_shape": [p, -1, q],
        "spectrum_shape": [2, -1, p * bins],
        "in_turn_shape": [-1, p],
        "bins_shape": [p, -1, bins],
        "frames_shape": [2 * (count - 1), -1, n],
        "pieces_shape": [2 * (count - 1), -1, steps, h],
        "ones_shape": [steps, h],
        "start": [n // 2],
        "sum_shape": [2 * (count - 1), -1],
        "energy_flat": [1, -1],
        "estimates_shape": [count - 1, 2, -1],
    }
    for step in range(steps):
        integers[f"step_{step}"] = step
        integers[f"from_{step}"] = [step]
        integers[f"place_{step}"] = [0, step, 0, 0, steps - 1 - step, 0]
    return {
        **{name: np.asarray(value, np.float32) for name, value in floats.items()},
        **{name: np.asarray(value, np.int64) for name, value in integers.items()},
    }


def _transform_constants(n: int) -> tuple[dict[str, np.ndarray], int, int, int]:
    """Return constants of a transform of n samples, its p and q, and how many k2 there are.

    An inverse transform is the transposed one, with a weight for each bin: it stands for its mirror
    image as well, but those at the ends of the spectrum for themselves alone.
    """
    p = max(each for each in range(1, math.isqrt(n) + 1) if n % each == 0)
    q = n // p
    bins = q // 2 + 1
    turns = np.outer(np.arange(p), np.arange(p)) / p  # [k1, n1]
    twiddles = np.exp(-2j * np.pi * np.outer(np.arange(p), np.arange(q)) / n)[..., None]
    to_bins = np.exp(-2j * np.pi * np.outer(np.arange(q), np.arange(bins)) / q)[None]
    places = np.arange(p)[:, None] + p * np.arange(bins)  # [k1, k2]
    weights = np.where(places % (n // 2), 2, 1) * (places <= n // 2) / n
    constants = {
        "cosines": np.cos(2 * np.pi * turns),
        "sines": -np.sin(2 * np.pi * turns),
        "twiddle_real": twiddles.real,
        "twiddle_imaginary": twiddles.imag,
        "to_bins_real": to_bins.real,
        "to_bins_imaginary": to_bins.imag,
        "bin_weights": np.tile(weights, 2)[..., None],
    }
    return constants, p, q, bins


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
