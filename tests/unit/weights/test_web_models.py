"""Models named by their address: fetched, pinned, and refused once they are others."""

import hashlib
import json
import logging

import pytest
import torch

from common import little_room, small_checkpoint
from hub_server import hub_server
from msst_files import small_model, write_msst
from partita.errors import UsageError, WeightsCorruptError, WeightsUnavailableError
from partita.weights import web_models
from partita.weights.chain import parse_chain
from partita.weights.licences import Licence
from partita.weights.resolve import resolve
from partita.weights.store import load_model
from partita.weights.web_models import fetch_web_model


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))
    with hub_server() as running:
        yield running


@pytest.fixture
def ours(tmp_path):
    """The bytes of a small checkpoint of partita's."""
    return small_checkpoint(tmp_path / "ours.safetensors").read_bytes()


def in_cache(tmp_path):
    """Return the names of all files of the cache but locks."""
    files = (tmp_path / "home").rglob("*")
    return sorted(path.name for path in files if path.is_file() and path.suffix != ".lock")


def weights(model):
    return torch.cat([tensor.flatten().float() for tensor in model.state_dict().values()])


def test_an_address_is_fetched_once_and_pinned(server, ours, tmp_path, caplog):
    caplog.set_level(logging.INFO, "partita")
    server.files["/some/ours.safetensors"] = ours
    name = f"{server.address}/some/ours.safetensors"
    assert resolve(name).sources == ("a", "b")
    digest = hashlib.sha256(ours).hexdigest()
    assert f"ours.safetensors: {len(ours):,} bytes, SHA-256 {digest}" in caplog.text
    assert "licence: unknown" in caplog.text
    server.files.clear()
    asked = len(server.asked)
    model = load_model(name)
    assert resolve(name).digest == resolve(name).digest
    assert len(server.asked) == asked
    assert torch.equal(weights(model), weights(load_model(str(tmp_path / "ours.safetensors"))))
    (pin,) = (tmp_path / "home" / "web").glob("ours-*/pin.json")
    said = json.loads(pin.read_text())
    assert (said["name"], said["files"][0]["sha256"]) == (name, digest)
    assert resolve(name).licence == Licence("unknown", None)


def test_labels_and_chains():
    name = "https://example.org:8000/a/b/model.ckpt@https://example.org/x.yaml"
    assert resolve(name).label == "model"
    first, second = parse_chain(f"{name}:vocals+hpss")
    assert (first.model, second.stem) == (name, "vocals")
    assert [link.stem for link in parse_chain(f"hf:a/b@v1+{name}")] == [None, None]
    assert parse_chain("hf:name")[0].model == "hf:name"  # which is for its reader to refuse
    assert resolve("hf:owner/Name@v1:drums+hf:owner/other/folder/x.ckpt").label == "Name-drums+x"
    assert resolve("https://example.org/a%2Fb%20c.safetensors?download=true").label == "a_b_c"


@pytest.mark.parametrize("how", ["beside", "named", "here"])
def test_checkpoints_of_msst(server, tmp_path, how):
    path = write_msst(tmp_path, small_model())
    server.files["/m/model.ckpt"] = path.read_bytes()
    yaml = path.with_suffix(".yaml")
    server.files["/m/model.yaml" if how == "beside" else "/n/other.yaml"] = yaml.read_bytes()
    name = f"{server.address}/m/model.ckpt"
    name += {"beside": "", "named": f"@{server.address}/n/other.yaml", "here": f"@{yaml}"}[how]
    assert resolve(name).sources == ("vocals", "other")
    assert torch.equal(weights(load_model(name)), weights(load_model(str(path))))
    assert resolve(name).digest == resolve(name).digest


def test_without_a_yaml_file_the_message_says_what_is_missing(server, tmp_path):
    server.files["/model.ckpt"] = write_msst(tmp_path, small_model()).read_bytes()
    with pytest.raises(WeightsCorruptError, match=r"nothing beside it says model\.stft_hop_length"):
        load_model(f"{server.address}/model.ckpt")


def test_what_has_changed_is_refused_until_it_is_accepted(server, ours, tmp_path):
    name = f"{server.address}/ours.safetensors"
    server.files["/ours.safetensors"] = ours
    pin = fetch_web_model(name)
    assert fetch_web_model(name) == pin
    other = small_checkpoint(tmp_path / "other.safetensors", sources=["c", "d"]).read_bytes()
    server.files["/ours.safetensors"] = other
    accept = rf"partita models fetch `accept_changed=True` {name} accepts"
    with pytest.raises(WeightsCorruptError, match=accept) as info:
        fetch_web_model(name)
    assert "has changed since it was fetched on 20" in str(info.value)
    assert resolve(name).sources == ("a", "b")  # what was fetched is still good
    (path,) = (tmp_path / "home").rglob("ours.safetensors")
    path.unlink()
    with pytest.raises(WeightsCorruptError, match=accept):
        load_model(name)
    assert in_cache(tmp_path) == ["pin.json"]
    fetch_web_model(name, accept_changed=True)
    assert load_model(name).sources == ("c", "d")


def test_another_date_is_no_other_file(server, ours):
    name = f"{server.address}/ours.safetensors"
    server.files["/ours.safetensors"] = ours

    def same_content(handler):
        handler.send_response(200)
        for key, value in {"ETag": '"new"', "Content-Length": str(len(ours))}.items():
            handler.send_header(key, value)
        handler.end_headers()
        handler.wfile.write(ours)

    fetch_web_model(name)
    server.files["/ours.safetensors"] = same_content
    assert fetch_web_model(name).tag.startswith('"new"')


def test_what_is_damaged_here_is_fetched_again(server, ours, tmp_path, caplog):
    name = f"{server.address}/ours.safetensors"
    server.files["/ours.safetensors"] = ours
    fetch_web_model(name)
    (path,) = (tmp_path / "home").rglob("ours.safetensors")
    path.write_bytes(ours[:-1] + bytes([ours[-1] ^ 1]))  # of the same size
    assert load_model(name).sources == ("a", "b")
    assert "is damaged; fetching it again" in caplog.text
    assert path.read_bytes() == ours


def test_a_server_that_is_away_changes_nothing(server, ours, caplog, monkeypatch):
    server.files["/ours.safetensors"] = ours
    name = f"{server.address}/ours.safetensors"
    fetch_web_model(name)
    monkeypatch.setattr(
        web_models, "fetch_tag", lambda _: (_ for _ in ()).throw(WeightsUnavailableError("away"))
    )
    assert fetch_web_model(name).name == name
    assert "away; using the version that was fetched on " in caplog.text


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"x" * 65536)


def cut(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b"abc")


def large(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "99999999999")
    handler.end_headers()


def elsewhere(place):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", place)
        handler.end_headers()

    return answer


def status(number):
    return lambda handler: handler.send_error(number)


BAD = {
    "endless": (endless, "exceeds the limit of 0 MB"),
    "cut": (cut, "connection lost"),
    "large": (large, "exceeds the limit of 0 MB"),
    "file": (elsewhere("file:///etc/passwd"), "which is not fetched"),
    "not found": (status(404), "HTTP status 404"),
    "forbidden": (status(403), "HTTP status 403"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_servers(server, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(web_models, "MOST_BYTES", 200_000)
    server.files["/ours.safetensors"], fault = BAD[kind]
    with pytest.raises(WeightsUnavailableError, match=fault) as info:
        load_model(f"{server.address}/ours.safetensors")
    assert str(info.value).isprintable()
    assert in_cache(tmp_path) == []


def test_without_a_network(server, tmp_path):
    with pytest.raises(WeightsUnavailableError, match="and name the file instead"):
        load_model("http://127.0.0.1:9/a.safetensors")
    assert in_cache(tmp_path) == []


def test_a_full_disk(server, ours, tmp_path):
    server.files["/ours.safetensors"] = ours
    full = r"the cache .* cannot be written \(File too large\)"
    with little_room(5000), pytest.raises(WeightsUnavailableError, match=full):
        load_model(f"{server.address}/ours.safetensors")
    assert in_cache(tmp_path) == []


def test_pages_are_no_checkpoints(server):
    server.files["/a.safetensors"] = server.files["/b.ckpt"] = b"<html>Not found</html>"
    with pytest.raises(WeightsCorruptError, match="not a readable safetensors file"):
        load_model(f"{server.address}/a.safetensors")
    with pytest.raises(WeightsCorruptError, match="not a file of tensors"):
        load_model(f"{server.address}/b.ckpt")


def test_a_damaged_pin_is_said(server, ours, tmp_path):
    server.files["/ours.safetensors"] = ours
    name = f"{server.address}/ours.safetensors"
    fetch_web_model(name)
    (pin,) = (tmp_path / "home").rglob("pin.json")
    text = json.loads(pin.read_text())
    text["files"][0]["filename"] = "../../escaped"
    for content in ("", "[]", "{}", json.dumps(text)):
        pin.write_text(content)
        with pytest.raises(WeightsCorruptError, match=r"pin.json: damaged; remove "):
            load_model(name)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("http://example.org/a.ckpt", "is not encrypted: use https://"),
        ("https://example.org/", "is not the address of a checkpoint"),
        ("https://example.org/model.zip", "is not the address of a checkpoint"),
        ("https://user:word@example.org/a.ckpt", "is not the address of a file"),
        ("https://example.org/a b.ckpt", "not a valid name of a model on the web"),
        ("https://[::1/a.ckpt", "is not an address"),
        ("https://huggingface.co/a/b/blob/main/c.ckpt", "a page about a file: .* /resolve/ in"),
        ("https://example.org/a.ckpt@http://example.org/a.yaml", "use https://"),
        ("hf:", "is not the name of a repository: write hf:OWNER/NAME"),
        ("hf:name", "is not the name of a repository"),
        ("hf:owner/name/", "is not the name of a repository"),
        ("hf:owner/name@", "is not the name of a repository"),
        ("hf:owner/../x", "is not the name of a repository"),
        ("hf:owner/name/../../x.ckpt", "is not the name of a repository"),
        ("hf:own er/name", "not a valid name of a model on the web"),
    ],
)
def test_names_that_are_none(name, fault):
    with pytest.raises(UsageError, match=fault):
        load_model(name)
