"""demucs 4.1.0's safetensors, with JSON in their metadata and beside them."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from demucs4_files import FOUR, SMALL, demucs_metadata, random_state, write_network
from partita.errors import WeightsCorruptError, WeightsUnavailableError
from partita.weights import store
from partita.weights.demucs_package import read_package
from partita.weights.external_checkpoints import external_checkpoint
from partita.weights.resolve import resolve


@pytest.fixture
def path(tmp_path):
    return write_network(tmp_path / "955717e8.safetensors")


def assert_is_it(model, state):
    assert model.registry_name == "htdemucs"
    assert model.sources == tuple(FOUR)
    assert (model.config.segment_s, model.sample_rate) == (0.5, 8000)
    assert not model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def test_a_file_becomes_a_model(path):
    assert_is_it(store.load_model(str(path)), load_file(path))
    assert resolve(str(path)).sources == tuple(FOUR)
    assert len(resolve(str(path)).digest) == 64


def test_sources_are_told_without_the_tensors(path, monkeypatch):
    monkeypatch.setattr("partita.weights.demucs_package.load_file", None)
    assert resolve(str(path)).sources == tuple(FOUR)


@pytest.mark.parametrize(
    ("kwargs", "fault"),
    [({}, "does not state its sources"), ({**SMALL, "sources": ["a/b"]}, "bad source name")],
)
def test_sources_that_are_none(path, kwargs, fault):
    save_file(load_file(path), path, demucs_metadata(kwargs=kwargs))
    with pytest.raises(WeightsCorruptError, match=fault):
        _ = resolve(str(path)).sources


def test_half_precision(tmp_path):
    state = {name: x.half() for name, x in random_state().items()}
    path = write_network(tmp_path / "half.safetensors", state=state)
    assert_is_it(store.load_model(str(path)), {name: x.float() for name, x in state.items()})


def test_what_lies_beside_it_does_not_matter(path):
    (path.parent / "one.yaml").write_text("audio: {}")
    (path.parent / "two.yaml").write_text("audio: {}")
    assert external_checkpoint(str(path)).config is None
    path.with_suffix(".json").write_text("{")
    assert_is_it(store.load_model(str(path)), load_file(path))


def test_without_metadata_the_json_file_says_it(path):
    state = load_file(path)
    save_file(state, path)
    assert_is_it(store.load_model(str(path)), state)
    path.with_suffix(".json").unlink()
    with pytest.raises(WeightsCorruptError, match="not a partita checkpoint"):
        store.load_model(str(path))


def test_a_file_of_partitas_stays_one(path):
    from partita.weights.checkpoint import save_checkpoint

    model = store.load_model(str(path))
    save_checkpoint(path, model)  # the JSON file of demucs still lies there
    assert external_checkpoint(str(path)) is None
    assert_is_it(store.load_model(str(path)), model.state_dict())


def test_what_is_not_there(tmp_path):
    with pytest.raises(WeightsUnavailableError, match="no such checkpoint"):
        store.load_model(str(tmp_path / "nothing.safetensors"))


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"klass": "os.system"}, r"a network of the class os\.system, not demucs\.demucs\.Demucs"),
        ({"klass": "demucs.hdemucs.HDemucs"}, "depth is too small for the branches"),
        ({"args": "[["}, "not a safetensors file of demucs"),
        ({"args": "{}"}, "not a safetensors file of demucs"),
        ({"kwargs": "[]"}, "not a safetensors file of demucs"),
        ({"kwargs": "{}"}, "does not state its sources"),
        ({"kwargs": '{"sources": {"_type": "fraction"}}'}, "not a safetensors file of demucs"),
        (
            {"kwargs": '{"segment": {"_type": "fraction", "numerator": 1, "denominator": 0}}'},
            "not a safetensors file of demucs",
        ),
        ({"structure": "[["}, "not a safetensors file of demucs"),
        ({"structure": '{"_tensor": "nothing"}'}, "not a safetensors file of demucs"),
        ({"structure": '{"_class": "os.system"}'}, "not a safetensors file of demucs"),
        ({"structure": '{"_dict": [["a", 1]]}'}, "not a dict of tensors"),
    ],
)
def test_contents_that_are_refused(path, said, fault):
    save_file(load_file(path), path, {**demucs_metadata(), **said})
    with pytest.raises(WeightsCorruptError, match=fault) as info:
        store.load_model(str(path))
    assert str(info.value).startswith(str(path))
    assert "\n" not in str(info.value)


def test_weights_that_are_nan(path):
    state = load_file(path)
    state["encoder.0.conv.weight"] = torch.full_like(state["encoder.0.conv.weight"], torch.nan)
    save_file(state, path, demucs_metadata())
    with pytest.raises(WeightsCorruptError, match=r"encoder\.0\.conv\.weight are NaN"):
        store.load_model(str(path))


def test_files_that_are_cut_short(path):
    whole = path.read_bytes()
    for size in (len(whole) // 2, 100, 8, 0):
        path.write_bytes(whole[:size])
        with pytest.raises(WeightsCorruptError, match="not a readable safetensors file"):
            store.load_model(str(path))


def flattened(value, tensors, path="state"):
    """Describe a nested state as demucs 4.1.0 does, and take its tensors out of it."""
    if isinstance(value, torch.Tensor):
        tensors[path] = value.contiguous().clone()
        return {"_tensor": path}
    if isinstance(value, dict):
        items = value.items()
        return {"_dict": [[k, flattened(item, tensors, f"{path}.{k}")] for k, item in items]}
    if isinstance(value, list | tuple):
        items = [flattened(item, tensors, f"{path}.{n}") for n, item in enumerate(value)]
        return {f"_{type(value).__name__}": items}
    return {"_class": "diffq.diffq.DiffQuantizer"} if isinstance(value, type) else value


@pytest.mark.parametrize("name", ["diffq_packed", "diffq_torch_pack", "diffq_unpacked"])
def test_what_diffq_quantised(tmp_path, name):
    from pathlib import Path

    from partita.weights import demucs_package
    from partita.weights.state_dicts import load_restricted

    vector = Path(__file__).parents[2] / "parity" / "vectors" / f"{name}.th"
    with torch.serialization.safe_globals(demucs_package._admitted()):
        package = load_restricted(vector)
    tensors = {}
    structure = json.dumps(flattened(package["state"], tensors))
    klass = demucs_package._NAMES[package["klass"]]
    said = {**demucs_metadata(klass, package["kwargs"], package["args"]), "structure": structure}
    path = tmp_path / "quantised.safetensors"
    save_file(tensors, path, said)
    expected = read_package(vector)
    found = demucs_package.read_safetensors(path)
    assert found.klass == expected.klass
    assert found.state.keys() == expected.state.keys()
    for key, tensor in expected.state.items():
        assert torch.equal(found.state[key], tensor), key


def test_small_networks_are_those_that_tests_think(path):
    assert store.load_model(str(path)).window.length == int(SMALL["segment"] * 8000)
