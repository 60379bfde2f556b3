"""One `partita serve` for the tests of several modules."""

from __future__ import annotations

import io

import pytest
import soundfile

from serve_client import Server

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """The folder of `server`'s library."""
    return tmp_path_factory.mktemp("library")


@pytest.fixture(scope="session")
def server(library, tmp_path_factory):
    """A server that takes files of up to 20 MB, has no weights and finds none."""
    home = str(tmp_path_factory.mktemp("home"))
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)
    found = Server(library, "--most-mb", "20", PARTITA_HOME=home, **proxies)
    yield found
    errors, status = found.stop()
    assert status == 0
    assert "Traceback" not in errors


@pytest.fixture(scope="session")
def wav(song):
    """The example song's mixture as the bytes of a file."""
    file = io.BytesIO()
    soundfile.write(file, song.T, 44100, format="WAV", subtype="PCM_16")
    return file.getvalue()


@pytest.fixture(scope="session")
def separated(server, wav):
    """A song and its job, which is done."""
    song = server.upload(wav, "Ein Lied.wav").json
    job = server.post(f"/api/songs/{song['id']}/jobs", {"model": "hpss"}).json
    return song, server.wait_for(job["id"], "done", "failed")
