"""Dequantisation of weights that DiffQ quantised to few bits.

DiffQ (Défossez, Adi & Synnaeve, Differentiable Model Compression via Pseudo Quantization Noise,
2021) stores a large tensor as levels of a uniform grid between its smallest and largest weight.
Groups of weights share a bit width, and groups of equal width are packed together in bit planes.
The lists of a state have no names: they follow the order of the network's parameters.

Nothing here is from the package diffq, whose licence forbids commercial use. States of diffq up to
0.2.4 are restored to exactly the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from partita.weights.state_dicts import is_plain

Kind = Literal["DiffQuantizer", "UniformQuantizer"]

_MOST_BITS = 15
#: The package does not pack levels of 15 bits: they are lost.
_MOST_PACKED_BITS = 14
#: The packer pads to blocks of 32 words of 64 bits.
_MOST_PADDING = 32 * 64
_WORDS = (torch.int64, torch.int32, torch.int16, torch.uint8)
_SHAPE_AXES = 3  # lines, bits, words
_BYTES_PER_MB = 2**20


@dataclass(frozen=True)
class Quantiser:
    """Parameters of a quantiser.

    Attributes
    ----------
    kind : str
        ``DiffQuantizer``, with a bit width for each group, or ``UniformQuantizer``.
    min_size_mb : float
        Tensors larger than that, as float32, are quantised.
    group : int
        Weights that share a bit width; 0: the whole tensor.
    min_bits : int
        The bit width that a packed 0 stands for.
    bits : float
        Bit width of a ``UniformQuantizer``.
    half : bool
        Whether the other tensors are float16.
    packed : bool
        Whether levels are in bit planes.
    """

    kind: Kind = "DiffQuantizer"
    min_size_mb: float = 0.01
    group: int = 1
    min_bits: int = 2
    bits: float = 8.0
    half: bool = False
    packed: bool = False

    @classmethod
    def from_settings(cls, kind: Kind, settings: Mapping[str, Any], *, packed: bool) -> Quantiser:
        """Convert the arguments of the package's quantiser.

        Raises
        ------
        ValueError
            Tensors were excluded by name, which the state does not record.
        """
        _check(not settings.get("exclude"), "tensors were excluded by name, which is not supported")
        return cls(
            kind,
            float(settings.get("min_size", cls.min_size_mb)),
            int(settings.get("group_size", cls.group)),
            int(settings.get("min_bits", cls.min_bits)),
            float(settings.get("bits", cls.bits)),
            bool(settings.get("float16", cls.half)),
            packed,
        )


def restored_state(
    state: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], quantiser: Quantiser
) -> dict[str, Tensor]:
    """Return the tensors of a quantised state.

    Parameters
    ----------
    state : mapping
        As returned by the package's ``get_quantized_state``: ``quantized``, ``float16``,
        ``others``.
    shapes : mapping of str to sequence of int
        Of the network's parameters, in order. They are not bounded here: the caller compares them
        with the size of the file.
    quantiser : Quantiser

    Returns
    -------
    dict of str to Tensor
        By the names of `shapes`.

    Raises
    ------
    ValueError
        The state has other tensors than the network, or levels or bit widths that are impossible.
    """
    most_weights = quantiser.min_size_mb * _BYTES_PER_MB // 4
    large = [name for name, shape in shapes.items() if math.prod(shape) > most_weights]
    small = [name for name, shape in shapes.items() if math.prod(shape) <= most_weights]
    packed, kept = state["quantized"], state["float16" if quantiser.half else "others"]
    _check(
        (len(packed), len(kept)) == (len(large), len(small)),
        f"it holds {len(packed)} quantised tensors and {len(kept)} others, "
        f"the network has {len(large)} and {len(small)}",
    )
    tensors: dict[str, Tensor] = {}
    for names, entries, read in ((small, kept, _kept), (large, packed, _restored)):
        for name, entry in zip(names, entries, strict=True):
            try:
                tensors[name] = read(entry, tuple(shapes[name]), quantiser)
            except ValueError as error:
                raise ValueError(f"{name} {error}") from error
    return {name: tensors[name] for name in shapes}


def _kept(entry: Any, shape: tuple[int, ...], _quantiser: Quantiser) -> Tensor:
    """Return the weights of a tensor that was not quantised."""
    tensor = _tensor(entry)
    found = tuple(tensor.shape)
    _check(found == shape, f"has the shape {list(found)}, not {list(shape)}")
    return tensor.float()


def _restored(entry: Sequence[Any], shape: tuple[int, ...], quantiser: Quantiser) -> Tensor:
    """Return the weights of a tensor that was quantised."""
    return _weights(entry, math.prod(shape), quantiser).reshape(shape)


def _weights(entry: Sequence[Any], count: int, quantiser: Quantiser) -> Tensor:
    if quantiser.kind == "UniformQuantizer":
        levels, scale = entry
        found = _unpacked(levels, count) if quantiser.packed else _tensor(levels)
        return _on_grid(_of(found, count), torch.tensor(quantiser.bits), scale)
    levels, scale, bits = entry
    group = quantiser.group or count
    _check(group > 0 and count % group == 0, f"is not made of groups of {group}")
    groups = count // group
    if quantiser.packed:
        bits = _unpacked(bits, groups) + quantiser.min_bits
        found = _packed_levels(levels, bits, group)
    else:
        found = _of(_tensor(levels), count).reshape(groups, group)
        bits = _of(_tensor(bits), groups).reshape(-1)
    _check(bool(((bits >= 1) & (bits <= _MOST_BITS)).all()), "has impossible bit widths")
    return _on_grid(found, bits[:, None], scale)


def _packed_levels(packed: Sequence[Any], bits: Tensor, group: int) -> Tensor:
    """Return the levels of all groups [groups, group] from the levels of each bit width."""
    _check(len(packed) == _MOST_PACKED_BITS, "has levels of other bit widths")
    levels = torch.zeros(len(bits), group, dtype=torch.int16)
    found = 0
    for index, planes in enumerate(packed):
        here = bits == index + 1
        groups = int(here.sum())
        if groups:
            _check(planes is not None, f"lacks the levels of {index + 1} bits")
            levels[here] = _unpacked(planes, groups * group).reshape(groups, group)
        found += groups
    _check(found == len(bits), "has groups of bit widths without levels")
    return levels


def _on_grid(levels: Tensor, bits: Tensor, scale: Sequence[float]) -> Tensor:
    """Return the weights of levels on grids of given bit widths between the ends of a scale.

    The order of operations is that of diffq, for equal rounding.
    """
    low, high = map(float, scale)
    unit = 1 / (2 ** bits.float() - 1)
    return levels.float() * unit * (high - low) + low


def _unpacked(planes: Any, count: int) -> Tensor:
    """Return numbers from their bit planes.

    Parameters
    ----------
    planes : Tensor
        Integers [lines, bits, words] or [bits, words]: the bits of number `k` of a line with `w`
        words are at position `k // w` of word `k % w` of each plane.
    count : int
        How many numbers there are; the rest is padding.

    Returns
    -------
    Tensor
        int16 [count].
    """
    planes = _tensor(planes)
    planes = planes[None] if planes.dim() == _SHAPE_AXES - 1 else planes
    _check(planes.dim() == _SHAPE_AXES and planes.dtype in _WORDS, "is not packed in bit planes")
    lines, bits, words = planes.shape
    places = 8 * planes.element_size()
    room = lines * places * words
    _check(bits <= _MOST_BITS, f"is packed in {bits} bit planes")
    _check(0 <= room - count < _MOST_PADDING, f"has {room} numbers, expected {count}")
    numbers = np.zeros((lines, places, words), np.int16)
    for bit in range(bits):
        plane = np.ascontiguousarray(planes[:, bit].numpy())
        octets = plane.astype(plane.dtype.newbyteorder("<"), copy=False).view(np.uint8)
        ones = np.unpackbits(octets, bitorder="little").reshape(lines, words, places)
        numbers |= ones.transpose(0, 2, 1).astype(np.int16) << bit
    return torch.from_numpy(numbers.reshape(-1)[:count])


def _tensor(value: Any) -> Tensor:
    _check(isinstance(value, Tensor) and is_plain(value), "is not a plain tensor")
    tensor: Tensor = value.detach()
    return tensor


def _of(tensor: Tensor, count: int) -> Tensor:
    _check(tensor.numel() == count, f"has {tensor.numel()} numbers, expected {count}")
    return tensor


def _check(condition: bool, fault: str) -> None:
    if not condition:
        raise ValueError(fault)
