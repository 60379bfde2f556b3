"""Beginning with the weights of another model."""

import pytest
import torch

from partita.errors import ModelError, UsageError
from partita.models import create_model
from partita.training.finetuning import transfer_weights

SMALL = {"fft_samples": 256, "hop_samples": 64, "hidden": 8, "layers": 1}


def build(name="open-unmix", sources=("vocals", "drums", "bass"), **values):
    torch.manual_seed(1)
    return create_model(name, {"sources": list(sources), **SMALL, **values})


def changed(model, **values):
    return transfer_weights(model, {**model.config.to_dict(), **values})


def same(new, source, old, other):
    mine = new.networks[source].state_dict()
    theirs = old.networks[other].state_dict()
    return all(torch.equal(mine[key], theirs[key]) for key in theirs)


def test_the_same_configuration_takes_everything():
    old = build()
    new, fresh = changed(old)
    assert fresh == []
    assert all(same(new, name, old, name) for name in old.sources)
    new.networks["vocals"].fc1.weight.data.zero_()
    assert old.networks["vocals"].fc1.weight.any()


def test_other_sources_begin_with_those_in_their_places():
    old = build()
    new, fresh = changed(old, sources=["flute", "guitar"])
    assert (new.sources, fresh) == (("flute", "guitar"), [])
    assert same(new, "flute", old, "vocals")
    assert same(new, "guitar", old, "drums")


def test_sources_that_stay_keep_their_networks():
    old = build()
    new, _ = changed(old, sources=["bass", "flute", "vocals", "choir", "bells"])
    for source, other in (
        ("bass", "bass"),
        ("flute", "drums"),
        ("vocals", "vocals"),
        ("choir", "bass"),  # beyond the old ones: the last
        ("bells", "bass"),
    ):
        assert same(new, source, old, other)


def test_residuals_have_no_network():
    old = build()
    new, fresh = changed(old, sources=["flute", "rest"], residual=True)
    assert list(new.networks) == ["flute"]
    assert same(new, "flute", old, "vocals")
    assert fresh == []


def test_other_shapes_begin_at_random():
    old = build("crosstalk-unmix")
    new, fresh = changed(old, sources=["flute", "guitar"])
    assert fresh == ["networks.flute.fc2.weight", "networks.guitar.fc2.weight"]
    assert torch.equal(new.networks["flute"].fc1.weight, old.networks["vocals"].fc1.weight)
    new, fresh = changed(old, sources=["flute", "guitar", "bells"])
    assert fresh == []


def test_unets():
    sizes = {"fft_samples": 256, "hop_samples": 64, "bins": 128, "frames": 64, "widths": [2, 4]}
    old = create_model("unet", {"sources": ["vocals", "rest"], **sizes})
    new, fresh = changed(old, sources=["flute", "guitar"])
    assert fresh == []
    assert same(new, "guitar", old, "rest")


def test_nothing_to_take_over():
    with pytest.raises(UsageError, match="no weight fits"):
        changed(build(), hidden=4, fft_samples=128, bins=65, channels=1)
    with pytest.raises(ModelError, match="hidden must be even"):
        changed(build(), hidden=7)
