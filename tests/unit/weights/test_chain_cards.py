import dataclasses
import re

import pytest
import torch

from partita import Separator
from partita.errors import UnknownNameError, UsageError
from partita.weights import cards, places, store
from partita.weights.chain import Link, parse_chain
from partita.weights.own_checkpoints import own_checkpoint
from partita.weights.resolve import part_cards, resolve

FOUR = ("vocals", "drums", "bass", "other")


def check(card):
    """See that a chain's card says what its parts say."""
    parts = part_cards(card)
    assert len(parts) > 1
    assert resolve(card.name).sources == card.sources
    assert card.input_stem == (parts[0].input_stem if card.chain else "")
    assert card.summary
    assert bool(card.published) == bool(card.published_in)
    assert not any((card.model, card.has_weights, card.example, card.tensors_sha256))
    assert card.download_bytes == sum(part.download_bytes for part in parts)
    licensed = [part for part in parts if part.has_weights]
    uses = {part.commercial_use for part in licensed}
    assert card.commercial_use == (False if False in uses else None if None in uses else True)
    licences = dict.fromkeys(part.licence for part in licensed)
    assert card.licence == " AND ".join(licences)


def test_chains_and_bags_say_what_their_parts_say(band):
    chains = [card for card in cards.CARDS.values() if card.has_parts]
    assert band in chains
    for card in chains:
        check(card)


@pytest.mark.parametrize(
    "fault",
    [
        {"chain": "repet+nothing"},
        {"chain": "repet:drums+second"},
        {"chain": "repet"},
        {"config": {"sources": ["drums", "vocals", "bass", "other"]}},
        {"download_bytes": 1},
        {"commercial_use": False},
        {"licence": "GPL-3.0-only"},
    ],
)
def test_chains_that_say_something_else_are_found(band, monkeypatch, fault):
    wrong = dataclasses.replace(band, **fault)
    monkeypatch.setitem(cards.CARDS, band.name, wrong)
    with pytest.raises((AssertionError, UnknownNameError)):
        check(wrong)


@pytest.mark.parametrize(
    ("name", "links"),
    [
        ("band", [Link("repet"), Link("second")]),
        ("band:drums+hpss", [Link("repet"), Link("second"), Link("hpss", "drums")]),
        ("hpss:harmonic+band", [Link("hpss"), Link("repet", "harmonic"), Link("second")]),
        ("hpss+band:bass+a", [Link("hpss"), Link("repet"), Link("second"), Link("a", "bass")]),
        ("./band", [Link("./band")]),
        ("band.safetensors", [Link("band.safetensors")]),
    ],
)
def test_names(band, name, links):
    assert parse_chain(name) == tuple(links)


def test_a_chain_of_chains(band, monkeypatch):
    more = dataclasses.replace(band, name="more", chain="band:drums+hpss")
    monkeypatch.setitem(cards.CARDS, more.name, more)
    assert parse_chain("more") == parse_chain("repet+second:drums+hpss")
    assert [part.name for part in part_cards(more)] == ["repet", "second", "hpss"]


def test_a_model_is_still_missing(band):
    for name in ("band:drums", "band+", "+band"):
        with pytest.raises(UsageError, match="a model is missing"):
            parse_chain(name)


def test_stems(band):
    assert resolve("band").sources == FOUR
    assert resolve("band:drums+nmfd-drums").sources == (
        "vocals",
        "bass",
        "other",
        "kick",
        "snare",
        "hats",
    )
    with pytest.raises(UnknownNameError, match="unknown stem 'accompaniment'"):  # it is taken
        _ = resolve("band:accompaniment+hpss").sources


def test_labels_are_the_short_names(band):
    assert resolve("band").label == "band"
    assert resolve("band:drums+hpss").label == "band-drums+hpss"
    assert resolve("hpss:harmonic+band").label == "hpss-harmonic+band"


def test_a_folder_of_that_name_is_not_the_card(band, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "band").mkdir()
    (tmp_path / "second.safetensors").rename("band/model.safetensors")
    assert own_checkpoint("band") is None
    assert parse_chain("./band") == (Link("./band"),)


def test_a_chain_is_here_when_all_its_parts_are(band, tmp_path):
    assert places.is_cached(band)
    (tmp_path / "second.safetensors").unlink()
    assert not places.is_cached(band)


def test_a_chain_is_no_model(band):
    with pytest.raises(UsageError, match=re.escape("repet+second: name one of them")) as info:
        store.load_model("band")
    assert "\n" not in str(info.value)
    with pytest.raises(ValueError, match="needs no weights that could be fetched"):
        store.fetch(band)


def test_separator(band):
    mixture = 0.1 * torch.randn(2, 30000, generator=torch.Generator().manual_seed(0))
    short, long = Separator("band"), Separator("repet:accompaniment+second")
    assert short.sources == FOUR
    estimates, same = short(mixture, 44100), long(mixture, 44100)
    for name in FOUR:
        assert torch.equal(estimates[name].samples, same[name].samples)
    drums = Separator("band:drums+nmfd-drums", stems=["kick", "vocals"])
    assert list(drums(mixture, 44100)) == ["kick", "vocals"]
