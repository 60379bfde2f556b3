"""Packages of demucs (``.th``): read without demucs, nothing of them is run."""

import dataclasses
import hashlib
import pickle
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from demucs_files import QUANTISED, their_classes, write_package
from partita.errors import WeightsCorruptError, WeightsUnavailableError
from partita.weights import cards, store
from partita.weights.demucs_networks import empty_demucs_network
from partita.weights.demucs_package import read_package

SOURCES = ["drums", "bass", "other", "vocals"]
KWARGS = {
    "sources": SOURCES,
    "channels": 4,
    "dconv_comp": 2,
    "segment": Fraction(39, 50),
    "bottom_channels": 16,
    "t_layers": 2,
    "t_heads": 2,
    "norm_starts": np.int64(4),
    "dconv_mode": 3,
}


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code from a file was run')",))


@pytest.fixture
def write(tmp_path):
    """Pickle a package as demucs does, with a class of its name; returns the file."""

    def put(name="HTDemucs", legacy=False, **changes):
        torch.manual_seed(0)
        shapes = empty_demucs_network("HTDemucs", KWARGS).state_dict()
        state = {key: 0.1 * torch.randn(tensor.shape).half() for key, tensor in shapes.items()}
        facts = {"kwargs": KWARGS, "state": state, **changes}
        return write_package(tmp_path / "network.th", name, legacy, **facts)

    return put


@pytest.mark.parametrize("legacy", [False, True])
def test_a_package_becomes_a_model(write, legacy):
    path = write(legacy=legacy)
    found = read_package(path)
    assert (found.klass, found.args) == ("HTDemucs", ())
    assert found.kwargs["segment"] == Fraction(39, 50)
    model = store.load_model(str(path))
    assert model.sources == tuple(SOURCES)
    assert model.config.segment_s == pytest.approx(0.78)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, found.state[name].float()), name
    assert "demucs" not in sys.modules


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "changes",
    [{"klass": Evil()}, {"kwargs": {"sources": Evil()}}, {"state": Evil()}, {"more": [Evil()]}],
    ids=["class", "argument", "state", "beside"],
)
def test_code_is_refused(write, changes, legacy):
    path = write(legacy=legacy, **changes)
    with pytest.raises(WeightsCorruptError, match=r"could be code: refused, nothing") as info:
        store.load_model(str(path))
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    ("klass", "changes", "fault"),
    [
        ("Solver", {}, "it holds demucs.solver.Solver, which could be code"),
        ("HTDemucs", {"state": {"__quantized": True}}, "not a package of demucs"),
        ("HTDemucs", {"state": {"a": 1}}, "not a dict of tensors"),
        ("HTDemucs", {"state": {"a": torch.ones(1)}}, "it has an unexpected tensor a"),
        ("HTDemucs", {"state": {"a": torch.ones(1).expand(1 << 30)}}, "much larger than the file"),
        ("HTDemucs", {"kwargs": {}}, "does not state its sources"),
        ("HTDemucs", {"kwargs": [1]}, "not a package of demucs"),
        ("HTDemucs", {"klass": "HTDemucs"}, "not a package of demucs"),
        ("HTDemucs", {"args": 1}, "not a package of demucs"),
    ],
)
def test_other_contents_are_refused(write, klass, changes, fault):
    path = write(klass, **changes)
    with pytest.raises(WeightsCorruptError, match=fault) as info:
        store.load_model(str(path))
    assert "\n" not in str(info.value)


@pytest.fixture
def quantised(write):
    """Write a package whose quantiser left all tensors as they are, changed; returns the file."""

    def put(klass="diffq.diffq.DiffQuantizer", kwargs=None, settings=None, **changes):
        shapes = empty_demucs_network("HTDemucs", KWARGS).named_parameters()
        state = {
            **{"quantized": [], "float16": [], "__quantized": True},
            "others": [torch.full(tensor.shape, 0.5) for _, tensor in shapes],
            **changes,
        }
        init_kwargs = {"min_size": 1, **(settings or {})}
        with their_classes(klass) as (quantiser,):
            state["meta"] = {"klass": quantiser, "init_kwargs": init_kwargs}
            return write(state=state, kwargs={**KWARGS, **(kwargs or {})})

    return put


def test_a_quantised_package_becomes_a_model(quantised):
    weights = store.load_model(str(quantised())).state_dict()
    assert all(bool((tensor == 0.5).all()) for tensor in weights.values())
    assert "diffq" not in sys.modules


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"klass": "diffq.lsq.LSQ"}, r"it holds diffq\.lsq\.LSQ, which could be code"),
        ({"klass": "demucs.demucs.Demucs"}, "not a package of demucs"),
        ({"settings": {"exclude": ["bias"]}}, "DiffQ: tensors were excluded by name"),
        ({"settings": {"min_size": "much"}}, "DiffQ: could not convert string"),
        ({"settings": {"min_size": 0.001}}, r"DiffQ: it holds 0 quantised tensors and \d+ others"),
        ({"others": [torch.ones(30_000)]}, "DiffQ: it holds 0 quantised tensors and 1 others"),
        ({"others": Evil()}, "could be code"),
        ({"kwargs": {"channels": 512}}, "more weights than the file has bits"),
    ],
)
def test_quantised_packages_that_are_refused(quantised, changes, fault):
    with pytest.raises(WeightsCorruptError, match=fault) as info:
        store.load_model(str(quantised(**changes)))
    assert "\n" not in str(info.value)


def test_a_card_of_a_quantised_file(server, tmp_path, monkeypatch):
    """As those of mdx_q and mdx_extra_q are."""
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path))
    content, expected = (
        QUANTISED[0].read_bytes(),
        load_file(QUANTISED[0].with_suffix(".safetensors")),
    )
    server.files["a.th"] = content
    digest = hashlib.sha256(content).hexdigest()
    file = cards.UrlFile(f"http://127.0.0.1:{server.server_port}/a.th", digest, len(content))
    card = dataclasses.replace(
        cards.get_card("42e558d4"),
        config={"sources": ["a", "b"], "segment_s": 44.0},
        remote=(cards.UrlSource({"all": file}, "demucs-package"),),
        download_bytes=len(content),
    )
    monkeypatch.setitem(cards.CARDS, card.name, card)
    model = store.load_model(card.name)
    assert (model.registry_name, model.config.segment_s) == ("hdemucs", 44)
    assert all(torch.equal(model.state_dict()[name], x) for name, x in expected.items())
    assert store.load_model(card.name).config == model.config  # from the cache
    assert server.asked == ["a.th"]


def test_quantised_weights_that_are_nan(quantised):
    whole = read_package(quantised()).state
    others = [torch.full_like(tensor, torch.nan) for tensor in whole.values()]
    with pytest.raises(WeightsCorruptError, match="are NaN or infinite"):
        store.load_model(str(quantised(others=others)))


def test_weights_that_are_nan(write):
    state = dict(read_package(write()).state)
    state["encoder.0.conv.weight"] = torch.full_like(state["encoder.0.conv.weight"], torch.nan)
    with pytest.raises(WeightsCorruptError, match=r"encoder\.0\.conv\.weight are NaN"):
        store.load_model(str(write(state=state)))


def test_damaged_files(write, tmp_path):
    whole = write().read_bytes()
    path = tmp_path / "damaged.th"
    for content in (whole[: len(whole) // 2], b"", b"PK\3\4", pickle.dumps([1])):
        path.write_bytes(content)
        with pytest.raises(WeightsCorruptError, match=r"damaged\.th: not a"):
            store.load_model(str(path))
    with pytest.raises(WeightsUnavailableError, match="no such checkpoint"):
        store.load_model(str(tmp_path / "nothing.th"))
