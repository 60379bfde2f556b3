import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.errors import UsageError
from partita.mixing.tempo_key import KEYS, TEMPO_FACTORS, Correction, TempoKey

BEATS = tuple(np.arange(1, 41) * 0.5)
SONG = TempoKey(
    tempo_bpm=120.0, is_tempo_sure=True, beats_s=BEATS, key="A minor", is_key_sure=False,
    other_keys=("C major",),
)  # fmt: skip


def test_nothing_is_corrected_by_default():
    assert SONG.corrected(Correction()) == SONG
    assert not any(SONG.begins_bar(beat) for beat in range(40))


@given(st.sampled_from(TEMPO_FACTORS), st.floats(0, 21))
def test_beats_at_a_multiple_of_the_tempo(factor, one_s):
    found = SONG.corrected(Correction(tempo_factor=factor, one_s=one_s))
    assert found.tempo_bpm == pytest.approx(120 * factor)
    np.testing.assert_allclose(np.diff(found.beats_s), 0.5 / factor, atol=1e-9)
    assert BEATS[0] <= found.beats_s[0] < BEATS[0] + 0.5 / factor + 1e-9
    assert BEATS[-1] >= found.beats_s[-1] > BEATS[-1] - 0.5 / factor - 1e-9
    next_beat = min(BEATS, key=lambda beat: abs(beat - one_s))
    one = found.beats_s[found.one]
    assert abs(one - one_s) == pytest.approx(abs(next_beat - one_s), abs=1e-9) or factor > 1


def test_twice_half_is_every_other_beat():
    half = SONG.corrected(Correction(tempo_factor=0.5, one_s=1.04))
    assert half.beats_s == pytest.approx(BEATS[1::2])
    assert half.one == 0


def test_bars():
    found = SONG.corrected(Correction(beats_in_bar=3, one_s=2.1))
    ones = [found.beats_s[beat] for beat in range(40) if found.begins_bar(beat)]
    assert ones[:3] == pytest.approx([0.5, 2.0, 3.5])


def test_the_tempo_nearest_to_a_persons():
    assert SONG.near(63).tempo_bpm == 60
    assert SONG.near(230).tempo_bpm == 240
    assert SONG.near(118) == SONG
    without = dataclasses.replace(SONG, tempo_bpm=None, beats_s=())
    assert without.near(63) == without
    assert without.corrected(Correction(tempo_factor=2, one_s=1.0)) == without


def test_a_key_that_a_person_names_is_sure():
    found = SONG.corrected(Correction(key="F# major"))
    assert (found.key, found.is_key_sure) == ("F# major", True)
    assert len({*KEYS}) == 24


@pytest.mark.parametrize(
    "values", [{"tempo_factor": 8.0}, {"key": "H moll"}, {"beats_in_bar": 1}, {"one_s": -1.0}]
)
def test_what_cannot_be_is_refused(values):
    with pytest.raises(UsageError, match=next(iter(values))):
        Correction(**values)


def test_it_goes_through_json():
    text = json.dumps(dataclasses.asdict(SONG))
    assert TempoKey.from_json(json.loads(text)) == SONG
