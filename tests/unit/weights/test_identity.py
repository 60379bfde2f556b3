import json
import os

import pytest
from safetensors.torch import load_file, save_file

from common import small_checkpoint
from partita.errors import UnknownNameError, WeightsCorruptError, WeightsUnavailableError
from partita.weights.identity import model_digest, read_header
from partita.weights.store import load_model


@pytest.fixture
def path(tmp_path):
    return small_checkpoint(tmp_path / "small.safetensors")


def test_what_a_checkpoint_says_of_itself(path):
    assert read_header(path).sources == ("a", "b")
    assert read_header(path).digest == model_digest(str(path))


@pytest.mark.parametrize(
    "sources", ["3", "[", "[3]", '["a/b"]', '["\\u001b[31m"]', '{"a": 1}', "[" * 9999, '["a", ""]']
)
def test_sources_that_are_no_names(path, sources):
    save_file(load_file(path), path, {"model": "unet", "config": "{}", "sources": sources})
    with pytest.raises(WeightsCorruptError, match="not a partita checkpoint"):
        read_header(path)
    with pytest.raises(WeightsCorruptError, match="not a partita checkpoint"):
        load_model(str(path))


@pytest.mark.parametrize("kind", ["pipe", "folder", "endless", "empty", "nothing"])
def test_what_is_no_file(path, kind):
    path.unlink()
    error, fault = WeightsCorruptError, "no regular file"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "empty":
        path.write_bytes(b"")
        fault = "not a readable safetensors file"
    else:
        error, fault = WeightsUnavailableError, "no such checkpoint"
    for read in (read_header, lambda path: model_digest(str(path)), lambda p: load_model(str(p))):
        with pytest.raises(error, match=fault):
            read(path)


def test_names_that_no_path_can_be():
    for name in ("x" * 5000, "\0", "a+" * 5000 + "b", "x" * 5000 + "/b"):
        with pytest.raises(UnknownNameError) as error:
            model_digest(name)
        assert len(str(error.value)) < 600
        assert str(error.value).isprintable()
    with pytest.raises(WeightsUnavailableError, match="no such checkpoint"):
        model_digest("x" * 5000 + ".safetensors")


def test_files_without_a_digest_differ_by_their_content(path):
    digests = set()
    for bias in (0.0, 1.0):
        tensors = load_file(path)
        tensors["networks.a.head.bias"] += bias
        facts = {"model": "unet", "config": "{}", "sources": json.dumps(["a", "b"])}
        save_file(tensors, path, facts)
        digests.add(read_header(path).digest)
    assert len(digests) == 2
