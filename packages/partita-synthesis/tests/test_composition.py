"""Laws of composed songs, over styles, bands, lengths and seeds."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.errors import UnknownNameError, UsageError
from partita_synthesis.composition import compose, load_style, style_names
from partita_synthesis.composition.style_schema import Feel, Pattern
from partita_synthesis.instruments import instruments
from partita_synthesis.score import ROLES, Part, Player, Score

ONE_AT_A_TIME = ("bass", "lead", "vocals")
QUARTET = [
    Player("drums", "standard_kit"),
    Player("bass", "finger_bass"),
    Player("chords", "grand_piano"),
    Player("vocals", "alto"),
]
players = st.builds(Player, st.sampled_from(ROLES), st.sampled_from(sorted(instruments())))


def full_band(name: str) -> list[Player]:
    """Everybody whom the style could invite: all instruments of each role, to its limit."""
    seats = load_style(name).band.items()
    return [
        Player(role, instrument)
        for role, seat in seats
        for instrument in list(seat.instruments)[: seat.most]
    ]


def song(name: str, band, duration_s: float, seed: int = 0, **wishes) -> Score:
    return compose(load_style(name), band, duration_s, np.random.default_rng(seed), **wishes)


def part_of(score: Score, role: str) -> Part:
    return next(part for part in score.parts if part.player.role == role)


def chord_near(score: Score, time_s: float, slack_s: float = 0.06) -> set[int]:
    """Pitch classes of the harmony about a time."""
    return {
        tone
        for chord in score.chords
        if chord.start_s - slack_s <= time_s < chord.start_s + chord.duration_s + slack_s
        for tone in chord.pitch_classes
    }


def check_laws(score: Score, band, duration_s: float) -> None:
    assert score.duration_s == duration_s
    assert [part.player for part in score.parts] == list(band)
    for part in score.parts:
        instrument = instruments()[part.player.instrument]
        for note in part.notes:
            assert instrument.lowest <= note.pitch <= instrument.highest
            assert 1 <= note.velocity <= 127
            assert 0 <= note.start_s < duration_s
            assert note.duration_s > 0
            assert np.isfinite(note.duration_s)
        starts = [note.start_s for note in part.notes]
        assert starts == sorted(starts)
        if part.player.role in ONE_AT_A_TIME:
            for before, after in pairwise(part.notes):
                assert before.start_s + before.duration_s <= after.start_s + 0.02
        if duration_s >= 8:
            assert part.notes
    if band:
        assert any(part.notes for part in score.parts)
    ends = [0.0, *(chord.start_s + chord.duration_s for chord in score.chords)]
    assert np.allclose([chord.start_s for chord in score.chords], ends[:-1], atol=1e-9)
    assert ends[-1] == pytest.approx(duration_s)
    assert all(chord.root in chord.pitch_classes for chord in score.chords)
    assert score.sections[0].start_s == 0
    assert sum(section.duration_s for section in score.sections) == pytest.approx(duration_s)
    assert all(0 <= beat < duration_s for beat in score.beats_s)
    assert all(0 <= section.energy <= 1 for section in score.sections)


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(style_names()),
    band=st.lists(players, max_size=6),
    duration_s=st.floats(0.5, 90),
    seed=st.integers(0, 2**32),
    tempo=st.none() | st.floats(20, 400),
    key=st.none() | st.integers(0, 11),
    mode=st.sampled_from([None, "major", "minor"]),
)
def test_any_instrument_in_any_role_keeps_the_laws(name, band, duration_s, seed, tempo, key, mode):
    score = song(name, band, duration_s, seed, tempo_bpm=tempo, key=key, mode=mode)
    check_laws(score, band, duration_s)
    assert key is None or score.key == key
    assert mode is None or score.mode == mode
    assert tempo is None or score.tempo_bpm == tempo


@pytest.mark.parametrize("name", style_names())
@pytest.mark.parametrize("duration_s", [0.5, 10.0, 150.0])
def test_every_style_plays_with_its_own_band(name, duration_s):
    band = full_band(name)
    score = song(name, band, duration_s, seed=3)
    check_laws(score, band, duration_s)
    low, high = load_style(name).tempo_bpm
    assert low <= score.tempo_bpm <= high


@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=10)
def test_same_seed_same_song(seed):
    band = full_band("pop")
    assert song("pop", band, 12, seed) == song("pop", band, 12, seed)


def test_different_seeds_make_different_songs():
    songs = [song("pop", QUARTET, 20, seed) for seed in range(12)]
    assert len({score.tempo_bpm for score in songs}) == 12
    for role in ("drums", "bass", "chords", "vocals"):
        tunes = {tuple(note.pitch for note in part_of(score, role).notes) for score in songs}
        assert len(tunes) >= 11


def test_another_player_leaves_the_harmony_as_it_was():
    less, more = song("soul", QUARTET[:2], 40), song("soul", QUARTET, 40)
    assert less.chords == more.chords
    assert less.sections == more.sections


@pytest.mark.parametrize("role", ["chords", "pad", "arpeggio"])
@pytest.mark.parametrize("name", ["pop", "metal", "swing", "house", "waltz"])
def test_accompaniment_plays_the_harmony(name, role):
    instrument = {"chords": "clean_guitar", "pad": "warm_pad", "arpeggio": "harp"}[role]
    score = song(name, [Player(role, instrument)], 60, seed=5)
    notes = score.parts[0].notes
    inside = sum(note.pitch % 12 in chord_near(score, note.start_s) for note in notes)
    assert inside == len(notes)


def test_bass_is_mostly_on_roots():
    hits = []
    for name in style_names():
        score = song(name, QUARTET[:2], 30, seed=1)
        starts = np.array([chord.start_s for chord in score.chords])
        for note in part_of(score, "bass").notes:
            chord = score.chords[max(np.searchsorted(starts, note.start_s + 0.05) - 1, 0)]
            hits.append(note.pitch % 12 == chord.root)
    assert np.mean(hits) > 0.65


def test_bass_goes_with_the_bass_drum_more_than_by_chance():
    together, displaced = [], []
    for name in style_names():
        score = song(name, QUARTET[:2], 40, seed=2)
        kicks = np.array([n.start_s for n in part_of(score, "drums").notes if n.pitch == 36])
        bass = np.array([n.start_s for n in part_of(score, "bass").notes])
        beat_s = 60 / score.tempo_bpm
        together += (np.abs(bass[:, None] - kicks).min(1) < 0.035).tolist()
        displaced += (np.abs(bass[:, None] + 0.625 * beat_s - kicks).min(1) < 0.035).tolist()
    assert np.mean(together) > 1.4 * np.mean(displaced)


@pytest.mark.parametrize("line", ["kick", "long"])
def test_a_bass_that_follows_the_bass_drum_plays_roots_with_it(line):
    style = replace(load_style("trance"), bass=(Pattern(line),), fills={"none": 1.0})
    score = compose(style, QUARTET[:2], 30, np.random.default_rng(3))
    drums, bass = part_of(score, "drums").notes, part_of(score, "bass").notes
    kicks = np.array([note.start_s for note in drums if note.pitch == 36])
    changes = np.array([chord.start_s for chord in score.chords])
    for note in bass[:-1]:
        assert min(np.abs(kicks - note.start_s).min(), np.abs(changes - note.start_s).min()) < 0.02
        chord = score.chords[np.searchsorted(changes, note.start_s + 0.05) - 1]
        assert note.pitch % 12 == chord.root


def test_singers_have_words_and_breathe():
    for name in style_names():
        score = song(name, QUARTET, 60, seed=6)
        notes = part_of(score, "vocals").notes
        assert all(note.syllable == "-" or note.syllable.isalpha() for note in notes)
        assert notes[0].syllable != "-"
        breath = 0.0
        for before, after in pairwise(notes):
            if after.start_s - before.start_s - before.duration_s > 0.1:
                breath = after.start_s
            assert after.start_s - breath < 16
            if after.syllable == "-":
                assert after.start_s - before.start_s - before.duration_s < 0.15


def test_singers_stay_within_two_octaves():
    for name in style_names():
        pitches = [note.pitch for note in part_of(song(name, QUARTET, 60), "vocals").notes]
        assert max(pitches) - min(pitches) <= 24


def test_melodies_hold_to_the_harmony_where_it_counts():
    songs = [song(name, QUARTET, 60, seed=7) for name in style_names()]
    long_notes = [
        note.pitch % 12 in chord_near(score, note.start_s)
        for score in songs
        for note in part_of(score, "vocals").notes
        if note.duration_s > 1.3 * 60 / score.tempo_bpm
    ]
    assert len(long_notes) > 100
    assert np.mean(long_notes) > 0.95


def chorus_tunes(score: Score) -> list[set[tuple[int, int, str]]]:
    """Half beat, pitch and syllable of what is sung in each chorus."""
    return [
        {
            (
                round((note.start_s - section.start_s) / 60 * score.tempo_bpm * 2),
                note.pitch,
                note.syllable,
            )
            for note in part_of(score, "vocals").notes
            if -0.1 <= note.start_s - section.start_s < section.duration_s - 0.2
        }
        for section in score.sections
        if section.name == "chorus"
    ]


def test_choruses_come_back_with_their_words():
    alike = []
    for seed in range(8):
        first, second, *_ = chorus_tunes(song("pop", QUARTET, 170, seed))
        alike.append(len(first & second) / max(min(len(first), len(second)), 1))
    assert np.median(alike) > 0.6


def test_parts_rest_in_long_songs():
    resting = []
    for seed in range(4):
        score = song("pop", full_band("pop"), 180, seed)
        for part in score.parts:
            times = [0.0, *(note.start_s for note in part.notes), 180.0]
            resting.append(max(after - before for before, after in pairwise(times)) > 4)
    assert np.mean(resting) > 0.7


def test_short_songs_are_seldom_intros():
    first = Counter(song("rock", QUARTET, 10, seed).sections[0].name for seed in range(60))
    assert first["verse"] + first["chorus"] > 0.6 * 60
    assert first["intro"] < 0.25 * 60


def test_long_songs_have_verses_and_choruses():
    names = {section.name for section in song("rock", QUARTET, 200).sections}
    assert {"verse", "chorus"} <= names


def test_crashes_mark_sections():
    on_sections = others = 0
    for seed in range(6):
        score = song("pop", QUARTET, 120, seed)
        starts = np.array([section.start_s for section in score.sections])
        for note in part_of(score, "drums").notes:
            if note.pitch in (49, 57):
                near = np.abs(starts - note.start_s).min() < 0.05
                on_sections, others = on_sections + near, others + (not near)
    assert on_sections > 15
    assert others <= 6  # the last chord of a song


def test_doubled_guitars_are_not_the_same_take():
    band = [Player("riff", "distortion_guitar")] * 2
    doubled = 0
    for seed in range(12):
        first, second = song("metal", band, 12, seed).parts
        assert first.notes != second.notes
        doubled += Counter(n.pitch for n in first.notes) == Counter(n.pitch for n in second.notes)
    assert doubled >= 3


def test_strums_are_spread():
    exact = Feel(timing_ms=0, velocity=0, drift_percent=0, strum_ms=15)
    style = replace(load_style("folk"), feel=exact)
    notes = (
        compose(style, [Player("chords", "steel_guitar")], 20, np.random.default_rng(2))
        .parts[0]
        .notes
    )
    gaps = np.diff([note.start_s for note in notes])
    assert np.mean(np.abs(gaps - 0.015) < 1e-6) > 0.5


def test_melismas_carry_on_a_note():
    band = [*QUARTET, Player("backing_vocals", "soprano"), Player("backing_vocals", "tenor")]
    carried = 0
    for seed in range(25):
        score = song("soul", band, 16, seed)
        for part in score.parts[3:]:
            end = -1.0
            for note in part.notes:
                if note.syllable == "-":
                    assert note.start_s - end < 0.2
                    carried += 1
                end = note.start_s + note.duration_s
    assert carried > 20


def test_electronic_styles_are_tighter_than_swing():
    def looseness(name: str) -> float:
        score = song(name, QUARTET, 30, seed=1)
        beats = np.array(score.beats_s)
        kicks = [note.start_s for note in part_of(score, "drums").notes if note.pitch == 36]
        distances = [np.abs(beats - kick).min() for kick in kicks]
        return float(np.median([distance for distance in distances if distance < 0.08]))

    assert looseness("trance") < 0.002 < looseness("swing")


def test_a_song_without_players_is_a_plan():
    score = song("pop", [], 5)
    assert score.parts == ()
    assert score.chords


@pytest.mark.parametrize(
    ("duration_s", "wishes", "message"),
    [
        (0.4, {}, "at least 0.5 s"),
        (float("inf"), {}, "at least 0.5 s"),
        (float("nan"), {}, "at least 0.5 s"),
        (5, {"tempo_bpm": 10}, "tempo 10 is not from 20 to 400"),
        (5, {"key": 12}, "key 12 is not from 0"),
    ],
)
def test_refuses_what_makes_no_sense(duration_s, wishes, message):
    with pytest.raises(UsageError, match=message):
        song("pop", QUARTET, duration_s, **wishes)


def test_unknown_names_suggest_known_ones():
    with pytest.raises(UnknownNameError, match="did you mean minor"):
        song("pop", QUARTET, 5, mode="minr")
    with pytest.raises(UnknownNameError, match="did you mean bass"):
        song("pop", [Player("basss", "finger_bass")], 5)
    with pytest.raises(UnknownNameError, match="did you mean banjo"):
        song("pop", [Player("chords", "banjoo")], 5)
