import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.mixing.click import ClickTrack
from partita.mixing.tempo_key import Correction, TempoKey

RATE = 8000
SONG = TempoKey(
    tempo_bpm=150.0, is_tempo_sure=True, beats_s=(0.0, 0.4, 0.8, 1.2, 1.6), key=None,
    is_key_sure=False,
).corrected(Correction(one_s=0.4, beats_in_bar=3))  # fmt: skip
WHOLE = ClickTrack(SONG, RATE).block(0, 2 * RATE)


def test_a_click_begins_on_each_beat_and_is_short():
    for beat in SONG.beats_s:
        start = round(beat * RATE)
        assert np.abs(WHOLE[start : start + 80]).max() == pytest.approx(1.0)
        assert np.abs(WHOLE[start + 800 : start + 3200]).max() == 0


def test_bars_begin_higher():
    def pitch(beat):
        start = round(beat * RATE)
        return np.abs(np.fft.rfft(WHOLE[start : start + 400], 8000)).argmax()

    assert [pitch(beat) for beat in SONG.beats_s] == pytest.approx(
        [1000, 1500, 1000, 1000, 1500], abs=30
    )


@settings(max_examples=20)
@given(st.lists(st.integers(0, 16_000), max_size=8))
def test_blocks_add_up_to_the_track(cuts):
    track = ClickTrack(SONG, RATE)
    edges = [0, *sorted(cuts), len(WHOLE)]
    blocks = [track.block(start, end - start) for start, end in itertools.pairwise(edges)]
    assert np.array_equal(np.concatenate(blocks), WHOLE)
