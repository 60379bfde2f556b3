"""Music from elsewhere, for the stems that are asked for."""

import numpy as np

from partita_synthesis.arranging import arrange
from partita_synthesis.instruments import instruments
from partita_synthesis.score import Note, Part, Player, Score
from partita_synthesis.stems import StemPlan

EVERYTHING = frozenset(instruments())


def part(role, instrument, *pitches):
    notes = [Note(index / 2, 0.5, pitch, 90) for index, pitch in enumerate(pitches)]
    return Part(Player(role, instrument), notes)


def score(*parts):
    return Score("midi", 120.0, 0, "major", 10.0, [], [], [], parts)


BAND = score(
    part("drums", "standard_kit", 36, 38, 36, 38),
    part("bass", "finger_bass", 33, 33, 40, 40),
    part("lead", "alto_saxophone", 60, 62, 64, 65),
    part("chords", "grand_piano", 60, 64, 67),
)


def arranged(stems, songs=BAND, playable=EVERYTHING, seed=0):
    plan = StemPlan(stems)
    found = arrange(songs, plan, playable, np.random.default_rng(seed))
    return found, plan


def test_parts_go_to_their_stems():
    for seed in range(20):
        found, plan = arranged(["drums", "bass", "rest"], seed=seed)
        assert len(found.parts) == len(BAND.parts)
        stems = [plan.owners[each.player.instrument] for each in found.parts]
        assert stems == ["drums", "bass", "rest", "rest"]
        assert [each.player.role for each in found.parts] == [
            each.player.role for each in BAND.parts
        ]


def test_instruments_change_within_their_kind():
    basses = {arranged(["bass", "rest"], seed=seed)[0].parts[1].player.instrument
              for seed in range(40)}  # fmt: skip
    assert len(basses) > 2
    assert all("bass" in instruments()[name].words for name in basses)


def test_stem_without_a_part_gets_one():
    for seed in range(10):
        found, plan = arranged(["vocals", "drums", "bass", "other"], seed=seed)
        (sung,) = [each for each in found.parts if plan.owners[each.player.instrument] == "vocals"]
        assert all(note.syllable for note in sung.notes)
        singer = instruments()[sung.player.instrument]
        assert all(singer.lowest <= note.pitch <= singer.highest for note in sung.notes)
        assert len(found.parts) == len(BAND.parts)


def test_parts_that_belong_nowhere_go():
    found, plan = arranged(["piano"])
    assert [plan.owners[each.player.instrument] for each in found.parts] == ["piano"]


def test_nobody_can_play_drums():
    tune = score(part("lead", "violin", 70, 72), part("chords", "grand_piano", 60, 64))
    assert arranged(["drums", "rest"], tune)[0] is None


def test_what_cannot_be_played_is_given_away():
    found, _ = arranged(["synth"], playable={"saw_lead", "warm_pad"})
    assert {each.player.instrument for each in found.parts} <= {"saw_lead", "warm_pad"}


def test_pitches_move_into_range_by_octaves():
    low = score(part("lead", "grand_piano", 30, 32, 35, 37))
    found, _ = arranged(["flute"], low)
    (tune,) = found.parts
    flute = instruments()[tune.player.instrument]
    assert all(flute.lowest <= note.pitch <= flute.highest for note in tune.notes)
    assert [note.pitch % 12 for note in tune.notes] == [30 % 12, 32 % 12, 35 % 12, 37 % 12]


def test_chords_become_a_line_when_sung():
    notes = [Note(0, 1, 60, 90), Note(0, 1, 64, 90), Note(0.01, 1, 67, 90), Note(0.8, 1, 65, 90)]
    tune = score(Part(Player("backing_vocals", "grand_piano"), notes))
    found, _ = arranged(["vocals"], tune)
    (sung,) = found.parts
    assert [note.start_s for note in sung.notes] == [0, 0.8]
    assert sung.notes[0].duration_s == 0.8


def test_empty_parts_are_left_out():
    found, _ = arranged(["rest"], score(part("lead", "violin"), part("pad", "warm_pad", 60)))
    assert len(found.parts) == 1
