"""The files of styles, and what is made of their letters."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.errors import UnknownNameError
from partita_synthesis.composition import load_style, style_names
from partita_synthesis.composition.drum_strokes import STEPS_PER_BEAT
from partita_synthesis.composition.grooves import draw_cell
from partita_synthesis.composition.harmony import (
    place_chord,
    scale_around,
    spell,
    split_bar,
)
from partita_synthesis.composition.style_schema import (
    COLOURS,
    FILLS,
    MODES,
    SECTION_KINDS,
    WORKED_OUT,
)
from partita_synthesis.composition.voicing import Voicer, fold
from partita_synthesis.instruments import instruments
from partita_synthesis.score import ROLES


def test_there_are_styles_enough():
    names = style_names()
    assert len(names) >= 14
    assert names == tuple(sorted(names))
    assert {"pop", "rock", "metal", "hip_hop", "swing", "trance"} <= set(names)
    assert "common" not in names


LETTERS = {
    "bass": "Rr8573daTx-.",
    "comping": "Xxuom-.",
    "riffs": "Xxm-.",
    "arpeggios": "0123456789-.",
}


@pytest.mark.parametrize("name", style_names())
def test_every_file_of_a_style_is_right(name):
    style = load_style(name)
    assert style.name == name
    assert style.beats_per_bar in (3, 4)
    assert 30 <= style.tempo_bpm[0] <= style.tempo_bpm[1] <= 300
    assert 0.5 <= style.swing.ratio[0] <= style.swing.ratio[1] <= 0.75
    assert style.weight > 0
    spans = [style.energy, *(line.energy for key in LETTERS for line in getattr(style, key))]
    spans += [groove.energy for groove in (*style.grooves, *style.percussion)]
    assert all(0 <= least <= most <= 1 for least, most in spans)
    for weights, known in ((style.modes, MODES), (style.colours, COLOURS), (style.fills, FILLS)):
        assert weights.keys() <= set(known)
        assert sum(weights.values()) > 0 <= min(weights.values())
    of_one = (style.surprises, style.key_change, *vars(style.tune).values())
    assert all(0 <= value <= 1 for value in of_one)
    assert all(0 <= value <= 60 for value in vars(style.feel).values())
    assert pickle.loads(pickle.dumps(style)) == style  # it goes to worker processes


@pytest.mark.parametrize("name", style_names())
def test_every_style_has_forms_and_chords(name):
    style = load_style(name)
    assert style.forms
    for form in style.forms:
        assert {"verse", "chorus"} <= set(form) <= set(SECTION_KINDS)
    assert style.progressions.keys() == set(MODES)
    for mode, kinds in style.progressions.items():
        assert {"verse", "chorus"} <= kinds.keys() <= set(SECTION_KINDS)
        for text in (line for lines in kinds.values() for line in lines):
            assert text.split()
            for numeral in (numeral for bar in text.split() for numeral in bar.split(",")):
                spell(numeral, mode, "triad")


@pytest.mark.parametrize("name", style_names())
def test_every_pattern_fills_its_bars(name):
    style = load_style(name)
    bar = style.beats_per_bar * STEPS_PER_BEAT
    for key, letters in LETTERS.items():
        assert getattr(style, key)
        for pattern in getattr(style, key):
            assert pattern.weight > 0
            if key == "bass" and pattern.text in WORKED_OUT:
                continue
            assert set(pattern.text) <= set(letters), pattern.text
            assert len(pattern.text) % bar == 0 < len(pattern.text), pattern.text
            assert pattern.text[0] != "-", "nothing is held yet"
    for groove in (*style.grooves, *style.percussion):
        assert groove.hits
        assert groove.weight > 0
        assert groove.steps % bar == 0


@pytest.mark.parametrize("name", style_names())
def test_every_band_can_play_its_roles(name):
    style = load_style(name)
    assert {"drums", "bass", "chords", "lead", "vocals"} <= style.band.keys() <= set(ROLES)
    for role, seat in style.band.items():
        assert 0 <= seat.probability <= 1 <= seat.most <= 8
        assert all(role in instruments()[instrument].roles for instrument in seat.instruments)
        assert min(seat.instruments.values()) > 0


def test_unknown_style_suggests_near_ones():
    with pytest.raises(UnknownNameError, match="did you mean rock"):
        load_style("rok")


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
