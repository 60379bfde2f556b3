import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita_synthesis.instruments import instruments
from partita_synthesis.score import Note, Part, Player
from partita_synthesis.singing import sing
from partita_synthesis.singing.phonemes import VOWELS, parse_syllable

RATE = 44100
VOICES = ("soprano", "alto", "tenor", "baritone")
KEYS = {"soprano": (67, 72), "alto": (62, 67), "tenor": (55, 60), "baritone": (48, 53)}


def voice(notes, *, name="tenor", duration_s=3.0, rate=RATE, seed=1, **options):
    part = Part(Player("vocals", name), tuple(notes))
    rng = np.random.default_rng(seed)
    return sing(part, instruments()[name], duration_s, rate, rng, **options)[0]


def pitch_hz(samples, rate, expected_hz):
    """Return the pitch near an expected one, from the autocorrelation."""
    power = np.square(np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 4 * len(samples))))
    alike = np.fft.irfft(power)
    # The peaks at multiples of the period tell it more exactly.
    periods = rate / expected_hz * np.exp2(np.linspace(-1, 1, 401) / 12)
    axis = np.arange(len(alike))
    score = sum(np.interp(multiple * periods, axis, alike) for multiple in (1, 2, 3, 4))
    return rate / periods[np.argmax(score)]


def level_db(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20)


def part_above(samples, rate, edge_hz):
    power = np.square(np.abs(np.fft.rfft(samples)))
    return power[round(edge_hz * len(samples) / rate) :].sum() / power.sum()


def seeds_that_sing(count):
    """Return seeds of tenors who neither whisper nor rap."""
    from partita_synthesis.singing.singer import draw_singer

    singers = ((seed, draw_singer("tenor", np.random.default_rng(seed))) for seed in range(100))
    return [seed for seed, one in singers if one.voicing == 1 and not one.speaks][:count]


@pytest.mark.parametrize("name", VOICES)
def test_pitch_is_that_of_the_notes(name):
    low, high = KEYS[name]
    notes = [Note(0.2, 1.2, low, 90, "la"), Note(1.5, 1.2, high, 90, "na")]
    off_cents = []
    for seed in seeds_that_sing(3):
        samples = voice(notes, name=name, seed=seed)
        for note in notes:
            expected = 440 * 2 ** ((note.pitch - 69) / 12)
            begin = round((note.start_s + 0.45) * RATE)
            # Short frames, since what vibrato stays longest at is its turning points.
            frames = samples[begin : begin + 12 * 2205].reshape(12, 2205)
            found = [pitch_hz(frame, RATE, expected) for frame in frames]
            off_cents.append(np.mean(1200 * np.log2(np.array(found) / expected)))
    assert np.max(np.abs(off_cents)) < 50


def test_tuning_moves_the_pitch():
    notes = [Note(0.2, 1.5, 57, 90, "ah")]
    steady = slice(round(0.6 * RATE), round(1.6 * RATE))
    plain, sharp = (
        pitch_hz(voice(notes, tuning_cents=cents)[steady], RATE, 220) for cents in (0, 40)
    )
    assert 1200 * np.log2(sharp / plain) == pytest.approx(40, abs=2)


def test_silent_where_nobody_sings():
    samples = voice([Note(1.0, 0.5, 57, 90, "la")], duration_s=4.0)
    assert not samples[round(1.7 * RATE) :].any()
    assert not samples[: round(0.2 * RATE)].any()
    assert level_db(samples[round(1.1 * RATE) : round(1.4 * RATE)]) > -35


@pytest.mark.parametrize("syllable", ["la", "na", "ta", "sha", "ah", "ha", "ki"])
def test_vowels_start_on_the_notes(syllable):
    notes = [Note(start, 0.3, 57, 90, syllable) for start in (0.5, 1.2, 1.9, 2.6)]
    late = []
    for seed in seeds_that_sing(3):
        samples = voice(notes, seed=seed)
        # Vowels are what is loud below 1200 Hz.
        spectrum = np.fft.rfft(samples)
        spectrum[np.fft.rfftfreq(len(samples), 1 / RATE) > 1200] = 0
        low = np.square(np.fft.irfft(spectrum, len(samples)))
        smooth = np.convolve(low, np.hanning(round(0.02 * RATE)), "same")
        for note in notes:
            begin = round((note.start_s - 0.2) * RATE)
            local = smooth[begin : begin + round(0.45 * RATE)]
            late.append(np.argmax(local > 0.25 * np.median(local[-RATE // 5 :])) / RATE - 0.2)
    # Those are voiced themselves, or hiss where vowels do.
    edge_s = 0.1 if syllable in ("la", "na", "ha") else 0.03
    assert np.max(late) < 0.03
    assert np.min(late) > -edge_s


def test_hissing_consonants_hiss():
    def before_note(syllable):
        samples = voice([Note(1.0, 0.6, 57, 90, syllable)], seed=seeds_that_sing(1)[0])
        return samples[round(0.9 * RATE) : round(0.97 * RATE)]

    assert part_above(before_note("sa"), RATE, 4000) > 0.5
    assert part_above(before_note("ma"), RATE, 4000) < 0.05


def test_stops_are_preceded_by_a_gap():
    notes = [Note(0.5, 0.5, 57, 90, "la"), Note(1.0, 0.5, 57, 90, "ta")]
    samples = voice(notes, seed=seeds_that_sing(1)[0])
    frames = samples[round(0.85 * RATE) : RATE].reshape(-1, 147)
    assert min(level_db(frame) for frame in frames) < level_db(samples[: 2 * RATE]) - 25


def test_melisma_sings_on():
    notes = [Note(0.5, 0.5, 57, 90, "sa"), Note(1.0, 0.5, 60, 90, "-")]
    seed = seeds_that_sing(1)[0]
    samples = voice(notes, seed=seed)
    again = voice([notes[0], Note(1.0, 0.5, 60, 90, "sa")], seed=seed)
    before = slice(round(0.92 * RATE), round(0.97 * RATE))
    assert part_above(samples[before], RATE, 5000) < 0.1 * part_above(again[before], RATE, 5000)


def test_vowels_differ():
    """F2 of "ee" is far above that of "oo"."""

    def second_formant_band(syllable):
        samples = voice([Note(0.2, 1.5, 48, 90, syllable)], seed=seeds_that_sing(1)[0])
        power = np.square(np.abs(np.fft.rfft(samples[RATE // 2 : 3 * RATE // 2])))
        return power[1600:2600].sum() / power[:1200].sum()

    assert second_formant_band("ee") > 20 * second_formant_band("oo")


def test_louder_is_brighter():
    seed = seeds_that_sing(1)[0]
    soft, loud = (
        voice([Note(0.2, 1.5, 55, velocity, "ah")], seed=seed)[RATE // 2 : RATE]
        for velocity in (50, 120)
    )
    assert part_above(loud, RATE, 2000) > 1.5 * part_above(soft, RATE, 2000)


def test_seeds_tell_singers_apart_and_nothing_else_does():
    notes = [Note(0.5, 0.6, 57, 90, "la"), Note(1.2, 0.8, 60, 90, "so")]
    first, again, other = (voice(notes, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(np.corrcoef(first, other)[0, 1]) < 0.9


def test_nothing_to_sing():
    rng = np.random.default_rng(0)
    part = Part(Player("vocals", "alto"), ())
    assert not sing(part, instruments()["alto"], 0.5, RATE, rng).any()
    beyond = [Note(0.6, 1.0, 60, 90, "la"), Note(-1.0, 0.5, 60, 90, "la")]
    assert not voice(beyond, name="alto", duration_s=0.5).any()


def test_of_a_chord_the_highest_note_is_sung():
    chord = [Note(0.3, 1.0, key, 90, "la") for key in (48, 52, 55)]
    seed = seeds_that_sing(1)[0]
    np.testing.assert_array_equal(voice(chord, seed=seed), voice(chord[-1:], seed=seed))


any_note = st.builds(
    Note,
    start_s=st.floats(0, 2.5),
    duration_s=st.floats(0.001, 3),
    pitch=st.integers(0, 127),
    velocity=st.integers(1, 127),
    syllable=st.sampled_from(["", "la", "-", "oo", "strengths", "s", "Yeah!", "ng", "ça", "x"]),
)


@settings(max_examples=40, deadline=None)
@given(
    notes=st.lists(any_note, max_size=12),
    duration_s=st.sampled_from([0.01, 0.5, 2.0]),
    rate=st.sampled_from([16000, 22050, 48000]),
    name=st.sampled_from(VOICES),
    seed=st.integers(0, 1000),
)
def test_whatever_is_sung_is_sound(notes, duration_s, rate, name, seed):
    part = Part(Player("vocals", name), notes)
    rng = np.random.default_rng(seed)
    samples = sing(part, instruments()[name], duration_s, rate, rng)
    assert samples.shape == (1, round(duration_s * rate))
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()
    assert np.abs(samples).max(initial=0) < 1


@pytest.mark.parametrize(
    ("text", "onset", "vowels", "coda"),
    [
        ("la", 1, "a", 0),
        ("oo", 0, "u", 0),
        ("ah", 0, "a", 0),
        ("sha", 1, "a", 0),
        ("ta", 3, "a", 0),
        ("wi", 1, "i", 0),
        ("day", 2, "ei", 0),
        ("down", 2, "au", 1),
        ("song", 1, "o", 1),
        ("her", 1, "r", 0),
        ("", 0, "a", 0),
        ("mm", 2, "a", 0),
    ],
)
def test_syllables(text, onset, vowels, coda):
    syllable = parse_syllable(text)
    assert len(syllable.onset) == onset
    assert syllable.vowels == tuple(VOWELS[letter] for letter in vowels)
    assert len(syllable.coda) == coda
