"""The file that a training goes on from."""

import hashlib
import io
import zipfile

import numpy as np
import pytest
import torch

from partita.errors import TrainingError
from partita.training.state_file import _MAGIC, read_state, write_state

STATE = {
    "step": 3,
    "history": [{"train": 1.5}],
    "model": {"weight": torch.arange(500.0), "count": torch.tensor(7)},
    "average": None,
}


@pytest.fixture
def path(tmp_path):
    write_state(tmp_path / "state.pt", STATE)
    return tmp_path / "state.pt"


def with_checksum(content):
    return _MAGIC + hashlib.sha256(content).digest() + content


def saved(value):
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def test_states_come_back(path):
    found = read_state(path)
    assert (found["step"], found["history"], found["average"]) == (3, [{"train": 1.5}], None)
    assert torch.equal(found["model"]["weight"], STATE["model"]["weight"])
    assert found["model"]["count"] == 7


def test_every_flipped_bit_is_found(path):
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in [*range(len(_MAGIC) + 40), *rng.integers(0, len(whole), 300)]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"state\.pt: is (damaged, its|no training state)"):
            read_state(path)


def test_files_that_are_cut_or_go_on(path):
    whole = path.read_bytes()
    for damaged in (*(whole[:size] for size in range(0, len(whole), 97)), whole + b"\0"):
        path.write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"damaged|no training state"):
            read_state(path)


class Calls:
    def __reduce__(self):
        return print, ("this must not be called",)


def zip_bomb():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        saved({"step": 3}),  # of torch, but none of ours
        with_checksum(saved([1, 2])),
        with_checksum(saved({"step": Calls()})),
        with_checksum(zip_bomb()),
        with_checksum(b""),
        with_checksum(b"PK\x03\x04" + bytes(100)),
        with_checksum(np.random.default_rng(0).bytes(5000)),
    ],
)
def test_what_somebody_else_wrote(path, content, capfd):
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"state\.pt: is no training state") as caught:
        read_state(path)
    assert len(str(caught.value).splitlines()) == 1
    assert capfd.readouterr().out == ""


def test_damage_behind_a_checksum_that_fits(path):
    """As if somebody had made it on purpose: one line, or a state of other numbers."""
    whole = path.read_bytes()[len(_MAGIC) + 32 :]
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = int(rng.integers(256))
        path.write_bytes(with_checksum(bytes(damaged)))
        try:
            assert isinstance(read_state(path), dict)
        except TrainingError:
            refused += 1
    assert refused > 50


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(TrainingError, match=r"cannot be read: Is a directory"):
        read_state(tmp_path)
