"""``partita separate --model`` with checkpoints of MSST and their YAML files."""

import json
import os

import numpy as np
import pytest
import soundfile
import torch

from msst_files import msst_config, msst_state, small_model, write_msst, write_yaml


@pytest.fixture
def song(tmp_path):
    path = tmp_path / "song.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).normal(size=(30000, 2)), 44100)
    return path


@pytest.fixture
def checkpoint(tmp_path):
    """One whose vocals are the target."""
    folder = tmp_path / "kept"
    folder.mkdir()
    return write_msst(folder, small_model(residual=True), "best vocals")


def test_a_checkpoint_gives_its_target_and_the_residual(run, song, checkpoint, tmp_path):
    result = run("separate", song, "--model", checkpoint, "-o", tmp_path / "out", "--bits", "float")
    assert result.status == 0, result.err
    folder = tmp_path / "out" / "best vocals" / "song"
    stems = {path.stem: soundfile.read(path)[0] for path in folder.glob("*.wav")}
    assert set(stems) == {"vocals", "other"}
    mixture = soundfile.read(song)[0]
    assert np.abs(stems["vocals"] + stems["other"] - mixture).max() < 1e-4
    assert np.abs(stems["vocals"]).max() > 1e-3


def test_config_may_lie_elsewhere(run, song, checkpoint, tmp_path):
    config = tmp_path / "elsewhere.yaml"
    checkpoint.with_suffix(".yaml").rename(config)
    where = ("-o", tmp_path / "out")
    alone = run("separate", song, "--model", checkpoint, *where)
    assert alone.status == 1
    assert "model.stft_hop_length, training.instruments" in alone.err
    assert alone.err.count("\n") == 1
    for model in (checkpoint, checkpoint.parent):
        result = run("separate", song, "--model", model, "--config", config, *where, "--overwrite")
        assert result.status == 0, result.err
    again = run("separate", song, "--model", f"{checkpoint}@{config}", *where, "--resume", "--json")
    assert json.loads(again.out)["status"] == "skipped"
    assert run("separate", song, "--model", "hpss", "--config", config, *where).status == 2


def test_stems_of_a_chain_with_such_a_checkpoint(run, song, checkpoint, tmp_path):
    name = f"{checkpoint}:other+hpss"
    result = run("separate", song, "--model", name, "-o", tmp_path, "--stems", "vocals,percussive")
    assert result.status == 0, result.err
    folder = tmp_path / "best vocals-other+hpss" / "song"
    assert sorted(path.stem for path in folder.glob("*.wav")) == ["percussive", "vocals"]


class Executes:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_what_cannot_be_used_is_said_in_one_line(run, song, checkpoint, tmp_path):
    whole = checkpoint.read_bytes()
    bad = {"state": msst_state(small_model(residual=True)), "x": Executes(tmp_path / "pwned")}

    def refused(says, **options):
        result = run("separate", song, "--model", checkpoint, "-o", tmp_path / "out")
        assert result.status == 1
        assert result.err.count("\n") == 1
        assert says in result.err
        assert not (tmp_path / "out").exists()

    checkpoint.write_bytes(whole[:2000])
    refused("not a file of tensors")
    torch.save(bad, checkpoint)
    refused("nothing was run")
    assert not (tmp_path / "pwned").exists()
    checkpoint.write_bytes(whole)
    other = small_model(features=12, sources=["a", "b", "c"])
    write_yaml(checkpoint.with_suffix(".yaml"), msst_config(other))
    refused("does not fit")
    checkpoint.with_suffix(".yaml").write_text("a: !!python/object/apply:os.system ['true']")
    refused("not a readable YAML file")
