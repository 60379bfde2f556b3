"""Weights hold on songs that are mono, narrow or one-sided: all that ship, and the default ones.

The songs are made here, so that no machine may skip this; real ones are taken where they are.
"""

import numpy as np
import pytest

import example_song
import partita
from common import SHARED, load_script
from partita.errors import WeightsUnavailableError
from partita.weights.card import PackageSource
from partita.weights.cards import CARDS, DEFAULT_MODEL
from partita.weights.chain import parse_chain

RATE = 44100
DEFAULT = (DEFAULT_MODEL, *(link.model for link in parse_chain(DEFAULT_MODEL)))
SHIPPED = [name for name, card in CARDS.items() if isinstance(card.source, PackageSource)]
#: Of the benchmark's transformations, those that are quick together and each of another kind.
CHANGES = (
    *("mono", "left only", "right only", "mono, hard to the left", "mono, opposite polarity"),
    *("one polarity turned", "side -6 dB", "side -12 dB", "side -20 dB", "side -60 dB"),
    "mono, side noise -60 dB",
)
MOST_LOST_DB = 1.5  # in the median over stems and songs
MOST_LOST_BY_A_STEM_DB = 7.0
COLLAPSED_DB = 1.0  # a stem that had more and has less now


@pytest.fixture(scope="module")
def drum_kit():
    """Two bars of kick, snare and hats, ``[2, samples]`` each."""
    generator = np.random.default_rng(0)
    kick = np.stack([example_song._kick(RATE)] * 2)
    stems = {name: np.zeros((2, 4 * RATE)) for name in ("kick", "snare", "hats")}
    for beat in range(16):
        at = beat * RATE // 4
        hat = example_song._noise(0.03, 9000, RATE, generator) * 0.15
        example_song._add(stems["hats"], at, hat)
        if beat % 4 == 2:
            snare = example_song._noise(0.15, 2500, RATE, generator) * 0.4
            example_song._add(stems["snare"], at, snare)
        if beat % 4 == 0:
            example_song._add(stems["kick"], at, kick)
    return {name: (0.5 * stem).astype(np.float32) for name, stem in stems.items()}


@pytest.fixture(scope="module")
def songs(stems, drum_kit):
    """What the sources of a card are heard in: songs of them, or of more."""

    def of(card, sources):
        if set(sources) <= set(drum_kit):
            return [drum_kit]
        found = [stems, *real_songs()]
        if card.takes == "accompaniment":
            found = [{n: s for n, s in song.items() if n != "vocals"} for song in found]
        known = {*stems, "accompaniment"}
        assert set(sources) <= known, f"{card.name}: this test needs a song with {sources}"
        return found

    return of


def real_songs():
    path = SHARED / "audio" / "music-delta-80s-rock.stem.mp4"
    if not path.exists():
        return []
    names = {1: "drums", 2: "bass", 3: "other", 4: "vocals"}
    return [{n: partita.Audio.load(path, stream=i).samples.numpy() for i, n in names.items()}]


def test_something_ships_and_is_the_default():
    assert set(SHIPPED) >= {"accompaniment-stems"}
    assert len(DEFAULT) > 1


@pytest.mark.parametrize("name", sorted({*DEFAULT, *SHIPPED}))
def test_unusual_songs_lose_little(name, songs, monkeypatch):
    robustness = load_script("robustness", monkeypatch, "benchmarks")
    try:
        separator = partita.Separator(name)
    except WeightsUnavailableError as error:
        if name in SHIPPED:
            raise
        pytest.skip(f"not on this machine, and not to be had: {error}")
    plain = robustness.Transformation(robustness.as_it_is)
    lost = {change: [] for change in CHANGES}
    for song in songs(CARDS[name], separator.sources):
        before = robustness.scores_under(plain, separator, song, RATE)
        assert before
        for change in CHANGES:
            transformation = robustness.TRANSFORMATIONS[change]
            after = robustness.scores_under(transformation, separator, song, RATE)
            for stem, sdr in after.items():
                lost[change].append(before[stem] - sdr)
                assert before[stem] - sdr < MOST_LOST_BY_A_STEM_DB, (change, stem, before, after)
                assert sdr > min(COLLAPSED_DB, before[stem] - MOST_LOST_DB), (change, stem, after)
    medians = {change: float(np.median(each)) for change, each in lost.items()}
    assert max(medians.values()) <= MOST_LOST_DB, medians
