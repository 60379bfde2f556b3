"""Files as demucs 4.1.0 writes them: safetensors with JSON in their metadata, and bags."""

import json
from fractions import Fraction

import torch
import yaml
from safetensors.torch import save_file

from partita.weights.demucs_networks import empty_demucs_network

FOUR = ["drums", "bass", "other", "vocals"]
RATE = 8000
#: A hybrid network of demucs's, with and without a transformer, that is quick to run.
SMALL = {
    "sources": FOUR,
    "samplerate": RATE,
    "channels": 4,
    "dconv_comp": 2,
    "dconv_init": 0.3,
    "nfft": 256,
    "depth": 2,
    "segment": Fraction(1, 2),
    "bottom_channels": 16,
    "t_layers": 1,
    "t_heads": 2,
}


def random_state(klass="HTDemucs", kwargs=SMALL, seed=0):
    """Return weights of the size that demucs's own network would have."""
    generator = torch.Generator().manual_seed(seed)
    shapes = empty_demucs_network(klass, kwargs).state_dict()
    return {
        name: 0.1 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in shapes.items()
    }


def _plain(value):
    if isinstance(value, Fraction):
        kinds = {"numerator": value.numerator, "denominator": value.denominator}
        return {"_type": "fraction", **kinds}
    return str(value)


def demucs_metadata(klass="HTDemucs", kwargs=SMALL, args=()):
    return {
        "klass": f"demucs.{klass.lower()}.{klass}",
        "args": json.dumps(args, default=_plain),
        "kwargs": json.dumps(kwargs, default=_plain),
    }


def write_network(path, klass="HTDemucs", kwargs=SMALL, state=None, seed=0, **said):
    """Write a network, and the JSON file beside it; returns the path."""
    state = random_state(klass, kwargs, seed) if state is None else state
    metadata = {**demucs_metadata(klass, kwargs), **said}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: x.contiguous() for name, x in state.items()}, path, metadata)
    training = {"training_args": {"seed": 42}, "metrics": [1.0]}
    path.with_suffix(".json").write_text(json.dumps({**metadata, **training}, indent=2))
    return path


def write_bag(path, signatures, **said):
    """Write the YAML file of a bag; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"models": list(signatures), **said}))
    return path
