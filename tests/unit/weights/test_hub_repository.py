"""Repositories of the Hugging Face Hub, against a server on this machine."""

import json
import logging
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from common import small_checkpoint
from demucs4_files import FOUR, write_network
from hub_server import Repo, hub_server
from msst_files import small_model, write_msst
from partita.errors import UsageError, WeightsCorruptError, WeightsUnavailableError
from partita.weights import web_models
from partita.weights.hub_export import export_folder
from partita.weights.hub_repository import read_repository
from partita.weights.licences import Licence
from partita.weights.resolve import resolve
from partita.weights.store import load_model
from partita.weights.web_models import fetch_web_model
from partita.weights.web_names import web_name

hub = pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")
NAME = "hf:owner/name"


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with hub_server() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        yield running


@pytest.fixture
def ours(tmp_path):
    """The files of a small model, as partita writes them for the Hub."""
    model = load_model(str(small_checkpoint(tmp_path / "small.safetensors")))
    export_folder(tmp_path / "out", model, name="small", licence=None)
    return {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}


@pytest.fixture
def theirs(tmp_path):
    """A checkpoint of MSST's and its YAML file."""
    path = write_msst(tmp_path, small_model())
    return {each.name: each.read_bytes() for each in (path, path.with_suffix(".yaml"))}


def in_cache(tmp_path):
    files = (tmp_path / "home").rglob("*")
    return sorted(path.name for path in files if path.is_file() and path.suffix != ".lock")


def test_a_repository_is_fetched_once_and_pinned(server, ours, tmp_path, caplog):
    caplog.set_level(logging.INFO, "partita")
    server.repos["owner/name"] = Repo(ours, card={"license": "apache-2.0"})
    assert resolve(NAME).sources == ("a", "b")
    assert "fetching hf:owner/name (commit aaaaaaaaaaaa); licence: apache-2.0" in caplog.text
    assert "model.safetensors: " in caplog.text
    server.repos.clear()
    asked = len(server.asked)
    assert load_model(NAME).sources == ("a", "b")
    assert resolve(NAME).licence == Licence("apache-2.0", True)
    resolve(NAME).require_commercial_use()
    assert len(server.asked) == asked
    assert in_cache(tmp_path) == ["config.json", "model.safetensors", "pin.json"]
    (pin,) = (tmp_path / "home").rglob("pin.json")
    assert json.loads(pin.read_text())["revision"] == "a" * 40


def test_the_server_speaks_the_librarys_language(server, ours, tmp_path):
    """What partita reads by itself, huggingface_hub finds in the same replies."""
    server.repos["owner/name"] = Repo(ours, card={"license": "mit"})
    api = hub.HfApi(endpoint=server.address, token=False)
    info = api.model_info("owner/name", files_metadata=True)
    repository = read_repository(web_name(NAME))
    assert (info.sha, info.card_data.license) == (repository.commit, repository.licence)
    for file in info.siblings:
        known = repository.files[file.rfilename]
        assert file.size == known.size
        assert (file.lfs.sha256 if file.lfs else "") == known.sha256
        address = hub.hf_hub_url(
            "owner/name", file.rfilename, revision=info.sha, endpoint=server.address
        )
        assert address == known.address
    path = api.hf_hub_download("owner/name", "model.safetensors", cache_dir=tmp_path / "theirs")
    assert Path(path).read_bytes() == ours["model.safetensors"]


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ({}, Licence("unknown", None)),
        ({"license": "mit"}, Licence("mit", True)),
        ({"license": "cc-by-nc-sa-4.0"}, Licence("cc-by-nc-sa-4.0", False)),
        ({"license": "openrail"}, Licence("openrail", None)),
        ({"license": "other", "license_name": "ours alone"}, Licence("ours alone", None)),
        ({"license": ["mit", "cc-by-nc-4.0"]}, Licence("mit AND cc-by-nc-4.0", False)),
        ({"license": {"a": "\x1b"}}, Licence("{'a': '\\x1b'}", None)),
    ],
)
def test_licences_are_what_cards_state(server, ours, card, licence, tmp_path):
    server.repos["owner/name"] = Repo(ours, card=card)
    assert resolve(NAME).licence == licence
    if not licence.commercial_use:
        with pytest.raises(UsageError, match="not clearly free for commercial use"):
            resolve(NAME).require_commercial_use()
    assert in_cache(tmp_path) == []  # known before any weights are here


def test_commercial_only_lets_free_ones_pass(server, ours, monkeypatch):
    monkeypatch.setenv("PARTITA_COMMERCIAL_ONLY", "1")
    server.repos["owner/name"] = Repo(ours, card={"license": "mit"})
    server.repos["owner/other"] = Repo(ours)
    assert load_model(NAME).sources == ("a", "b")
    with pytest.raises(UsageError, match="hf:owner/other is not clearly free"):
        load_model("hf:owner/other")


@pytest.mark.parametrize("config", ["", "@main@{yaml}"])
def test_checkpoints_of_msst(server, theirs, tmp_path, config):
    server.repos["owner/name"] = Repo(theirs)
    if config:
        del theirs["model.yaml"]
    name = NAME + config.format(yaml=tmp_path / "model.yaml")
    expected = load_model(str(tmp_path / "model.ckpt"))
    found = load_model(name)
    assert found.config == expected.config
    for key, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[key], tensor)


@pytest.mark.parametrize("says", ["itself", "beside"])
def test_networks_of_demucs(server, tmp_path, says):
    path = write_network(tmp_path / "955717e8.safetensors")
    if says == "beside":
        save_file(load_file(path), path)
    files = {each.name: each.read_bytes() for each in tmp_path.iterdir() if each.stem == path.stem}
    server.repos["owner/name"] = Repo(files)
    server.files |= {f"/{name}": content for name, content in files.items()}
    for name in (NAME, f"{server.address}/{path.name}"):
        assert load_model(name).registry_name == "htdemucs"
        assert resolve(name).sources == tuple(FOUR)


def test_one_of_several(server, theirs):
    files = {"README.md": b"", "a/model.ckpt": theirs["model.ckpt"], "a/c.yaml": b"nothing"}
    files |= {f"b/{name}": content for name, content in theirs.items()}
    server.repos["owner/name"] = Repo(files)
    several = r"holds several checkpoints: name one, hf:owner/name/a/model.ckpt \(a/model.ckpt, b/"
    with pytest.raises(WeightsUnavailableError, match=several):
        load_model(NAME)
    assert load_model(f"{NAME}/b/model.ckpt@{'a' * 40}").sources == ("vocals", "other")
    with pytest.raises(WeightsUnavailableError, match=r"has no checkpoint c\.ckpt; it has a/"):
        load_model(f"{NAME}/c.ckpt")


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        (("model.ckpt",), r"holds only a pickle \(model.ckpt\), which could run code"),
        (("config.json", "pytorch_model.bin"), r"holds only a pickle \(pytorch_model.bin\)"),
        (("README.md", "song.wav"), r"holds no checkpoint \(it has README.md, song.wav\)"),
        ((), r"holds no checkpoint \(it has none\)"),
    ],
)
def test_what_is_no_model(server, theirs, files, fault, tmp_path):
    server.repos["owner/name"] = Repo({name: theirs.get(name, b"x") for name in files})
    with pytest.raises(WeightsUnavailableError, match=fault):
        load_model(NAME)
    assert not any("resolve" in asked for asked in server.asked)
    assert in_cache(tmp_path) == []


def test_pickles_run_nothing(server, theirs, tmp_path):
    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    torch.save({"state_dict": Evil()}, tmp_path / "evil.ckpt")
    server.repos["owner/name"] = Repo(
        {"model.ckpt": (tmp_path / "evil.ckpt").read_bytes(), "model.yaml": theirs["model.yaml"]}
    )
    with pytest.raises(WeightsCorruptError, match="nothing was run"):
        load_model(NAME)
    assert not (tmp_path / "ran").exists()


def test_what_has_changed_is_refused_until_it_is_accepted(server, ours, tmp_path):
    server.repos["owner/name"] = Repo(ours)
    fetch_web_model(NAME)
    server.repos["owner/name"].commit = "b" * 40  # of the same files
    assert fetch_web_model(NAME).revision == "a" * 40
    other = small_checkpoint(tmp_path / "other.safetensors", sources=["c", "d"]).read_bytes()
    server.repos["owner/name"] = Repo({"model.safetensors": other}, commit="b" * 40)
    refused = r"commit aaaaaaaaaaaa then, bbbbbbbbbbbb now\): partita models fetch `accept_ch"
    with pytest.raises(WeightsCorruptError, match=refused):
        fetch_web_model(NAME)
    assert load_model(NAME).sources == ("a", "b")
    fetch_web_model(NAME, accept_changed=True)
    assert load_model(NAME).sources == ("c", "d")
    assert in_cache(tmp_path) == ["model.safetensors", "pin.json"]  # config.json went with the rest


def test_gated_repositories(server, ours, monkeypatch, tmp_path):
    server.repos["owner/name"] = Repo(ours, gated=True)
    with pytest.raises(WeightsUnavailableError, match=r"hf:owner/name is gated .*hf auth login"):
        load_model(NAME)
    assert in_cache(tmp_path) == []
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    server.tokens.clear()
    assert load_model(NAME).sources == ("a", "b")
    to_others = [
        token
        for asked, token in zip(server.asked[-len(server.tokens) :], server.tokens, strict=True)
        if "/cdn/" in asked
    ]
    assert to_others
    assert not any(to_others)  # what opens the Hub is for nobody else


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (NAME, r"there is no repository owner/name, or it is private or gated: .*status 401\)"),
        ("hf:owner/here@v9", r"or none with the revision v9 \(HTTP status 404\)"),
    ],
)
def test_what_is_not_there(server, ours, name, fault):
    server.repos["owner/here"] = Repo(ours)
    with pytest.raises(WeightsUnavailableError, match=fault):
        load_model(name)


def test_other_content_than_announced(server, ours, tmp_path, monkeypatch):
    server.repos["owner/name"] = Repo(ours)
    load_model(NAME)
    (path,) = (tmp_path / "home").rglob("model.safetensors")
    path.unlink()
    (digest,) = server.stored

    class Stored(dict):
        def __setitem__(self, key, content):
            super().__setitem__(key, b"y" * len(content))

    server.stored = Stored()
    with pytest.raises(WeightsCorruptError, match=r"has changed since .*SHA-256 is .*`accept_"):
        load_model(NAME)
    assert digest in server.stored
    assert "model.safetensors" not in in_cache(tmp_path)


def test_files_that_are_too_large(server, ours, monkeypatch):
    monkeypatch.setattr(web_models, "MOST_BYTES", 1000)
    server.repos["owner/name"] = Repo(ours)
    with pytest.raises(WeightsUnavailableError, match="MB that a checkpoint may have"):
        load_model(NAME)


SAID = [
    b"",
    b"hello",
    b"[]",
    b"{}",
    b'{"siblings": 1}',
    b'{"siblings": [1]}',
    b'{"siblings": [{"rfilename": 1}]}',
    b'{"siblings": [{"rfilename": "a.ckpt", "lfs": 1}]}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("said", SAID)
def test_replies_that_are_none(server, said):
    server.files["/api/models/a/b"] = said
    with pytest.raises(WeightsUnavailableError, match=r"reply is invalid|sent nothing"):
        load_model("hf:a/b")


def test_endless_replies(server):
    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b'{"a": ' * 10_000)

    server.files["/api/models/a/b"] = endless
    with pytest.raises(WeightsUnavailableError, match=r"limit of 20 MB|sends too much"):
        load_model("hf:a/b")


def test_what_broke_off_goes_on(server, ours):
    server.repos["owner/name"] = Repo(ours)
    server.cut_after = 1000
    with pytest.raises(WeightsUnavailableError, match="connection lost; try again to resume"):
        load_model(NAME)
    server.cut_after = None
    server.ranges.clear()
    assert load_model(NAME).sources == ("a", "b")
    assert "bytes=1000-" in server.ranges


def test_names_of_files_lead_nowhere(server, ours, tmp_path):
    names = {"../../model.safetensors": ours["model.safetensors"]}
    server.repos["owner/name"] = Repo(names)
    assert load_model(NAME).sources == ("a", "b")
    (folder,) = (tmp_path / "home" / "web").glob("name-*/")
    assert sorted(path.name for path in folder.iterdir()) == ["model.safetensors", "pin.json"]


def test_without_a_network(server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsUnavailableError, match="hf download owner/name on another"):
        load_model(NAME)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsUnavailableError, match="HF_HUB_OFFLINE is set"):
        load_model(NAME)


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsUnavailableError, match=r"pip install 'partita\[hub\]'"):
        load_model(NAME)
