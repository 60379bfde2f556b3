"""What is said of cards' scores is of the cards that there are, and counted in one way."""

import math

import pytest

from partita.weights.cards import CARDS
from partita.weights.measured import MAY_BE_TRAINING_SONGS, MEASURED, MEMORY_GB


@pytest.mark.parametrize("name", MEASURED)
def test_measured_cards(name):
    card, measured = CARDS[name], MEASURED[name]
    assert set(measured.sdr) == set(measured.usdr) == set(card.sources)
    assert set(measured.two_stems) in (set(), {"vocals", "accompaniment"})
    figures = [*measured.sdr.values(), *measured.usdr.values(), *measured.two_stems.values()]
    assert all(map(math.isfinite, figures))
    if set(card.sources) == {"vocals", "accompaniment"}:
        assert measured.sdr == measured.two_stems


@pytest.mark.parametrize("name", MEASURED)
def test_what_learned_from_musdb18_is_marked(name):
    assert (MEASURED[name].caveat == MAY_BE_TRAINING_SONGS) == ("MUSDB18" in CARDS[name].trained_on)


def test_published_figures_are_of_musdb18():
    for card in CARDS.values():
        assert set(card.published) <= set(card.sources), card.name
        assert not card.published or "MUSDB18" in card.published_in, card.name


def test_memory_is_of_cards_that_there_are():
    assert MEMORY_GB.keys() <= CARDS.keys()


#: Beginnings of digests: other weights have to be measured again, with benchmarks/cards.py.
MEASURED_WITH = {
    "accompaniment-stems": "d7d44075db96",
    "spleeter-2stems": "6f607454c29c",
    "nmfd": "fc71290a0a18",
}


@pytest.mark.parametrize("name", MEASURED_WITH)
def test_figures_are_of_the_weights_that_ship(name):
    assert CARDS[name].tensors_sha256.startswith(MEASURED_WITH[name])
