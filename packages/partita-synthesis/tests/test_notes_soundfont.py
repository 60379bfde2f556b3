"""``scripts/notes_soundfont.py``, with notes that the test writes."""

import itertools
import sys

import numpy as np
import pytest
import soundfile

from common import load_script
from partita.errors import UsageError
from partita_synthesis.instruments import instruments
from partita_synthesis.score import Note, Part, Player
from partita_synthesis.soundfonts import open_soundfont, play_part

SCRIPTS = "packages/partita-synthesis/scripts"

RATE = 44100
BASS, GUITAR = instruments()["finger_bass"], instruments()["clean_guitar"]
PICKED = instruments()["pick_bass"]


@pytest.fixture
def script(monkeypatch):
    return load_script("notes_soundfont", monkeypatch, SCRIPTS)


@pytest.fixture
def font(script, tmp_path, monkeypatch):
    """Two instruments: silence, a sine that begins and ends at once, silence."""
    for name, notes, level in (
        ("bass-electric", {"A1": 55, "A2": 110}, 0.1),
        ("guitar-electric", {"Cs3": 138.59, "A4": 440}, 0.8),
    ):
        folder = tmp_path / name / "package"
        folder.mkdir(parents=True)
        (folder / "README.md").write_text("no note")
        for note, hertz in notes.items():
            tone = level * np.sin(2 * np.pi * hertz * np.arange(2 * RATE) / RATE)
            silence = np.zeros(RATE // 4)
            soundfile.write(folder / f"{note}.mp3", np.concatenate([silence, tone, silence]), RATE)
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path), str(tmp_path / "notes.sf2")])
    script.main()
    return open_soundfont(tmp_path / "notes.sf2")


def play(font, instrument, key, duration_s=1.0, velocity=127):
    note = Note(0.0, duration_s, key, velocity)
    return play_part(Part(Player("lead", instrument.name), [note]), instrument, font, 2.0, RATE)[0]


def spectrum_of(audio):
    """Amplitudes of multiples of 1 Hz, from half a second."""
    audio = audio[RATE // 10 : RATE // 10 + RATE // 2] * np.hanning(RATE // 2)
    return np.abs(np.fft.rfft(audio, RATE))


def loudest_hertz(audio):
    audio, points = audio[: RATE // 2], 1 << 20
    return np.abs(np.fft.rfft(audio * np.hanning(len(audio)), points)).argmax() * RATE / points


def test_says_what_it_is(font):
    assert font.name == "tonejs-instruments"
    assert "CC-BY 3.0" in font.licence
    assert font.programs == {33, 34, 26, 27, 28}
    assert not font.kits
    with pytest.raises(UsageError, match="has no"):
        play(font, instruments()["grand_piano"], 60)


def test_texts_are_of_even_length(font):
    """FluidSynth refuses others."""
    content = font.path.read_bytes()
    for name in (b"isng", b"INAM", b"ICOP"):
        at = content.index(name) + 4
        assert int.from_bytes(content[at : at + 4], "little") % 2 == 0


@pytest.mark.parametrize(
    ("instrument", "key", "hertz"),
    [(BASS, 33, 55), (BASS, 45, 110), (BASS, 40, 82.41), (GUITAR, 69, 440), (GUITAR, 45, 110)],
)
def test_keys_are_in_tune(font, instrument, key, hertz):
    found = loudest_hertz(play(font, instrument, key))
    assert abs(1200 * np.log2(found / hertz)) < 5


def test_notes_begin_at_once_and_end(font):
    audio = np.abs(play(font, BASS, 33))
    loud = np.flatnonzero(audio > audio.max() / 2)
    assert loud[0] < 0.02 * RATE
    assert 0.9 * RATE < loud[-1] < 1.3 * RATE


def test_instruments_are_as_loud(font):
    bass, guitar = (np.abs(play(font, each, 57)).max() for each in (BASS, GUITAR))
    assert bass == pytest.approx(guitar, rel=0.1)


def test_a_folder_without_notes_is_refused(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path), str(tmp_path / "notes.sf2")])
    with pytest.raises(SystemExit):
        script.main()
    assert "no folder such as bass-electric" in capsys.readouterr().err
    assert not (tmp_path / "notes.sf2").exists()


def test_each_key_has_the_nearest_note(script):
    assert script.key_ranges((40, 43, 50)) == [(0, 41), (42, 46), (47, 127)]


#: Cents that each take of the layered bass is off, and its overtone, which tells takes apart.
TAKES = {"pp_1": (10, 2), "pp_2": (-20, 3), "ff_1": (44, 4), "ff_2": (-60, 5)}


@pytest.fixture
def layered(script, tmp_path, monkeypatch, capsys):
    """A bass whose names are an octave too high: two layers of two takes, out of tune."""
    folder = tmp_path / "growly-bass"
    folder.mkdir()
    for name, hertz in (("a2", 55), ("eb3", 77.78)):
        for take, (cents, overtone) in TAKES.items():
            level = 0.05 if take.startswith("pp") else 0.8
            phase = 2 * np.pi * hertz * 2 ** (cents / 1200) * np.arange(3 * RATE) / RATE
            tone = level * (0.8 * np.sin(phase) + 0.2 * np.sin(overtone * phase))
            soundfile.write(folder / f"{name}_{take}.flac", tone, RATE)
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path), str(tmp_path / "basses.sf2")])
    script.main()
    return open_soundfont(tmp_path / "basses.sf2"), capsys.readouterr().out


def test_says_what_was_corrected(layered):
    font, said = layered
    assert font.name == "Karoryfer basses and guitar"
    assert font.licence.startswith("CC0 1.0")
    assert font.programs == {34}
    assert "growly-bass: 8 notes, -12 semitones, 32 cents off in the median, 60 at most" in said


def test_all_takes_are_in_tune(layered):
    for key, hertz in ((33, 55), (39, 77.78)):
        for velocity in (20, 23, 26, 100, 103, 106):
            found = loudest_hertz(play(layered[0], PICKED, key, velocity=velocity))
            assert abs(1200 * np.log2(found / hertz)) < 5, (key, velocity)


def test_velocities_choose_layers_and_takes(layered):
    def overtone(velocity):
        spectrum = spectrum_of(play(layered[0], PICKED, 33, velocity=velocity))
        return 2 + int(np.argmax([spectrum[55 * n - 2 : 55 * n + 3].max() for n in (2, 3, 4, 5)]))

    played = [overtone(velocity) for velocity in range(1, 128, 3)]
    softer, harder = played[:21], played[22:]
    assert set(softer) == {2, 3}
    assert set(harder) == {4, 5}
    assert all(one != other for one, other in itertools.pairwise(softer))
    assert all(one != other for one, other in itertools.pairwise(harder))


def test_loudness_grows_with_velocity(layered):
    velocities = range(4, 128, 4)
    levels = [
        np.sqrt(np.mean(play(layered[0], PICKED, 33, velocity=velocity)[: RATE // 2] ** 2))
        for velocity in velocities
    ]
    expected = (np.array(velocities) / 127) ** 2  # section 8.4.1
    np.testing.assert_allclose(np.array(levels) / levels[-1], expected / expected[-1], rtol=0.05)


def test_notes_that_were_cut_fade(layered):
    audio = play_part(
        Part(Player("bass", "pick_bass"), [Note(0.0, 4.0, 33, 127)]), PICKED, layered[0], 4.0, RATE
    )[0]
    sounding = np.flatnonzero(np.abs(audio) > 1e-5)
    assert 2.7 * RATE < sounding[-1] < 3.1 * RATE
    before, end = (np.abs(audio[sounding[-1] - size :][:size]).max() for size in (RATE, RATE // 50))
    assert end < 0.05 * before
