"""HTDemucs's weights from ONNX files of our own making, whole and damaged."""

import hashlib
import io
import tarfile

import pytest
import torch

from partita.errors import WeightsCorruptError
from partita.weights import htdemucs_onnx
from partita.weights.card import NpmSource
from partita.weights.onnx_file import read_graph


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor_of(name, values, shape=None, kind=1):
    dims = b"".join(field(1, size) for size in (values.shape if shape is None else shape))
    raw = values.contiguous().numpy().tobytes()
    return field(5, dims + field(2, kind) + field(8, name) + field(9, raw))


def node(name, *inputs):
    return field(1, b"".join(field(1, each) for each in inputs) + field(3, name))


def model(*parts):
    return field(1, 8) + field(2, "pytorch") + field(7, b"".join(parts))


def numbers(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


NORM, SCALE, LINEAR, QUERIES, OTHERS = (
    numbers(6, 1),
    numbers(5, 1),
    numbers(3, 4),
    numbers(4, 4),
    numbers(4, 8),
)
BIASES, EMBEDDING, NAMED = (numbers(4), numbers(8)), numbers(1, 4, 7, 1), numbers(2, 3)
LAYERS, CROSS = "/encoder.0/dconv/layers.1/layers.1", "/crosstransformer/layers.1/cross_attn"
GRAPH = [
    tensor_of("encoder.0.conv.weight", NAMED),
    tensor_of("onnx::Mul_1", NORM),
    tensor_of("onnx::Add_2", NORM + 1),
    tensor_of("onnx::Mul_3", SCALE),
    tensor_of("onnx::MatMul_4", LINEAR),
    tensor_of("onnx::MatMul_5", QUERIES),
    tensor_of("onnx::MatMul_6", OTHERS),
    tensor_of("onnx::Add_7", BIASES[0]),
    tensor_of("onnx::Add_8", BIASES[1]),
    tensor_of("onnx::Expand_9", EMBEDDING),
    node(f"{LAYERS}.1/Mul", "a", "onnx::Mul_1"),
    node(f"{LAYERS}.1/Add", "a", "onnx::Add_2"),
    node(f"{LAYERS}.6/Mul", "onnx::Mul_3", "a"),
    node("/crosstransformer/layers.0/linear1/MatMul", "a", "onnx::MatMul_4"),
    node(f"{CROSS}/MatMul", "a", "onnx::MatMul_5"),
    node(f"{CROSS}/MatMul_1", "a", "onnx::MatMul_6"),
    node(f"{CROSS}/Add", "onnx::Add_7", "a"),
    node(f"{CROSS}/Add_1", "onnx::Add_8", "a"),
    node("/Expand", "onnx::Expand_9", "a"),
]


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
        (model(tensor_of("a", NAMED, shape=(2, 4))), "another size than its shape"),
        (model(tensor_of("a", NAMED, shape=(1 << 40, 1 << 40))), "another size"),
        (model(tensor_of("a", NAMED, shape=(1,) * 9)), "another size"),
        (model(tensor_of("a", NAMED, kind=7)), "no tensor of float32"),
        (model(tensor_of("a", NAMED), tensor_of("a", NAMED)), "'a' twice"),
        (model(field(5, field(8, "a") + field(14, 1))), "'a' lies in another file"),
        (model(field(5, 3)), "no ONNX file"),
        (model(tensor_of("a" * 2000, NAMED)), "a name without end"),
        (model() + model(), "2 graphs"),
        (field(7, b"") + varint(7 << 3 | 2) + varint(1 << 60), "cut short"),
        (b"\xff" * 20, "no protocol buffer"),
        (b"\x0b\x00", "no protocol buffer"),
    ],
)
def test_lies_are_refused(content, fault):
    with pytest.raises(ValueError, match=fault):
        read_graph(content)


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        (GRAPH[:2], "nothing takes onnx::Mul_1"),
        ([*GRAPH[:2], node("Mul", "onnx::Mul_1")], "not named after a module"),
        ([*GRAPH[:2], node("/a/Conv", "onnx::Mul_1")], "no place"),
        ([*GRAPH, tensor_of("x", NAMED), tensor_of("onnx::Mul_99", NORM)], "nothing takes"),
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
