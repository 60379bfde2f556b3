import importlib
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.errors import UsageError
from partita_synthesis._sample_cache import SampleCache
from partita_synthesis.instruments import instruments
from partita_synthesis.score import Note, Part, Player
from partita_synthesis.soundfonts import find_soundfonts, open_soundfont, play_part
from soundfont_file import tiny_soundfont

PIANO = instruments()["grand_piano"]
KIT = instruments()["standard_kit"]
RATES = st.sampled_from([16_000, 22_050, 44_100, 48_000])


@pytest.fixture(scope="module")
def font(tmp_path_factory):
    return open_soundfont(tiny_soundfont(tmp_path_factory.mktemp("font") / "tiny.sf2"))


def play(font, notes, duration_s=1.0, rate=44_100, instrument=PIANO, **options):
    part = Part(Player("lead", instrument.name), notes)
    return play_part(part, instrument, font, duration_s, rate, **options)


def hertz(audio, rate):
    """The strongest frequency, between the bins."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 8 * len(audio)))
    return spectrum.argmax() * rate / (8 * len(audio))


def onset_s(audio, rate):
    return np.flatnonzero(np.abs(audio) > 0.1 * np.abs(audio).max())[0] / rate


def test_header_says_what_it_is_and_plays(font):
    assert font.name == "Tiny"
    assert font.licence == "nobody's"
    assert (font.programs, font.kits) == ({0}, {0})
    assert font.can_play(PIANO)
    assert font.can_play(KIT)
    assert not font.can_play(instruments()["trumpet"])
    assert pickle.loads(pickle.dumps(font)) == font


def test_a_is_440_hertz(font):
    assert hertz(play(font, [Note(0, 1, 69, 100)])[0], 44_100) == pytest.approx(440, rel=1e-3)


@given(key=st.integers(40, 90), rate=RATES, cents=st.floats(-60, 60))
@settings(max_examples=30)
def test_every_key_is_in_tune_at_every_rate(font, key, rate, cents):
    audio = play(font, [Note(0, 1, key, 100)], rate=rate, tuning_cents=cents)
    expected = 440 * 2 ** ((key - 69 + cents / 100) / 12)
    assert hertz(audio[0], rate) == pytest.approx(expected, rel=3e-3)


@given(start_s=st.floats(0, 0.9), rate=RATES)
@settings(max_examples=30)
def test_notes_begin_when_they_are_written(font, start_s, rate):
    audio = play(font, [Note(start_s, 0.2, 69, 100)], rate=rate)
    assert onset_s(audio[0], rate) == pytest.approx(start_s, abs=0.005)
    assert not audio[:, : int(start_s * rate)].any()


def test_long_songs_do_not_drift(font):
    audio = play(font, [Note(599.25, 0.2, 69, 100)], 600, 16_000)
    assert onset_s(audio[0], 16_000) == pytest.approx(599.25, abs=0.005)


def test_half_the_velocity_is_twelve_decibels_softer(font):
    loud, soft = (np.abs(play(font, [Note(0, 1, 69, v)])).max() for v in (126, 63))
    assert loud / soft == pytest.approx(4, rel=0.01)


def test_a_note_ends_soon_after_it_is_let_go(font):
    audio = play(font, [Note(0, 0.3, 69, 100)])[0]
    assert np.abs(audio[int(0.25 * 44_100) : int(0.29 * 44_100)]).max() > 0.1
    assert np.abs(audio[int(0.45 * 44_100) :]).max() < 1e-4


def test_loops_sound_as_long_as_the_note(font):
    audio = play(font, [Note(0, 5, 69, 100)], 5)[0]  # ten times the sample
    assert np.abs(audio[int(4.8 * 44_100) : int(4.9 * 44_100)]).max() > 0.1
    assert np.abs(np.diff(audio)).max() < 0.05  # no clicks where it goes round


def test_what_sounds_at_the_end_is_faded(font):
    audio = play(font, [Note(0, 9, 69, 127)], 0.5)
    assert audio.shape == (1, 22_050)
    assert audio[0, -1] == 0
    assert np.abs(audio[0, -3:]).max() < 0.02


def test_a_hit_chokes_the_last_of_its_class(font):
    notes = [Note(0, 1, 69, 127), Note(0.5, 1, 81, 1)]
    choked = play(font, notes, instrument=KIT)[0]
    held = play(font, notes)[0]
    assert (
        np.abs(choked[int(0.51 * 44_100) :]).max() < 0.01 < np.abs(held[int(0.51 * 44_100) :]).max()
    )


@given(
    notes=st.lists(
        st.builds(
            Note,
            st.floats(-1, 2),
            st.floats(0, 3),
            st.integers(0, 127),
            st.integers(1, 127),
        ),
        max_size=12,
    ),
    duration_s=st.sampled_from([0.001, 0.5, 1.3]),
    instrument=st.sampled_from([PIANO, KIT]),
)
@settings(max_examples=40)
def test_anything_is_played_without_harm(font, notes, duration_s, instrument):
    before = list(notes)
    audio = play(font, notes, duration_s, 16_000, instrument)
    assert audio.shape == (1, round(duration_s * 16_000))
    assert audio.dtype == np.float32
    assert np.isfinite(audio).all()
    assert notes == before


def test_parts_add_up(font):
    notes = [Note(0.1, 0.3, 60, 80), Note(0.2, 0.3, 64, 90), Note(0.2, 0.5, 60, 20)]
    together = play(font, notes)
    alone = sum(play(font, [note]) for note in notes)
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_silence_is_silent(font):
    assert not play(font, []).any()


def test_threads_play_the_same(font):
    notes = [Note(0.05 * i, 0.2, 50 + i, 40 + 5 * i) for i in range(16)]
    with ThreadPoolExecutor(4) as pool:
        played = list(pool.map(lambda _: play(font, notes), range(8)))
    assert all(np.array_equal(played[0], other) for other in played)


def test_a_missing_font_says_where_to_get_one(tmp_path):
    with pytest.raises(UsageError, match="no such SoundFont; Debian's package fluid-soundfont-gm"):
        open_soundfont(tmp_path / "none.sf2")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"ID3 something else", "no SoundFont"),
        (b"RIFF\x04\0\0\0WAVE", "no SoundFont"),
        (b"RIFF\x04\0\0\0sfbk", "table phdr is missing"),
    ],
)
def test_what_is_no_font_is_refused(tmp_path, content, why):
    (tmp_path / "x.sf2").write_bytes(content)
    with pytest.raises(UsageError, match=why) as caught:
        open_soundfont(tmp_path / "x.sf2")
    assert "\n" not in str(caught.value)


@given(kept=st.floats(0, 0.999))
@settings(max_examples=15)
def test_a_font_cut_short_is_refused(font, tmp_path_factory, kept):
    content = font.path.read_bytes()
    path = tmp_path_factory.mktemp("cut") / "cut.sf2"
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(UsageError, match="cannot read"):
        open_soundfont(path)


@given(data=st.data())
@settings(max_examples=60)
def test_a_damaged_font_is_refused_or_played(font, tmp_path_factory, data):
    content = bytearray(font.path.read_bytes())
    tables = content.index(b"pdta")
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(tables, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("bad") / "bad.sf2"
    path.write_bytes(bytes(content))
    try:
        damaged = open_soundfont(path)
        audio = play(damaged, [Note(0, 0.1, 69, 90)], 0.2)
    except UsageError:
        return
    assert np.isfinite(audio).all()


def test_what_it_has_not_is_refused(font):
    with pytest.raises(UsageError, match="has no trumpet"):
        play(font, [], instrument=instruments()["trumpet"])


def test_folders_are_searched_and_broken_fonts_left_out(tmp_path, monkeypatch):
    folder = tmp_path / "sounds/sf2"
    folder.mkdir(parents=True)
    path = tiny_soundfont(folder / "tiny.sf2")
    (folder / "broken.sf2").write_bytes(b"RIFF")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    found = [font.path for font in find_soundfonts()]
    assert path.resolve() in found
    assert folder / "broken.sf2" not in found


def test_the_cache_forgets_what_is_not_used():
    cache = SampleCache(3 * 4)
    for key in "abcd":
        cache.get(key, lambda: np.zeros(1, np.float32))
    assert cache.held_bytes == 12
    assert cache.get("d", lambda: np.ones(1, np.float32))[0] == 0
    assert cache.get("a", lambda: np.ones(1, np.float32))[0] == 1


# The reference: the player that everybody has.


@pytest.fixture
def fluidsynth():
    """Play notes ``[2, samples]`` with FluidSynth, where it is installed."""
    try:
        return importlib.import_module("fluidsynth_player").play_notes
    except ImportError:  # raised by the module itself where the library is missing
        pytest.skip("needs FluidSynth: libfluidsynth3, and pip install pyfluidsynth")


def test_fluidsynth_plays_the_same(font, fluidsynth):
    notes = [Note(0.1, 0.3, 69, 100), Note(0.5, 0.3, 76, 60)]
    own = play(font, notes, tuning_cents=20)
    other = fluidsynth(font.path, (0, PIANO.program), notes, 44_100, 44_100, 20)
    assert own.shape[1] == other.shape[1]
    assert onset_s(own[0], 44_100) == pytest.approx(onset_s(other[0], 44_100), abs=0.005)
    assert hertz(own[0, :17_000], 44_100) == pytest.approx(
        hertz(other[0, :17_000], 44_100), rel=1e-3
    )
    late = slice(int(0.5 * 44_100), None)
    softer = [np.abs(a[:, late]).max() / np.abs(a).max() for a in (own, other)]
    assert softer[0] == pytest.approx(softer[1], rel=0.05)


@pytest.mark.parametrize("name", ["honky_tonk_piano", "finger_bass", "oboe"])
def test_real_fonts_sound_like_fluidsynth(name, fluidsynth):
    path = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
    if not path.is_file():
        pytest.skip("needs Debian's package fluid-soundfont-gm")
    instrument, font = instruments()[name], open_soundfont(path)
    key = (instrument.lowest + instrument.highest) // 2
    notes = [Note(0, 1, key, 100)]
    own = play(font, notes, instrument=instrument).sum(axis=0)
    other = fluidsynth(path, (0, instrument.program), notes, 44_100, 44_100, 0).sum(axis=0)
    spectra = [np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) for audio in (own, other)]
    assert np.corrcoef(spectra)[0, 1] > 0.95
