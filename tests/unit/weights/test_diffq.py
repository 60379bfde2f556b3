"""States that DiffQ quantised: levels in bit planes become weights; damaged ones are refused."""

import numpy as np
import pytest
import torch

from partita.weights.diffq import Quantiser, restored_state

SHAPES = {"a": (3,), "b": (40, 16), "c": (2, 2)}
QUANTISER = Quantiser(min_size_mb=0.001, group=8, packed=True)
GROUPS = 80


def planes(numbers, bits, words=32, kind=torch.int64):
    """Pack numbers the slow way: one bit at a time."""
    places = 8 * torch.empty(0, dtype=kind).element_size()
    lines = -(-len(numbers) // (places * words))
    packed = np.zeros((lines, bits, words), np.uint64)
    for index, number in enumerate(np.asarray(numbers).tolist()):
        line, rest = divmod(index, places * words)
        place, word = divmod(rest, words)
        for bit in range(bits):
            packed[line, bit, word] |= np.uint64((number >> bit & 1) << place)
    return torch.from_numpy(packed.view(np.int64)).to(kind)


def packed_state(**changes):
    """Return a state, and the levels [groups, 8] and bits [groups] of its large tensor."""
    rng = np.random.default_rng(0)
    bits = rng.integers(2, 15, GROUPS)
    bits[0] = 2  # the others are counted from there
    levels = rng.integers(0, 2 ** bits[:, None], (GROUPS, 8))
    each = [
        planes(levels[bits == number].reshape(-1), number) if (bits == number).any() else None
        for number in range(1, 15)
    ]
    state = {
        "quantized": [(each, (-0.5, 0.25), planes(bits - 2, 4))],
        "float16": [],
        "others": [torch.arange(3.0), torch.ones(2, 2)],
        **changes,
    }
    return state, levels, bits


def test_levels_become_weights():
    state, levels, bits = packed_state()
    found = restored_state(state, SHAPES, QUANTISER)
    assert list(found) == ["a", "b", "c"]
    assert torch.equal(found["a"], torch.arange(3.0))
    expected = levels / (2.0 ** bits[:, None] - 1) * 0.75 - 0.5
    assert found["b"].shape == (40, 16)
    assert np.abs(found["b"].numpy().reshape(GROUPS, 8) - expected).max() < 1e-6
    assert found["b"].dtype == torch.float32


@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.int16, torch.uint8])
def test_planes_of_words_of_any_size(kind):
    numbers = np.random.default_rng(1).integers(0, 128, 640)
    words = 640 // (8 * torch.empty(0, dtype=kind).element_size())
    state, *_ = packed_state()
    state["quantized"] = [(planes(numbers, 7, words, kind)[0], (0.0, 127.0))]
    uniform = Quantiser("UniformQuantizer", min_size_mb=0.001, bits=7, packed=True)
    found = restored_state(state, SHAPES, uniform)["b"]
    assert np.abs(found.numpy().reshape(-1) - numbers).max() < 1e-4


def entry(**changes):
    state, *_ = packed_state()
    levels, scale, bits = state["quantized"][0]
    found = {"levels": levels, "scale": scale, "bits": bits, **changes}
    return {"quantized": [tuple(found.values())]}


NO_LEVELS = [None] * 14
FAULTS = {
    "tensors": ({"quantized": []}, "holds 0 quantised tensors and 2 others"),
    "others": ({"others": [torch.ones(3)]}, "the network has 1 and 2"),
    "sparse": ({"others": [torch.ones(3).to_sparse(), torch.ones(2, 2)]}, "not a plain tensor"),
    "size": (
        {"others": [torch.ones(1).half().expand(1 << 45), torch.ones(2, 2)]},
        "a has the shape",
    ),
    "shape": ({"others": [torch.ones(3), torch.ones(4)]}, r"c has the shape \[4\], not \[2, 2\]"),
    "levels": (entry(levels=NO_LEVELS), "b lacks the levels of 2 bits"),
    "numbers of bits": (entry(levels=NO_LEVELS[1:]), "levels of other bit widths"),
    "fewer": (entry(levels=[planes([1], 2)[:0]] * 14), "b has 0 numbers, expected"),
    "lost": (entry(bits=planes([13] * GROUPS, 4)), "groups of bit widths without levels"),
    "more bits": (entry(bits=planes([200] * GROUPS, 8)), "b has groups of bit widths without"),
    "no planes": (entry(bits=torch.ones(3)), "b is not packed in bit planes"),
    "floats": (entry(bits=torch.ones(1, 4, 32)), "b is not packed in bit planes"),
    "endless": (entry(bits=torch.empty(1 << 40, 0, 32, dtype=torch.int64)), "numbers, expected"),
    "wide": (entry(bits=torch.zeros(1, 300, 32, dtype=torch.int64)), "b is packed in 300 bit"),
    "texts": (entry(bits="2"), "is not a plain tensor"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_states_that_cannot_be(kind):
    changes, fault = FAULTS[kind]
    state, *_ = packed_state(**changes)
    with pytest.raises(ValueError, match=fault):
        restored_state(state, SHAPES, QUANTISER)


def test_groups_that_do_not_fit():
    state, *_ = packed_state()
    with pytest.raises(ValueError, match="b is not made of groups of 7"):
        restored_state(state, SHAPES, Quantiser(min_size_mb=0.001, group=7, packed=True))
    unpacked = {**state, "quantized": [(torch.zeros(80, 8), (0, 1), torch.full((80,), 40))]}
    with pytest.raises(ValueError, match="b has impossible bit widths"):
        restored_state(unpacked, SHAPES, Quantiser(min_size_mb=0.001, group=8))


def test_tensors_left_out_by_name():
    with pytest.raises(ValueError, match="excluded by name"):
        Quantiser.from_settings("DiffQuantizer", {"exclude": ["*bias"]}, packed=True)
