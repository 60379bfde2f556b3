import subprocess
import sys
from pathlib import Path

import pytest
import torch

from common import SMALL_UNET
from partita.errors import WeightsUnavailableError
from partita.models import create_model
from partita.weights.chain import Link, parse_chain
from partita.weights.checkpoint import save_checkpoint
from partita.weights.own_checkpoints import checkpoint_label, own_checkpoint
from partita.weights.resolve import resolve
from partita.weights.store import load_model


@pytest.fixture
def run_folder(tmp_path):
    """The folder of a training, with weights and more."""
    folder = tmp_path / "runs" / "a+b:c"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    save_checkpoint(
        folder / "model.safetensors",
        create_model("unet", {"sources": ["voice", "rest"], **SMALL_UNET}),
    )
    (folder / "older.safetensors").touch()
    (folder / "state.pt").touch()
    return folder


def test_a_folder_means_its_model(run_folder):
    assert own_checkpoint(str(run_folder)) == run_folder / "model.safetensors"
    assert own_checkpoint(f"{run_folder}/") == run_folder / "model.safetensors"
    assert load_model(str(run_folder)).sources == ("voice", "rest")


def test_or_the_only_checkpoint_in_it(run_folder):
    (run_folder / "model.safetensors").rename(run_folder / "mine.safetensors")
    assert own_checkpoint(str(run_folder)) is None  # there are two
    (run_folder / "older.safetensors").unlink()
    assert own_checkpoint(str(run_folder)) == run_folder / "mine.safetensors"


def test_a_folder_without_any_says_so(tmp_path):
    assert own_checkpoint(str(tmp_path)) is None
    with pytest.raises(WeightsUnavailableError, match=r"no checkpoint in this folder"):
        load_model(str(tmp_path))


def test_files_need_not_be_there():
    assert own_checkpoint("nowhere.safetensors") == Path("nowhere.safetensors")
    with pytest.raises(WeightsUnavailableError, match="no such checkpoint"):
        load_model("nowhere.safetensors")


@pytest.mark.parametrize("name", ["", "hpss", "no such thing"])
def test_what_means_none(name):
    assert own_checkpoint(name) is None


def test_cards_come_before_folders(tmp_path, monkeypatch, run_folder):
    monkeypatch.chdir(tmp_path)
    run_folder.rename("hpss")
    assert own_checkpoint("hpss") is None
    assert own_checkpoint("./hpss") == Path("hpss/model.safetensors")


def test_folders_in_chains(run_folder):
    assert parse_chain(f"hpss:residual+{run_folder}+repet") == (
        Link("hpss"),
        Link(str(run_folder), "residual"),
        Link("repet"),
    )
    assert resolve(f"{run_folder}+hpss").label == "a+b:c+hpss"


def test_labels(run_folder, monkeypatch):
    assert checkpoint_label(Path("runs/x/model.safetensors")) == "x"
    assert checkpoint_label(Path("runs/x/mine.safetensors")) == "mine"
    monkeypatch.chdir(run_folder)
    assert checkpoint_label(Path("model.safetensors")) == "a+b:c"
    assert resolve(".").label == "a+b:c"


def test_names_are_read_without_pytorch():
    code = "import sys, partita.weights.own_checkpoints; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
