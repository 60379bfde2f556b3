import logging

import numpy as np
import pytest

from partita.errors import AudioReadError, UnknownNameError
from partita_synthesis import SynthesisSettings
from partita_synthesis.composition import load_style
from partita_synthesis.instruments import instruments
from partita_synthesis.score_writers import Wish, open_writer
from partita_synthesis.stems import StemPlan

STEMS = ("drums", "bass")


def write(wish, styles=(), seeds=range(30)):
    writer = open_writer(SynthesisSettings(STEMS, styles=styles))
    plan, playable = StemPlan(STEMS), instruments().keys()
    return [writer.write(plan, playable, 1.0, np.random.default_rng(seed), wish) for seed in seeds]


def test_unknown_style_names_all_that_are_known():
    with pytest.raises(UnknownNameError, match=r"unknown style '#'; known: .*\bmma\b.*rock"):
        open_writer(SynthesisSettings(STEMS, styles=("pop", "#")))


def test_popular_styles_are_drawn_more_often():
    styles = [score.style for score in write(Wish(), ("rock", "waltz"), range(60))]
    assert styles.count("rock") > 2 * styles.count("waltz") > 0  # 3 : 0.7
    assert load_style("rock").weight > load_style("house").weight > load_style("waltz").weight
    assert {score.style for score in write(Wish(), ("swing",), range(3))} == {"swing"}


@pytest.mark.parametrize("tempo", [52.0, 87.0, 104.0, 132.0, 174.0])
def test_tempo_wished_for(tempo):
    for score in write(Wish(tempo)):
        octaves = [score.tempo_bpm / tempo * octave for octave in (0.5, 1, 2)]
        assert min(abs(ratio - 1) for ratio in octaves) < 0.0501
        slowest, fastest = load_style(score.style).tempo_bpm
        assert slowest <= score.tempo_bpm <= fastest
        assert load_style(score.style).beats_per_bar == 4


def test_styles_asked_for_matter_more_than_wishes():
    for score in write(Wish(60.0), ("waltz", "punk"), range(5)):
        assert score.style in ("waltz", "punk")
        slowest, fastest = load_style(score.style).tempo_bpm
        assert slowest <= score.tempo_bpm <= fastest


def test_key_wished_for():
    assert {(score.key, score.mode) for score in write(Wish(None, 3, "minor"))} == {(3, "minor")}
    assert len({(score.key, score.mode) for score in write(Wish())}) > 8


def test_midi_files_of_which_none_can_be_read(tmp_path, caplog):
    for name in ("a.mid", "b.mid"):
        (tmp_path / name).write_bytes(b"nothing")
    with caplog.at_level(logging.WARNING), pytest.raises(AudioReadError, match=r"a\.mid"):
        open_writer(SynthesisSettings(STEMS, midi=str(tmp_path)))
