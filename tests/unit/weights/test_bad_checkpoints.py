"""Files of weights that anybody may have written: one line says what is wrong with them."""

import json
import os
import pickle
import struct
import time

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from common import small_checkpoint
from partita import Separator
from partita.errors import PartitaError, WeightsCorruptError
from partita.weights.checkpoint import load_checkpoint, tensors_digest
from partita.weights.store import load_model

WEIGHT = "networks.a.down.0.conv.weight"


@pytest.fixture
def path(tmp_path):
    return small_checkpoint(tmp_path / "small.safetensors")


def parts(path):
    """Return a file's header as a dict, and the bytes behind it."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def write(path, header, content, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + content)


def refused(path, fault):
    """Check that a file is refused in one line, and at once."""
    started = time.process_time()
    with pytest.raises(WeightsCorruptError, match=fault) as error:
        load_checkpoint(path)
    assert time.process_time() - started < 5
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1000


def resaved(path, change):
    """Save a file anew with other tensors or metadata, as its own digest would have them."""
    header, _ = parts(path)
    tensors, metadata = change(load_file(path), header["__metadata__"])
    save_file(tensors, path, {**metadata, "tensors_sha256": tensors_digest(tensors)})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("half", [False, True])
def test_weights_that_are_no_numbers(path, bad, half):
    def change(tensors, metadata):
        tensors[WEIGHT].view(-1)[0] = bad
        return {k: t.half() if half and t.is_floating_point() else t for k, t in tensors.items()}, (
            metadata
        )

    resaved(path, change)
    refused(path, "weights in .* are NaN or infinite")
    for read in (load_model, Separator):
        with pytest.raises(WeightsCorruptError, match="are NaN or infinite"):
            read(str(path))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_other_types_of_numbers_become_float32(path, kind):
    before = load_checkpoint(path).state_dict()

    def change(tensors, metadata):
        return {
            name: tensor.to(kind) if tensor.is_floating_point() else tensor.int()
            for name, tensor in tensors.items()
        }, metadata

    resaved(path, change)
    model = load_checkpoint(path)
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == before[name].dtype
        torch.testing.assert_close(tensor, before[name], rtol=0.01, atol=0.01)
    with torch.inference_mode():
        assert model(torch.zeros(1, 2, 1000)).dtype == torch.float32


def test_numbers_beyond_float32(path):
    def change(tensors, metadata):
        tensors = {n: t.double() if t.is_floating_point() else t for n, t in tensors.items()}
        tensors[WEIGHT].view(-1)[0] = 1e300
        return tensors, metadata

    resaved(path, change)
    refused(path, "are NaN or infinite")


@pytest.mark.parametrize(
    "kind", [torch.int8, torch.uint8, torch.bool, torch.float8_e4m3fn, torch.int16, torch.int64]
)
def test_types_that_weights_are_not_kept_in(path, kind):
    def change(tensors, metadata):
        return {name: tensor.to(kind) for name, tensor in tensors.items()}, metadata

    resaved(path, change)
    refused(path, "has type|has another shape or type")


CONFIGS = [
    ("NaN", "a table"),
    ("[]", "a table"),
    ("3", "a table"),
    ("{", "not a partita checkpoint"),
    ("[" * 50_000, "not a partita checkpoint"),
    ('{"a":' * 20_000, "not a partita checkpoint"),
    (f'{{"sources": {json.dumps([f"s{n}" for n in range(2000)])}}}', "at most 64"),
    ('{"sample_rate": 1e999}', "whole number"),
    (f'{{"sample_rate": {"9" * 4000}}}', "whole number"),
    (f'{{"sample_rate": {"9" * 9000}}}', "not a partita checkpoint"),
    ('{"sample_rate": NaN}', "whole number"),
    ('{"sample_rate": 44100.0}', "whole number"),
    ('{"widths": [[[4]]]}', "widths must be"),
    ('{"widths": [4.0, 8]}', "widths must be"),
    ('{"widths": [400000, 800000], "bins": 128}', "not a partita checkpoint"),
    ('{"bins": 4, "widths": [4, 8, 16]}', "bins must be a multiple|lacks|other sources"),
    ('{"dropout": "0.5"}', "finite number"),
    ('{"dropout": {"a": 1}}', "finite number"),
    ('{"dropout": null}', "finite number"),
    ('{"frames": 1000000}', "not a partita checkpoint"),
    (f'{{"{"k" * 90_000}": 1}}', "unknown UNetConfig key"),
    ('{"\\u001b[31m": 1}', "unknown UNetConfig key"),
]


@pytest.mark.parametrize(("config", "fault"), CONFIGS, ids=range(len(CONFIGS)))
def test_configurations(path, config, fault):
    resaved(path, lambda tensors, metadata: (tensors, {**metadata, "config": config}))
    refused(path, fault)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"model": "open-unmix", "config": '{"layers": 1000000}'}, "layers must be"),
        ({"model": "nmf", "config": '{"sources": ["a", "b"]}'}, "unexpected tensor"),
        ({"model": "x" * 90_000}, "unknown model"),
        ({"model": "\x1b[31m"}, "unknown model"),
        ({"model": ""}, "unknown model"),
        ({"sources": '["b", "a"]'}, "the sources of its configuration"),
        ({"sources": "3"}, "the sources of its configuration"),
        ({"sources": "["}, "not a partita checkpoint"),
        ({"sample_rate": "8000"}, "the sample_rate of its configuration"),
        ({"sample_rate": "inf"}, "not a partita checkpoint"),
        ({"format": "partita-2"}, "another version of partita"),
        ({"config": "x" * 2_100_000}, "metadata are not texts"),
    ],
)
def test_metadata(path, changes, fault):
    resaved(path, lambda tensors, metadata: (tensors, {**metadata, **changes}))
    refused(path, fault)


@pytest.mark.parametrize("missing", ["model", "config"])
def test_metadata_that_are_missing(path, missing):
    resaved(path, lambda tensors, data: (tensors, {k: v for k, v in data.items() if k != missing}))
    refused(path, f"its metadata lack '{missing}'")


def test_files_without_metadata_or_tensors(path):
    save_file({"weight": torch.zeros(1)}, path)
    refused(path, "its metadata lack")
    resaved(small_checkpoint(path), lambda _, metadata: ({}, metadata))
    refused(path, "it lacks")


def test_headers(path):
    header, content = parts(path)
    text = json.dumps(header).encode()
    name = next(key for key in header if key != "__metadata__")
    entry = header[name]
    for length in (0, 1, 1 << 40, (1 << 64) - 1, len(text) + len(content) + 1):
        write(path, header, content, length)
        refused(path, "not a readable safetensors file")
    twice = text[:-1] + f", {json.dumps(name)}: {json.dumps(entry)}}}".encode()
    for bad in (b"[" * 100_000, b"[]", b"3", b"{}x", b"\xff\xfe", b"null", twice):
        write(path, bad, content)
        refused(path, "not a readable safetensors file")
    for change in (
        {"shape": [1 << 40, 1 << 40]},
        {"shape": [-1]},
        {"shape": [1.5]},
        {"shape": None},
        {"shape": [True]},
        {"shape": [1] * 1000},
        {"dtype": "F4096"},
        {"dtype": ["F32"]},
        {"dtype": "\x1b[31m" * 100},
        {"data_offsets": [0, 1 << 60]},
        {"data_offsets": [8, 4]},
        {"data_offsets": [0]},
        {"data_offsets": "01"},
        {"data_offsets": entry["data_offsets"][::-1]},
    ):
        write(path, {**header, name: {**entry, **change}}, content)
        refused(path, "not a readable safetensors file")
    for bad in (3, [], "text", None):
        write(path, {**header, name: bad}, content)
        refused(path, "is not a tensor")
        write(path, {**header, "__metadata__": bad}, content)
        refused(path, "metadata")
    many = {f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(30_000)}
    write(path, many, b"")
    refused(path, "it holds 30,000 tensors")
    write(path, b" " * 5_000_000, b"")
    refused(path, "its header has 5,000,000 bytes")


def test_overlapping_tensors(path):
    header, content = parts(path)
    names = [key for key in header if key.endswith("running_mean")][:2]
    header[names[1]] = header[names[0]]
    write(path, header, content)
    refused(path, "not a readable safetensors file|not a partita checkpoint")


def test_files_that_are_something_else(path, tmp_path):
    whole = path.read_bytes()
    for content in (b"", b"\0" * 7, b"\0" * 100, pickle.dumps({"weight": 1}), b"PK\x03\x04" * 99):
        path.write_bytes(content)
        refused(path, "not a readable safetensors file")
    for end in (1, 9, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        refused(path, "not a readable safetensors file")
    path.write_bytes(whole + b"\0")
    refused(path, "not a readable safetensors file")
    path.unlink()
    path.mkdir()
    refused(path, "it is not a regular file")
    path.rmdir()
    os.mkfifo(path)
    refused(path, "it is not a regular file")
    with pytest.raises(WeightsCorruptError, match="it is not a regular file"):
        Separator(str(path))
    path.unlink()
    path.symlink_to("/dev/zero")
    refused(path, "it is not a regular file")


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(place=st.floats(0, 1), piece=st.binary(min_size=1, max_size=8), in_header=st.booleans())
def test_damage_anywhere(tmp_path_factory, place, piece, in_header):
    path = tmp_path_factory.mktemp("damaged") / "x.safetensors"
    data = bytearray(small_checkpoint(path).read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    start = int(place * (length if in_header else len(data) - 8))
    before = bytes(data)
    data[start : start + len(piece)] = piece
    path.write_bytes(data)
    started = time.process_time()
    try:
        model = load_checkpoint(path)
    except PartitaError as error:
        said = str(error)
    else:  # the header's names of nothing in particular, or nothing changed
        said = "loaded"
        assert bytes(data) == before or in_header
        assert all(bool(t.isfinite().all()) for t in model.state_dict().values())
    assert said.isprintable()
    assert time.process_time() - started < 5
