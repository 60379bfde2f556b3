"""What plays a part."""

from pathlib import Path

import numpy as np
import pytest

from partita_synthesis.instruments import instruments
from partita_synthesis.score import Note, Part, Player
from partita_synthesis.soundfonts import SoundFont
from partita_synthesis.sounds import Palette, draw_sound, play

GENERAL = frozenset(range(128))


def palette(fonts):
    return Palette(
        [SoundFont(Path(f"{n}.sf2"), f"font {n}", "MIT", GENERAL, GENERAL) for n in range(fonts)],
        [],
    )


def drawn(role, instrument, fonts, count=300):
    return [
        draw_sound(Player(role, instrument), palette(fonts), np.random.default_rng(seed))
        for seed in range(count)
    ]


@pytest.mark.parametrize("fonts", [1, 4])
def test_own_synthesis_plays_as_often_whatever_is_installed(fonts):
    sounds = drawn("bass", "saw_bass", fonts)
    own = sum(sound.source is None for sound in sounds)
    assert own == pytest.approx(0.7 * 300, abs=30)
    assert {sound.name for sound in sounds if sound.source} == {f"font {n}" for n in range(fonts)}


def test_without_soundfonts_own_synthesis_plays_all_it_can():
    nothing = Palette([], [])
    playable = nothing.playable()
    assert {"saw_bass", "tenor", "drum_machine", "warm_pad"} <= playable
    assert "grand_piano" not in playable
    assert all(sound.source is None for sound in drawn("pad", "warm_pad", 0, 20))
    assert {instruments()[name].synthesis for name in playable} == {
        "bass", "lead", "pad", "drums", "voice"
    }  # fmt: skip


def test_distorted_guitars_are_mostly_clean_ones_through_an_amplifier():
    sounds = drawn("riff", "distortion_guitar", 1)
    clean = [sound for sound in sounds if sound.instrument.name != "distortion_guitar"]
    assert 0.6 * 300 < len(clean) < 0.9 * 300
    assert all(sound.amplifier == "lead" for sound in clean)


def test_the_end_is_faded():
    part = Part(Player("bass", "saw_bass"), [Note(0.1, 5.0, 40, 100)])
    sound = draw_sound(part.player, Palette([], []), np.random.default_rng(0))
    samples = play(part, sound, 1.0, 16000, np.random.default_rng(3))
    assert samples.shape[1] == 16000
    assert np.abs(samples[:, :1500]).max() == 0
    assert np.abs(samples[:, -400:-200]).max() > 0.01
    assert np.abs(samples[:, -1]).max() < 1e-3
