"""Whatever lies in the cache under a card's name must be what the card promises."""

import concurrent.futures
import dataclasses
import hashlib
import io
import logging
import os
import re
import time

import filelock
import pytest
import torch

from common import SMALL_UNMIX
from partita.errors import WeightsCorruptError, WeightsUnavailableError
from partita.models import create_model
from partita.weights import cards, places, store
from partita.weights.checkpoint import save_checkpoint, tensors_digest

SOURCES = ["vocals", "drums", "bass", "other"]
CONFIG = {"sources": SOURCES, **SMALL_UNMIX}


@pytest.fixture
def state():
    torch.manual_seed(3)
    return create_model("open-unmix", CONFIG).state_dict()


@pytest.fixture
def publish(server, tmp_path, monkeypatch):
    """Put the networks of a state dict on a server, as Open-Unmix's authors do; return a card."""
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))

    def put(state, **changes):
        files = {}
        for source in SOURCES:
            start = f"networks.{source}."
            network = {k.removeprefix(start): t for k, t in state.items() if k.startswith(start)}
            data = io.BytesIO()
            torch.save(network, data)
            digits = hashlib.sha256(data.getvalue()).hexdigest()[:8]
            server.files[f"{source}-{digits}.pth"] = data.getvalue()
            address = f"http://127.0.0.1:{server.server_port}/{source}-{digits}.pth"
            files[source] = cards.UrlFile(address, digits)
        source = cards.UrlSource(files, "open-unmix")
        card = dataclasses.replace(
            cards.get_card("umxhq"), config=CONFIG, remote=(source,), **changes
        )
        monkeypatch.setitem(cards.CARDS, card.name, card)
        return card

    return put


def assert_is(model, state):
    assert (model.registry_name, list(model.sources)) == ("open-unmix", SOURCES)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


OTHERS = {
    "model": ("nmf", {"sources": SOURCES}, "holds the model nmf, but umxhq is open-unmix"),
    "sources": (
        "open-unmix",
        {**CONFIG, "sources": SOURCES[::-1]},
        "sources is other, bass, drums, vocals, but umxhq has vocals, drums, bass, other",
    ),
    "configuration": (
        "open-unmix",
        {**CONFIG, "level_range_db": [-30.0, -11.0]},
        r"level_range_db is -30\.0, -11\.0, but umxhq has None",
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("has_digest", [False, True])
def test_other_things_in_the_cache_are_fetched_again(publish, state, caplog, kind, has_digest):
    caplog.set_level(logging.WARNING, logger="partita")
    card = publish(state, tensors_sha256=tensors_digest(state) if has_digest else "")
    path = places.weights_path(card)
    path.parent.mkdir(parents=True)
    name, config, said = OTHERS[kind]
    other = create_model(name, config)
    if name == card.model:  # the very weights
        other.load_state_dict(state)
    save_checkpoint(path, other)
    assert_is(store.load_model(card.name), state)
    assert_is(store.load_model(card.name), state)
    (warning,) = [record.message for record in caplog.records]
    assert "fetching it again" in warning
    assert re.search(said, warning) or (has_digest and kind == "model"), warning


def test_without_network_the_error_says_what_to_do(publish, state, server):
    card = publish(state)
    server.files.clear()
    path = places.weights_path(card)
    path.parent.mkdir(parents=True)
    save_checkpoint(path, create_model("nmf", {"sources": SOURCES}))
    with pytest.raises(WeightsUnavailableError, match="are not in the cache and cannot be fetched"):
        store.load_model(card.name)


def test_other_weights_of_the_same_network(publish, state, caplog):
    caplog.set_level(logging.WARNING, logger="partita")
    torch.manual_seed(4)
    others = create_model("open-unmix", CONFIG).state_dict()
    before = store.fetch(publish(others)).read_bytes()
    card = publish(state)
    assert places.weights_path(card).read_bytes() == before
    assert_is(store.load_model(card.name), state)
    assert "made from other files than those of umxhq; fetching it again" in caplog.text


def test_checkpoints_of_versions_that_do_not_say_where_they_are_from(publish, state, server):
    card = publish(state)
    path = places.weights_path(card)
    path.parent.mkdir(parents=True)
    model = create_model("open-unmix", CONFIG)
    model.load_state_dict(state)
    save_checkpoint(path, model)
    assert_is(store.load_model(card.name), state)
    assert server.asked == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(publish, state, bad):
    state["networks.bass.fc1.weight"][0, 0] = bad
    card = publish(state)
    said = r"the fetched file: weights in networks\.bass\.fc1\.weight are NaN or infinite"
    with pytest.raises(WeightsCorruptError, match=said):
        store.load_model(card.name)
    assert not places.is_cached(card)


@pytest.mark.parametrize("what", ["folder", "pipe", "endless"])
def test_what_is_no_file_is_replaced(publish, state, what):
    card = publish(state)
    path = places.weights_path(card)
    path.parent.mkdir(parents=True)
    if what == "folder":
        (path / "below").mkdir(parents=True)
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    assert_is(store.load_model(card.name), state)
    assert path.is_file()
    assert not path.is_symlink()


def test_bundled_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(places, "BUNDLED", tmp_path)
    card = dataclasses.replace(cards.get_card("nmfd"), tensors_sha256="")
    monkeypatch.setitem(cards.CARDS, card.name, card)
    save_checkpoint(tmp_path / "nmfd.safetensors", create_model("nmf", {"sources": SOURCES}))
    with pytest.raises(WeightsCorruptError, match="holds the model nmf, but nmfd is nmfd"):
        store.load_model("nmfd")
    assert (tmp_path / "nmfd.safetensors").exists()


def test_tensors_that_share_their_memory(publish, state):
    tied = state["networks.bass.bn1.weight"]
    state["networks.bass.bn1.bias"] = tied
    assert_is(store.load_model(publish(state).name), state)


def test_tensors_that_only_claim_their_size(publish, state):
    state["networks.bass.bn1.weight"] = torch.ones(1).expand(10**12)
    with pytest.raises(WeightsCorruptError, match=r"another shape or type for networks\.bass\.bn1"):
        store.load_model(publish(state).name)


def test_two_processes_fetch_once(publish, state, server, caplog):
    caplog.set_level(logging.INFO, logger="partita")
    card = publish(state)
    path = places.weights_path(card)
    path.parent.mkdir(parents=True)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with filelock.FileLock(path.with_suffix(".lock")):
            loading = pool.submit(store.load_model, card.name)
            for _ in range(600):
                if "waiting for another process that is fetching umxhq" in caplog.text:
                    break
                time.sleep(0.1)
            model = create_model("open-unmix", CONFIG)
            model.load_state_dict(state)
            save_checkpoint(path, model)
        assert_is(loading.result(timeout=60), state)
    assert "waiting for another process" in caplog.text
    assert server.asked == []
