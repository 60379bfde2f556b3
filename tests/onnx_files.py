"""ONNX files of our own making, as PyTorch exports HTDemucs."""

import torch


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
