import pytest

from partita.errors import UsageError
from partita.weights import cards, store
from partita.weights.card import Card
from partita.weights.licences import Licence
from partita.weights.resolve import resolve


def test_nothing_is_known_of_a_card_that_states_nothing():
    card = Card(name="a", summary="a", config={"sources": ["a"]})
    assert (card.licence, card.commercial_use) == ("unknown", None)


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("four-stems", Licence("MIT", True)),
        ("umxhq", Licence("MIT", None)),
        ("umxl", Licence("CC-BY-NC-SA-4.0", False)),
        ("spleeter-2stems+umxl", Licence("MIT AND CC-BY-NC-SA-4.0", False)),
        ("hpss", None),
        ("mine.safetensors", None),
        ("theirs.ckpt", Licence("unknown", None)),
    ],
)
def test_licences_of_names(name, licence):
    assert resolve(name).licence == licence
    if licence is None or licence.commercial_use:
        resolve(name).require_commercial_use()
    else:
        with pytest.raises(UsageError, match=r"not clearly free .* allow four-stems, "):
            resolve(name).require_commercial_use()


def test_every_licence_has_evidence():
    for card in cards.CARDS.values():
        if card.has_weights and card.licence != "unknown":
            assert card.licence_evidence, card.name
    evidence = cards.get_card("spleeter-2stems").licence_evidence
    assert "deezer/spleeter#898, #959" in evidence
    assert "MUSDB18" in cards.get_card("umxhq").licence_evidence


@pytest.mark.parametrize("value", ["1", "true", "yes"])
def test_the_environment_refuses_everywhere(monkeypatch, tmp_path, value):
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path))
    monkeypatch.setenv("PARTITA_COMMERCIAL_ONLY", value)
    for act in (store.load_model, lambda name: store.fetch(cards.get_card(name))):
        with pytest.raises(UsageError, match="umxl is not clearly free for commercial use"):
            act("umxl")
    assert store.load_model("nmfd").sources == ("vocals", "drums", "bass", "other")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("PARTITA_COMMERCIAL_ONLY", "0")
    assert store.load_model("nmfd").sources == ("vocals", "drums", "bass", "other")
