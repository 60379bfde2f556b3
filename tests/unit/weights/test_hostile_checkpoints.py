"""Checkpoints that would run code when they are unpickled, in all forms that PyTorch reads."""

import io
import os
import pickle
import tarfile
import zipfile

import pytest
import torch

from partita.errors import WeightsCorruptError
from partita.weights.store import load_model


class Executes:
    """Runs a shell's command when it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def archive(path, **members):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("_", "/"), content)


def tar(path, content):
    with tarfile.open(path, "w") as file:
        for name in ("storages", "tensors", "pickle"):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))


def saved(content, **options):
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def text(path):
    return str(path).encode()


#: Each writes the object, or the command alone, to a path.
FORMS = {
    "PyTorch's": lambda path, bad, _: path.write_bytes(saved(bad)),
    "PyTorch's older one": lambda path, bad, _: path.write_bytes(
        saved(bad, _use_new_zipfile_serialization=False)
    ),
    "PyTorch's oldest one": lambda path, bad, _: tar(path, pickle.dumps(bad, 2)),
    "a pickle in text": lambda path, bad, _: path.write_bytes(pickle.dumps(bad, 0)),
    "a pickle": lambda path, bad, _: path.write_bytes(pickle.dumps(bad, 2)),
    "a newer pickle": lambda path, bad, _: path.write_bytes(pickle.dumps(bad, 5)),
    "a zip of a checkpoint": lambda path, bad, _: archive(path, model=saved(bad)),
    "a zip made by hand": lambda path, bad, _: archive(
        path, a_version="3", **{"a_data.pkl": pickle.dumps(bad, 2)}
    ),
    "INST": lambda path, _, command: path.write_bytes(b"(S'%s'\nios\nsystem\n." % text(command)),
    "STACK_GLOBAL": lambda path, _, command: path.write_bytes(
        b"\x80\x04\x8c\x02os\x8c\x06system\x93X%s%s\x85R."
        % (len(command).to_bytes(4, "little"), text(command))
    ),
    "EXT1": lambda path, bad, _: path.write_bytes(b"\x80\x02\x82\x01."),
}
SUFFIXES = (".th", ".ckpt", ".pt", ".pth", ".chpt", ".onnx", ".safetensors")


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_run(tmp_path, form):
    command = f"touch '{tmp_path / 'run'}'" if form != "INST" else f"touch {tmp_path / 'run'}"
    bad = Executes(command)
    for suffix in SUFFIXES:
        path = tmp_path / f"bad{suffix}"
        FORMS[form](path, {"klass": bad, "state": {"x": bad}}, command)
        with pytest.raises(WeightsCorruptError, match=f"bad{suffix}: not a") as info:
            load_model(str(path))
        assert "\n" not in str(info.value)
        assert not (tmp_path / "run").exists()
        path.unlink()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_programs_of_torchscript_are_refused(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "net.pt"))
    with pytest.raises(WeightsCorruptError, match=r"net\.pt: not a file of tensors"):
        load_model(str(tmp_path / "net.pt"))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "content",
    [b"", b"<!DOCTYPE html><title>404</title>", b"version https://git-lfs.github.com/spec/v1\n"],
    ids=["nothing", "a web page", "a pointer"],
)
def test_downloads_that_went_wrong(tmp_path, suffix, content):
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsCorruptError, match=f"bad{suffix}: not a") as info:
        load_model(str(path))
    assert "\n" not in str(info.value)
