"""``partita train``."""

import json

import numpy as np
import pytest
import soundfile
import torch

from partita.evaluation.sdr import sdr_db
from partita.weights.checkpoint import load_checkpoint

RATE = 8000
SMALL = {
    "sample_rate": RATE,
    "fft_samples": 256,
    "hop_samples": 64,
    "bins": 129,
    "bands": 32,
    "components": 3,
    "lags": 2,
    "seconds": 1,
    "piece_s": 0.5,
    "learn_iterations": 20,
    "gain_steps": 2,
    "mixtures": 2,
    "percussive_prior": 0,
}
FLAGS = [flag for key, value in SMALL.items() for flag in ("--set", f"{key}={value}")]


def bass(seed):
    times = np.arange(RATE) / RATE
    hertz = np.random.default_rng(seed).uniform(100, 300)
    return 0.3 * np.sin(2 * np.pi * hertz * times)


def hiss(seed):
    """Noise without bass."""
    return 0.1 * np.diff(np.random.default_rng(seed).normal(size=RATE + 1))


@pytest.fixture
def album(tmp_path):
    """A data set of a few tracks in two subsets."""
    for index, subset in enumerate(("train", "train", "train", "test")):
        folder = tmp_path / "album" / subset / f"track {index}"
        folder.mkdir(parents=True)
        for stem, make in (("bass", bass), ("other", hiss)):
            soundfile.write(folder / f"{stem}.wav", make(index), RATE)
    return tmp_path / "album"


@pytest.fixture
def train(run, album):
    def train_cli(*arguments, data=album):
        return run("train", "nmfd", "--data", data, *FLAGS, *arguments)

    return train_cli


def rest(folder):
    """What lies there beside the album."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")
                  if path.is_file() and "album" not in path.parts)  # fmt: skip


def test_from_a_data_set_to_stems(run, train, tmp_path):
    result = train()
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines() == [
        "runs/nmfd/nmfd.safetensors: 3 templates each of bass, other",
        "  use it: partita separate SONG --model runs/nmfd/nmfd.safetensors",
    ]
    assert rest(tmp_path) == ["runs/nmfd/nmfd.safetensors"]
    true = np.stack([bass(7), hiss(7)])
    soundfile.write(tmp_path / "song.wav", true.sum(axis=0), RATE, "FLOAT")
    model = "runs/nmfd/nmfd.safetensors"
    result = run(
        "separate", "song.wav", "--model", model, "--keep-rate", "--bits", "float", "--json"
    )
    assert result.status == 0, result.err
    stems = json.loads(result.out)["stems"]
    assert list(stems) == ["bass", "other"]
    for (name, path), expected in zip(stems.items(), true, strict=True):
        found = soundfile.read(tmp_path / path, dtype="float32")[0]
        score = sdr_db(torch.from_numpy(expected[None]).float(), torch.from_numpy(found[None]))
        assert score > 10, name


def test_settings_reach_the_model(train, tmp_path):
    flags = ["--set", "sources=other", "--set", "beta=0.5", "--set", "seed=4"]
    assert train(*flags, "--out", "mine", "--quiet").out == ""
    config = load_checkpoint(tmp_path / "mine/nmfd.safetensors").config
    assert (config.sources, config.beta, config.bands) == (("other",), 0.5, 32)
    assert config.sample_rate == RATE


def test_tracks_for_training_are_taken_where_there_are_any(train, tmp_path):
    for subset in ("train", "test", None):
        flags = [] if subset is None else ["--subset", subset]
        assert train("--out", f"{subset}", *flags).status == 0
    usual, training, test = (
        load_checkpoint(tmp_path / name / "nmfd.safetensors").templates
        for name in ("None", "train", "test")
    )
    assert torch.equal(usual, training)
    assert not torch.allclose(usual, test, atol=1e-3)


def test_weights_that_are_there(train, tmp_path):
    path = tmp_path / "runs/nmfd/nmfd.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    refused = train()
    assert refused.status == 2
    assert refused.err == ("partita: runs/nmfd/nmfd.safetensors exists; --overwrite replaces it\n")
    assert path.read_bytes() == b"mine"
    assert train("--overwrite").status == 0
    assert load_checkpoint(path).sources == ("bass", "other")
    assert rest(tmp_path) == ["runs/nmfd/nmfd.safetensors"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--set", "band=3"], "unknown setting 'band'; did you mean bands"),
        (["--set", "seed"], "--set: 'seed' is not of the form key=value"),
        (["--set", "seed=many"], "--set: seed must be a whole number"),
        (["--set", "bands=64"], "--set name 'bands' twice"),
        (["--set", "sources=bass,drums"], "unknown stem 'drums'; known: bass, other"),
        (["--set", "sources=bass,bass"], "sources must differ"),
        (["--set", "sources=1"], "unknown stem '1'"),
        (["--set", "adapt_iterations=-1"], "adapt_iterations must not be negative"),
        (["--set", "free=piano"], "free must be some of the sources"),
        (["--set", "beta=NaN"], "--set: beta must be a finite number, not 'NaN'"),
        (["--set", f"seed={1 << 64}"], "seed must be a whole number within"),
        (["--subset", "valid"], "valid"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(train, tmp_path, flags, message):
    result = train(*flags)
    assert result.status == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert result.out == ""
    assert rest(tmp_path) == []


def test_unknown_recipes(run, album, tmp_path):
    result = run("train", "nmfdd", "--data", album)
    assert (result.status, result.err) == (
        2,
        "partita: unknown recipe 'nmfdd'; did you mean nmfd?\n",
    )
    assert rest(tmp_path) == []


def test_data_that_are_not_there(run, train, tmp_path):
    (tmp_path / "empty").mkdir()
    for data, message in ((tmp_path / "none", "no such folder"), (tmp_path / "empty", "is empty")):
        result = train(data=data)
        assert result.status == 2
        assert message in result.err
        assert len(result.err.splitlines()) == 1
    assert "Missing option '--data'" in run("train", "nmfd").err
    assert not (tmp_path / "runs").exists()


def test_silent_stems(train, album, tmp_path):
    for path in album.rglob("bass.wav"):
        soundfile.write(path, np.zeros(RATE), RATE)
    result = train()
    assert (result.status, result.err) == (2, "partita: the stem 'bass' is silent in every track\n")
    assert rest(tmp_path) == []


def test_files_that_cannot_be_read(train, album, tmp_path):
    (album / "train/track 1/bass.wav").write_bytes(b"RIFF, but no more")
    result = train()
    assert result.status == 1
    assert "bass.wav" in result.err
    assert len(result.err.splitlines()) == 1
    assert rest(tmp_path) == []


def test_output_that_cannot_be_written(train, tmp_path):
    (tmp_path / "file").write_text("")
    result = train("--out", "file/below")
    assert result.status == 1
    assert "cannot write file/below/nmfd.safetensors: a part of the path is a file" in result.err
    assert len(result.err.splitlines()) == 1
    assert rest(tmp_path) == ["file"]


def test_a_folder_in_the_way_of_the_weights(train, tmp_path):
    (tmp_path / "out/nmfd.safetensors/below").mkdir(parents=True)
    result = train("--out", "out", "--overwrite")
    assert result.status == 1
    assert "cannot write out/nmfd.safetensors: a folder of that name is in the way" in result.err
    assert len(result.err.splitlines()) == 1
    assert rest(tmp_path) == []


def test_problems_of_the_data_are_told_but_not_when_quiet(train, album):
    soundfile.write(album / "train/track 1/bass.flac", bass(1), RATE)
    told = train()
    assert told.status == 0
    assert told.err.startswith("partita: warning: track 1: has stem 'bass' twice")
    assert len(told.err.splitlines()) == 1
    quiet = train("--quiet", "--overwrite")
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")
