"""``scripts/notes_soundfont.py``, with notes that the test writes."""

import sys

import numpy as np
import pytest
import soundfile

from common import load_script
from partita.datasets.synthesis.instruments import instruments
from partita.datasets.synthesis.score import Note, Part, Player
from partita.datasets.synthesis.soundfonts import open_soundfont, play_part
from partita.errors import UsageError

RATE = 44100
BASS, GUITAR = instruments()["finger_bass"], instruments()["clean_guitar"]


@pytest.fixture
def script(monkeypatch):
    return load_script("notes_soundfont", monkeypatch)


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


def play(font, instrument, key, duration_s=1.0):
    note = Note(0.0, duration_s, key, 127)
    return play_part(Part(Player("lead", instrument.name), [note]), instrument, font, 2.0, RATE)[0]


def test_says_what_it_is(font):
    assert font.name == "tonejs-instruments"
    assert "CC-BY 3.0" in font.licence
    assert font.programs == {33, 34, 26, 27, 28}
    assert not font.kits
    with pytest.raises(UsageError, match="has no"):
        play(font, instruments()["grand_piano"], 60)


@pytest.mark.parametrize(
    ("instrument", "key", "hertz"),
    [(BASS, 33, 55), (BASS, 45, 110), (BASS, 40, 82.41), (GUITAR, 69, 440), (GUITAR, 45, 110)],
)
def test_keys_are_in_tune(font, instrument, key, hertz):
    audio = play(font, instrument, key)[: RATE // 2]
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 8 * len(audio)))
    found = spectrum.argmax() * RATE / (8 * len(audio))
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
    notes = [script.Note(key, np.ones(1)) for key in (40, 43, 50)]
    assert script.key_ranges(notes) == [(0, 41), (42, 46), (47, 127)]
