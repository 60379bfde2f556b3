"""The files of styles, and what is made of their letters."""

import pickle
import tomllib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.errors import UnknownNameError, UsageError
from partita_synthesis.composition import load_style, parse_style, style_library, style_names
from partita_synthesis.composition.grooves import draw_cell
from partita_synthesis.composition.harmony import (
    place_chord,
    scale_around,
    spell,
    split_bar,
)
from partita_synthesis.composition.voicing import Voicer, fold
from partita_synthesis.instruments import instruments


def table_of(name: str) -> dict:
    return tomllib.loads((style_library._FILES / f"{name}.toml").read_text("utf-8"))


def test_there_are_styles_enough():
    names = style_names()
    assert len(names) >= 14
    assert names == tuple(sorted(names))
    assert {"pop", "rock", "metal", "hip_hop", "swing", "trance"} <= set(names)
    assert "common" not in names


@pytest.mark.parametrize("name", style_names())
def test_every_style_loads_with_a_band_that_fits(name):
    style = load_style(name)
    assert style.name == name
    assert {"drums", "bass", "chords", "lead", "vocals"} <= style.band.keys()
    for role, seat in style.band.items():
        assert all(role in instruments()[instrument].roles for instrument in seat.instruments)
    assert set(style.progressions) == {"major", "minor"}
    assert pickle.loads(pickle.dumps(style)) == style  # it goes to worker processes


def test_unknown_style_suggests_near_ones():
    with pytest.raises(UnknownNameError, match="did you mean rock"):
        load_style("rok")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tempo": [1, 2]}, "unknown key 'tempo'"),
        ({"tempo_bpm": [140, 90]}, "tempo_bpm"),
        ({"tempo_bpm": 120}, "wrong kind"),
        ({"beats_per_bar": 5}, "beats_per_bar 5"),
        ({"bass": []}, "bass is empty"),
        ({"bass": ["R-R-"]}, "has 4 steps; a bar has 16"),
        ({"bass": ["Q--- ---- ---- ----"]}, "'Q', which is none of"),
        ({"bass": ["---- ---- ---- ----"]}, "holding a note that never began"),
        ({"comping": [{"pattern": "x... " * 4, "energy": [0.5]}]}, "energy"),
        ({"grooves": [{"energy": [0, 1]}]}, "without pieces"),
        ({"grooves": [{"kik": "x..."}]}, "did you mean kick"),
        ({"modes": {"dorian": 1}}, "unknown name"),
        ({"modes": {"major": 0}}, "no weight is above 0"),
        ({"forms": ["intro verse"]}, "lacks a verse or a chorus"),
        ({"forms": ["verse chorrus"]}, "did you mean chorus"),
        ({"surprises": 1.5}, "not from 0 to 1"),
        ({"swing": {"unit": "fourth", "ratio": [0.5, 0.5]}}, "unit of swing"),
        ({"progressions": {"major": {"verse": ["I VIII"], "chorus": ["I"]}}}, "'VIII' in 'I VIII'"),
        ({"progressions": {"major": {"verse": ["I"]}}}, "need some of verse and of chorus"),
        ({"progressions": {"major": {"verse": ["I"], "chorus": [" "]}}}, "empty progression"),
        ({"band": {"bass": {"probability": 1, "instruments": {"bass_guitar": 1}}}}, "unknown inst"),
        (
            {"band": {"bass": {"probability": 1, "instruments": {"violin": 1}}}},
            "does not play bass",
        ),
        ({"band": {"bas": {"probability": 1, "instruments": {}}}}, "unknown role"),
        ({"tune": {"density": 0.5}}, "wrong kind"),
    ],
)
def test_says_what_is_wrong_with_a_style(change, message):
    with pytest.raises(UsageError, match=message) as caught:
        parse_style("mine", {**table_of("pop"), **change})
    assert "\n" not in str(caught.value)


def test_a_missing_band_is_missed():
    table = table_of("pop")
    del table["band"]
    with pytest.raises(UsageError, match="style mine: band is missing"):
        parse_style("mine", table)


@pytest.mark.parametrize(
    ("numeral", "mode", "colour", "root", "tones"),
    [
        ("I", "major", "triad", 0, (0, 4, 7)),
        ("I", "major", "seventh", 0, (0, 4, 7, 11)),
        ("V", "major", "seventh", 7, (7, 11, 2, 5)),
        ("vi7", "major", "triad", 9, (9, 0, 4, 7)),
        ("bVII", "major", "triad", 10, (10, 2, 5)),
        ("VI", "minor", "triad", 8, (8, 0, 3)),
        ("i", "minor", "ninth", 0, (0, 3, 7, 10, 2)),
        ("V7/ii", "major", "triad", 9, (9, 1, 4, 7)),
        ("iio7", "minor", "triad", 2, (2, 5, 8, 0)),
        ("IVsus4", "major", "triad", 5, (5, 10, 0)),
    ],
)
def test_numerals_are_spelt(numeral, mode, colour, root, tones):
    assert spell(numeral, mode, colour) == (root, tones)


@given(
    numeral=st.sampled_from(["I", "ii", "V7", "bVII", "iv", "V7/vi", "III7", "viio", "bII", "I+"]),
    tonic=st.integers(0, 11),
    mode=st.sampled_from(["major", "minor"]),
)
def test_the_scale_holds_the_chord(numeral, tonic, mode):
    chord = place_chord(numeral, 0, 4, tonic=tonic, mode=mode, colour="triad")
    assert set(chord.pitch_classes) <= set(chord.scale)
    assert 7 <= len(chord.scale) <= 8
    assert list(chord.scale) == sorted(set(chord.scale))


def test_the_scale_bends_to_foreign_chords():
    assert scale_around((4, 8, 11), 0, "major") == (0, 2, 4, 5, 8, 9, 11)  # A harmonic minor
    assert scale_around((5, 8, 0), 0, "major") == (0, 2, 4, 5, 7, 8, 11)  # the minor subdominant


@given(words=st.lists(st.just("I"), min_size=1, max_size=6), beats=st.sampled_from([3, 4]))
def test_the_chords_of_a_bar_fill_it(words, beats):
    parts = split_bar(words, beats)
    assert [start for start, _, _ in parts] == [
        sum(length for _, length, _ in parts[:index]) for index in range(len(parts))
    ]
    assert sum(length for _, length, _ in parts) == beats
    assert all(length > 0 for _, length, _ in parts)


@given(pitch=st.integers(-30, 150), low=st.integers(20, 80), width=st.integers(11, 40))
def test_folding_keeps_the_pitch_class(pitch, low, width):
    folded = fold(pitch, low, low + width)
    assert low <= folded <= low + width
    assert folded % 12 == pitch % 12


@given(
    name=st.sampled_from(sorted(instruments())),
    manner=st.sampled_from(["close", "strummed", "power", "single"]),
    numerals=st.lists(st.sampled_from(["I", "ii7", "V9", "vi", "bVII", "iv6"]), min_size=1),
)
def test_voicings_stay_in_range_and_chord(name, manner, numerals):
    instrument = instruments()[name]
    voicer = Voicer(instrument, manner, 62)
    for numeral in numerals:
        chord = place_chord(numeral, 0, 4, tonic=2, mode="major", colour="triad")
        notes = voicer.notes(chord)
        assert notes
        assert list(notes) == sorted(set(notes))
        assert all(instrument.lowest <= note <= instrument.highest for note in notes)
        assert {note % 12 for note in notes} <= set(chord.pitch_classes)


@pytest.mark.parametrize("centre", [36, 42, 48])
def test_low_chords_are_not_muddy(centre):
    voicer = Voicer(instruments()["grand_piano"], "close", centre)
    for numeral in ("I", "ii7", "V7", "vi", "IVmaj7"):
        notes = voicer.notes(place_chord(numeral, 0, 4, tonic=3, mode="major", colour="triad"))
        assert all(above - below >= 5 for below, above in pairwise(notes) if below < 48)


def test_voices_lead_by_small_steps():
    voicer = Voicer(instruments()["grand_piano"], "close", 62)
    means = []
    for numeral in ("I", "vi", "IV", "V", "iii", "ii"):
        chord = place_chord(numeral, 0, 4, tonic=0, mode="major", colour="triad")
        means.append(np.mean(voicer.notes(chord)))
    assert np.abs(np.diff(means)).max() <= 4


def test_sure_hits_always_sound_and_ghosts_sometimes():
    groove = load_style("pop").grooves[2]
    sure = {(step, key) for step, key, _, probability in groove.hits if probability == 1}
    maybe = {(step, key) for step, key, _, probability in groove.hits if probability < 1}
    counts = dict.fromkeys(maybe, 0)
    for seed in range(40):
        bar = draw_cell(groove, 4, np.random.default_rng(seed)).bars[0]
        played = {(round(beat * 4), key) for beat, key, _ in bar}
        assert sure <= played <= sure | maybe
        for hit in maybe & played:
            counts[hit] += 1
    assert counts
    assert all(2 < count < 38 for count in counts.values())
