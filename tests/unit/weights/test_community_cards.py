"""Cards of the community's checkpoints: the way they are fetched, with small ones of the same kind.

The checkpoints themselves are on servers that no test asks.
"""

import dataclasses
import hashlib
import io
import json

import numpy as np
import pytest
import soundfile
import torch

from hub_server import hub_server
from msst_files import SMALL, msst_state, small_model
from partita.errors import WeightsCorruptError, WeightsUnavailableError
from partita.models import create_model
from partita.weights.card import UrlFile, UrlSource
from partita.weights.cards import CARDS
from partita.weights.community_cards import COMMUNITY_CARDS
from partita.weights.places import weights_path
from partita.weights.store import fetch, load_model

#: What PyTorch's archives hold beside each tensor: names, padding, a line of the pickle.
PACKING_BYTES = (380, 450)


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))
    with hub_server() as running:
        yield running


@pytest.fixture
def put(server, monkeypatch):
    """Serve a checkpoint of a model and make a card of it, whose first address has nothing."""

    def make(model, change=lambda tensor: tensor):
        file = io.BytesIO()
        torch.save({key: change(tensor) for key, tensor in msst_state(model).items()}, file)
        content = file.getvalue()
        server.files["/mirror.ckpt"] = content
        digest = hashlib.sha256(content).hexdigest()
        urls = (f"{server.address}/gone/model.ckpt", f"{server.address}/mirror.ckpt")
        card = dataclasses.replace(
            next(card for card in COMMUNITY_CARDS if card.model == model.registry_name),
            name="small",
            config=model.config.to_dict(),
            download_bytes=len(content),
            remote=tuple(
                UrlSource({"all": UrlFile(url, digest, len(content))}, "msst") for url in urls
            ),
        )
        monkeypatch.setitem(CARDS, "small", card)
        return card

    return make


@pytest.mark.parametrize("name", sorted({card.model for card in COMMUNITY_CARDS}))
@pytest.mark.parametrize("residual", [False, True])
def test_fetched_from_the_next_address(put, server, tmp_path, caplog, name, residual):
    model = small_model(name, residual=residual)
    put(model)
    loaded = load_model("small")
    assert loaded.config == model.config
    for key, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key
    assert "small: never fetched or run by this project: address, size, hash and" in caplog.text
    assert "gone/model.ckpt: HTTP status 404; trying the next source" in caplog.text
    server.files.clear()
    assert load_model("small").sources == model.sources
    assert [path.name for path in (tmp_path / "home" / "downloads").iterdir()] == []


def test_from_the_address_to_stems(put, run, write_song, song, tmp_path):
    put(small_model("mel-band-roformer", residual=True))
    path = write_song(samples=song[:, :20000])
    result = run("separate", path, "--model", "small", "--out", "out", "--json")
    assert result.status == 0, result.err
    facts = json.loads(result.out)
    assert (facts["licence"], facts["commercial_use"]) == (CARDS["small"].licence, None)
    stems = [soundfile.read(tmp_path / file)[0] for file in facts["stems"].values()]
    assert np.abs(sum(stems) - song[:, :20000].T).max() < 1e-3  # one is what the other leaves
    assert run("separate", path, "--model", "small", "--commercial-only").status == 2


def test_half_the_digits(put):
    model = small_model("mel-band-roformer")
    put(model, lambda tensor: tensor.half() if tensor.is_floating_point() else tensor)
    loaded = load_model("small").state_dict()
    for key, tensor in model.state_dict().items():
        assert loaded[key].dtype == tensor.dtype
        assert torch.allclose(loaded[key], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"features": 16}, "has another shape or type for"),
        ({"layers": 1}, "has an unexpected tensor layers.1."),
        ({"layers": 3}, "lacks layers.2."),
    ],
)
def test_checkpoints_of_other_settings(put, monkeypatch, change, fault):
    card = put(small_model("bs-roformer"))
    changed = dataclasses.replace(card, config={**card.config, **change})
    monkeypatch.setitem(CARDS, "small", changed)
    with pytest.raises((WeightsCorruptError, WeightsUnavailableError), match=fault):
        fetch(changed)
    assert not weights_path(changed).exists()


def test_checkpoints_of_other_architectures(put, monkeypatch):
    card = put(small_model("scnet"))
    other = create_model("mdx23c", {**SMALL["mdx23c"], "sources": ["a", "b"]})
    changed = dataclasses.replace(card, model="mdx23c", config=other.config.to_dict())
    monkeypatch.setitem(CARDS, "small", changed)
    with pytest.raises(WeightsUnavailableError, match=r"mirror\.ckpt: holds SCNet, not mdx23c"):
        fetch(changed)


def test_not_a_number(put):
    card = put(small_model("scnet"), lambda tensor: tensor * float("nan"))
    with pytest.raises(WeightsUnavailableError, match="are NaN or infinite"):
        fetch(card)
    assert not weights_path(card).exists()


def test_cards_state_what_is_known():
    for card in COMMUNITY_CARDS:
        assert card.commercial_use is None, card.name
        assert "never fetched or run by this project" in card.caution
        assert (card.licence == "unknown") or card.licence_evidence, card.name
        assert not card.published, card.name  # what is said of them is counted in other ways
        assert len(card.remote) > 1, card.name
        files = [source.files["all"] for source in card.remote]
        assert {file.size for file in files} == {card.download_bytes}, card.name
        assert len({file.sha256 for file in files}) == 1, card.name
        assert all(len(file.sha256) == 64 for file in files), card.name
        assert all(file.url.startswith("https://") for file in files), card.name


@pytest.mark.slow
@pytest.mark.parametrize("card", COMMUNITY_CARDS, ids=lambda card: card.name)
def test_networks_have_the_size_of_their_files(card):
    """Another width, depth or band would be megabytes more or less."""
    state = msst_state(create_model(card.model, card.config, initialise=False))
    content = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    least, most = PACKING_BYTES
    assert least < (card.download_bytes - content) / len(state) < most
