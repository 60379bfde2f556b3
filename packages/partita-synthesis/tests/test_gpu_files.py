"""``scripts/gpu_files.py``: unpacking, and small files."""

import os
import sys
import zipfile

import pytest
import torch

from common import load_script

SCRIPTS = "packages/partita-synthesis/scripts"


@pytest.fixture
def script(monkeypatch):
    module = load_script("gpu_files", monkeypatch, SCRIPTS)
    monkeypatch.setattr(module, "PIECE_BYTES", 1000)
    return module


@pytest.mark.parametrize(("size", "names"), [
    (1000, ["state.pt"]),
    (1001, ["state.pt.1of2", "state.pt.2of2"]),
    (10_500, [f"state.pt.{n}of11" for n in range(1, 12)]),
])  # fmt: skip
def test_large_files_become_pieces(script, tmp_path, size, names):
    source, place = tmp_path / "source", tmp_path / "out/state.pt"
    place.parent.mkdir()
    for content in (os.urandom(2500), os.urandom(100), os.urandom(size)):  # older ones go
        source.write_bytes(content)
        script.put(source, place)
    assert {path.name for path in place.parent.iterdir()} == set(names)
    assert all(path.stat().st_size <= 1000 for path in place.parent.iterdir())
    assert script.join(place, tmp_path / "there/joined")
    assert (tmp_path / "there/joined").read_bytes() == source.read_bytes()


def test_missing_files_and_pieces(script, tmp_path):
    assert not script.join(tmp_path / "state.pt", tmp_path / "joined")
    (tmp_path / "state.pt.1of2").write_bytes(b"half")
    with pytest.raises(SystemExit, match=r"some of the pieces of state\.pt are missing"):
        script.join(tmp_path / "state.pt", tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def test_states_have_half_the_size_and_whole_weights(script):
    values = torch.tensor([1.0001, 1e-30, 3e4])
    state = {
        "step": 7,
        "model": {"a": values},
        "average": {"a": values, "n_averaged": torch.tensor(3000)},
        "optimiser": {
            "state": {0: {"step": torch.tensor(2999.0), "exp_avg_sq": values}},
            "param_groups": [{"lr": 1e-3, "params": [0]}],
        },
    }
    small = script.rounded(state)
    assert small["model"]["a"] is values
    assert small["average"]["a"].dtype == torch.float16
    assert small["average"]["n_averaged"] == 3000
    moments = small["optimiser"]["state"][0]
    assert moments["step"] == 2999  # which bfloat16 has not
    assert moments["exp_avg_sq"].dtype == torch.bfloat16
    assert moments["exp_avg_sq"][1] > 0  # which float16 has not
    assert small["optimiser"]["param_groups"] == state["optimiser"]["param_groups"]
    assert state["average"]["a"] is values


def test_packed_wheels_and_sounds_are_found(script, tmp_path, monkeypatch):
    for name in ("XDG_DATA_HOME", "PARTITA_HOME", "PYTHONPATH", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "before")
    monkeypatch.setattr(sys, "path", [*sys.path])
    pack, work = tmp_path / "pack", tmp_path / "work"
    (pack / "wheels").mkdir(parents=True)
    work.mkdir()
    with zipfile.ZipFile(pack / "wheels/carried-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("carried_in_a_wheel.py", "answer = 42")
    script.unpack(pack, work)
    import carried_in_a_wheel

    assert carried_in_a_wheel.answer == 42
    assert os.environ["XDG_DATA_HOME"] == str(pack / "share")
    assert os.environ["PYTHONPATH"].split(os.pathsep)[-1] == "before"


def test_without_pyav(script):
    absent = script._Absent("av.filter")
    assert list(absent.formats_available) == []
    assert not hasattr(absent.Container, "metadata_errors")
    with pytest.raises(ModuleNotFoundError, match=r"av\.filter\.Graph: PyAV is not installed"):
        absent.Graph()
