"""Synthesised basses, leads and pads: in tune, clean, and silent where nobody plays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.errors import UsageError
from partita_synthesis.electronic import play_electronic
from partita_synthesis.electronic.envelopes import Envelope
from partita_synthesis.electronic.oscillators import Timbre, pulse, sawtooth
from partita_synthesis.electronic.patches import Layer, Movement, Patch, Voice, play_patch
from partita_synthesis.instruments import instruments
from partita_synthesis.score import Note, Part, Player

RATE = 44100
TONAL = [name for name, line in instruments().items() if line.synthesis in ("bass", "lead", "pad")]


def play(name, notes, *, seconds=1.0, rate=RATE, seed=0, **options):
    part = Part(Player("lead", name), notes)
    rng = np.random.default_rng(seed)
    return play_electronic(part, instruments()[name], seconds, rate, rng, **options)


def spectrum(wave, rate=RATE):
    """Return frequencies and powers of a windowed stretch."""
    powers = np.abs(np.fft.rfft(wave * np.blackman(wave.size))) ** 2
    return np.fft.rfftfreq(wave.size, 1 / rate), powers


def cents_off(wave, hertz, *, within=60, rate=RATE):
    """Return how far above `hertz` the power near it lies, in the mean."""
    frequencies, powers = spectrum(wave, rate)
    cents = 1200 * np.log2(np.maximum(frequencies, 1.0) / hertz)
    near = np.abs(cents) < within
    return np.sum(cents[near] * powers[near]) / np.sum(powers[near])


def steady(layer):
    """Return a patch without any movement."""
    still = Envelope(0.01, 1.0, 1.0, 0.05)
    return Patch([layer], still, Movement(still, 1.0, 0.0))


@pytest.mark.parametrize("name", TONAL)
def test_every_instrument_plays_at_a_sane_level_and_only_when_it_should(name):
    notes = [Note(0.5, 1.0, pitch, 100) for pitch in (48, 52, 55)[: 1 + ("bass" not in name) * 2]]
    wave = play(name, notes, seconds=4.5)
    assert wave.dtype == np.float32
    assert wave.shape[0] in (1, 2)
    assert wave.shape[1] == round(4.5 * RATE)
    assert np.isfinite(wave).all()
    assert not wave[:, : RATE // 2 - 1].any()
    assert not wave[:, -RATE:].any()
    playing = wave[:, round(0.9 * RATE) : round(1.5 * RATE)]
    assert -35 < 10 * np.log10(np.mean(playing**2)) < -10
    assert np.abs(wave).max() < 1.5


@pytest.mark.parametrize("name", TONAL)
def test_every_instrument_is_in_tune(name):
    # Detuned voices beat: their mean is seen only over many beats, in many sounds.
    off = [
        cents_off(play(name, [Note(0.0, 2.0, 69, 100)], seconds=2.0, seed=seed).mean(0), 440.0)
        for seed in range(12)
    ]
    assert abs(np.mean(off)) < 2


@pytest.mark.parametrize("cents", [0.0, 37.0, -50.0])
def test_a_single_voice_has_the_pitch_of_its_note_to_the_cent(cents):
    rng = np.random.default_rng(0)
    patch = steady(Layer(Timbre(sawtooth())))
    wave = play_patch([Note(0, 4, 69, 100)], patch, 4.0, RATE, rng, tuning_cents=cents)[0]
    assert cents_off(wave[RATE // 10 :], 440 * 2 ** (cents / 1200)) == pytest.approx(0, abs=0.5)


def test_tuning_moves_whole_instruments():
    notes = [Note(0.0, 2.0, 69, 100)]
    low, high = (
        play("square_lead", notes, seconds=2.0, tuning_cents=cents).mean(0) for cents in (-30, 30)
    )
    difference = cents_off(high, 440, within=100) - cents_off(low, 440, within=100)
    assert difference == pytest.approx(60, abs=5)


@pytest.mark.parametrize("shape", [sawtooth(), pulse(0.3)], ids=["sawtooth", "pulse"])
@pytest.mark.parametrize("rate", [16000, 44100, 48000])
@pytest.mark.parametrize("pitch", [84, 101])
def test_high_notes_do_not_alias(shape, rate, pitch):
    rng = np.random.default_rng(0)
    layer = Layer(Timbre(shape))
    wave = play_patch([Note(0, 2, pitch, 127)], steady(layer), 2.0, rate, rng)[0]
    frequencies, powers = spectrum(wave[rate // 4 : rate // 4 + rate], rate)
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    distance = np.abs(frequencies - hertz * np.maximum(1, np.round(frequencies / hertz)))
    aliases = powers[distance > 10].sum() / powers.sum()
    assert 10 * np.log10(aliases) < -60


def test_notes_above_what_the_rate_can_hold_are_silent():
    rng = np.random.default_rng(0)
    layer = Layer(Timbre(sawtooth()))
    wave = play_patch([Note(0, 1, 127, 127)], steady(layer), 1.0, 16000, rng)
    assert not wave.any()


def test_bending_notes_do_not_alias_either():
    rng = np.random.default_rng(0)
    still = Envelope(0.01, 1.0, 1.0, 0.05)
    patch = Patch(
        [Layer(Timbre(sawtooth()))], still, Movement(still, 1.0, 0.0), glide_s=1.0, is_mono=True
    )
    notes = [Note(0.0, 0.5, 96, 100), Note(0.5, 1.0, 72, 100)]
    wave = play_patch(notes, patch, 1.5, 44100, rng)[0]
    start = round(0.51 * RATE)
    frequencies, powers = spectrum(wave[start : start + 2048])
    lowest = 440 * 2 ** ((72 - 69) / 12)
    assert powers[frequencies < 0.8 * lowest].sum() < 1e-4 * powers.sum()


def test_a_mono_patch_glides_from_a_tied_note_and_plays_one_note_at_a_time():
    rng = np.random.default_rng(0)
    still = Envelope(0.005, 1.0, 1.0, 0.01)
    patch = Patch(
        [Layer(Timbre(sawtooth()[:, :1] * np.eye(1, 1024)))],
        still,
        Movement(still, 1.0, 0.0),
        glide_s=0.4,
        is_mono=True,
    )
    notes = [Note(0.0, 3.0, 60, 100), Note(1.0, 2.0, 72, 100)]
    wave = play_patch(notes, patch, 3.0, RATE, rng)[0]
    frequencies, powers = spectrum(wave[round(1.5 * RATE) : round(2.9 * RATE)])
    assert frequencies[powers.argmax()] == pytest.approx(523.25, rel=0.003)
    assert powers[np.abs(frequencies - 261.6) < 20].sum() < 1e-5 * powers.sum()
    frequencies, powers = spectrum(wave[round(1.02 * RATE) : round(1.1 * RATE)])
    assert 262 < frequencies[powers.argmax()] < 500


@settings(max_examples=25, deadline=None)
@given(
    attack=st.floats(0.001, 1),
    decay=st.floats(0.01, 4),
    sustain=st.floats(0, 1),
    release=st.floats(0.01, 2),
    gate=st.floats(0, 3),
)
def test_envelopes_stay_between_silence_and_full_and_end_silent(
    attack, decay, sustain, release, gate
):
    envelope = Envelope(attack, decay, sustain, release)
    times = np.linspace(0, gate + release, 500)
    values = envelope.at(times, gate)
    assert values[0] == 0
    assert values[-1] == pytest.approx(0, abs=1e-9)
    assert values.min() > -1e-9
    assert values.max() <= 1 + 1e-9
    after = values[times >= gate]
    assert (np.diff(after) <= 1e-12).all()


def test_voices_sound_from_where_they_are_panned():
    layer = Layer(Timbre(sawtooth()), voices=(Voice(0.0, pan=-1.0),))
    rng = np.random.default_rng(0)
    left, right = play_patch([Note(0, 1, 60, 100)], steady(layer), 1.0, RATE, rng)
    assert np.abs(left).max() > 0.05
    assert np.abs(right).max() < 1e-6


@pytest.mark.parametrize("name", ["saw_bass", "saw_lead", "choir_pad", "drum_machine"])
def test_equal_seeds_give_equal_samples_and_others_another_sound(name):
    notes = [Note(0.0, 0.6, 43, 100)]
    first, again = play(name, notes), play(name, notes)
    np.testing.assert_array_equal(first, again)
    powers = [
        spectrum(play(name, notes, seed=seed).mean(0))[1][:8000].reshape(80, -1).sum(1)
        for seed in range(3)
    ]
    levels = [10 * np.log10(power / power.sum() + 1e-9) for power in powers]
    assert np.abs(levels[0] - levels[1]).max() > 3
    assert np.abs(levels[0] - levels[2]).max() > 3


@pytest.mark.parametrize("name", ["saw_bass", "saw_lead", "sweep_pad", "drum_machine"])
@settings(max_examples=8, deadline=None)
@given(
    notes=st.lists(
        st.builds(
            Note,
            start_s=st.floats(0, 2),
            duration_s=st.floats(0, 3),
            pitch=st.integers(0, 127),
            velocity=st.integers(1, 127),
        ),
        max_size=6,
    ),
    seconds=st.sampled_from([0.001, 0.5, 1.0]),
    rate=st.sampled_from([16000, 22050, 48000]),
    seed=st.integers(0, 50),
)
def test_whatever_is_played_gives_that_many_finite_samples(name, notes, seconds, rate, seed):
    notes = sorted(notes, key=lambda note: note.start_s)
    wave = play(name, notes, seconds=seconds, rate=rate, seed=seed)
    assert wave.shape[0] in (1, 2)
    assert wave.shape[1] == round(seconds * rate)
    assert wave.dtype == np.float32
    assert np.isfinite(wave).all()


def test_an_empty_part_is_silent():
    assert not play("warm_pad", []).any()


def test_other_instruments_are_refused_in_one_line():
    with pytest.raises(UsageError, match="violin: no electronic instrument") as caught:
        play("violin", [])
    assert "\n" not in str(caught.value)
