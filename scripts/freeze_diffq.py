"""Write demucs networks quantised by DiffQ, and the restored weights, to tests/parity/vectors.

Needs demucs 4.1.0 and diffq 0.2.4 (which has to be compiled); the tests do not:

    python scripts/freeze_diffq.py
"""

from fractions import Fraction
from pathlib import Path

import torch
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs
from demucs.states import get_state, load_model
from diffq import DiffQuantizer, UniformQuantizer
from safetensors.torch import save_file

_OUT = Path(__file__).parents[1] / "tests" / "parity" / "vectors"
_SMALL = {
    "sources": ["a", "b"],
    "channels": 4,
    "growth": 1,
    "dconv_mode": 1,
    "dconv_depth": 1,
    "dconv_comp": 2,
}
_HYBRID = {**_SMALL, "nfft": 256, "depth": 5, "dconv_attn": 9, "dconv_lstm": 4}
_TRANSFORMER = {
    **_SMALL,
    "nfft": 128,
    "depth": 2,
    "t_layers": 2,
    "t_heads": 2,
    "segment": Fraction(1, 2),
}
_OF_TIME = {**_SMALL, "depth": 2, "segment": 1}
#: Class and arguments of the network; quantiser, its size limit (MB) and arguments; arguments of
#: its state.
_CASES = {
    "packed": (HDemucs, _HYBRID, DiffQuantizer, 0.002, {"group_size": 4}, {}),
    "torch_pack": (
        HTDemucs,
        _TRANSFORMER,
        DiffQuantizer,
        0.001,
        {"group_size": 8, "float16": True},
        {"torch_pack": True},
    ),
    "unpacked": (Demucs, _OF_TIME, DiffQuantizer, 0.001, {"group_size": 8}, {"packed": False}),
    "uniform": (Demucs, _OF_TIME, UniformQuantizer, 0.001, {"bits": 5}, {"packed": False}),
}

if __name__ == "__main__":
    for case, (klass, kwargs, quantise, least_mb, settings, form) in _CASES.items():
        torch.manual_seed(0)
        network = klass(**kwargs)
        quantiser = quantise(network, min_size=least_mb, **settings)
        for name, parameter in network.named_parameters():
            if name.endswith("_diffq"):  # between 2 and 14 bits
                parameter.data.uniform_(-4, 2.5)
        state = {**quantiser.get_quantized_state(**form), "__quantized": True}
        package = {"klass": klass, "args": (), "kwargs": kwargs, "state": state}
        path = _OUT / f"diffq_{case}.th"
        torch.save(package, path)
        if form == {}:
            assert get_state(network, quantiser).keys() == state.keys()
        restored = load_model(torch.load(path, weights_only=False)).state_dict()
        save_file(
            {name: tensor.contiguous() for name, tensor in restored.items()},
            path.with_suffix(".safetensors"),
        )
