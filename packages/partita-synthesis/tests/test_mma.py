import subprocess

import numpy as np
import pytest

from partita.errors import UnknownNameError, UsageError
from partita_synthesis import mma

needs_mma = pytest.mark.skipif(not mma.mma_is_installed(), reason="needs Debian's package mma")


@needs_mma
def test_grooves_are_known():
    names = mma.groove_names()
    assert {"50sRock", "BossaNova"} <= set(names)
    assert not any(name.endswith("Intro") for name in names)


@needs_mma
def test_chords_are_accompanied():
    song = mma.accompany(["C", "F", "G7", "C"], "50sRock", 120, seed=1)
    assert song.duration_s == pytest.approx(8, abs=1)
    assert song.tempo_bpm == pytest.approx(120, rel=0.01)
    assert (song.key, song.mode) == (0, "major")
    assert {"drums", "bass"} <= {part.player.role for part in song.parts}


@needs_mma
def test_an_accompaniment_fits_its_chords():
    score = mma.accompaniment(12.0, np.random.default_rng(3), "BossaNova")
    assert score.duration_s == 12.0
    assert score.chords[0].start_s == 0
    last = score.chords[-1]
    assert last.start_s + last.duration_s == pytest.approx(12.0)
    fitting = [
        note.pitch % 12 in chord.pitch_classes
        for chord in score.chords
        for part in score.parts
        if part.player.role == "chords"
        for note in part.notes
        if chord.start_s + 0.05 < note.start_s < chord.start_s + chord.duration_s - 0.2
    ]
    assert np.mean(fitting) > 0.9


@needs_mma
def test_the_same_seed_gives_the_same_song():
    one, same, other = (mma.accompaniment(6.0, np.random.default_rng(s)) for s in (5, 5, 6))
    assert one == same
    assert one != other


@needs_mma
@pytest.mark.parametrize("chord", ["H", "C\nMidiFile /tmp/x", "C / G", "", "z", "$(ls)"])
def test_what_is_no_chord_never_reaches_the_program(chord):
    with pytest.raises(UsageError, match="unknown chord"):
        mma.accompany([chord], "50sRock", 120, seed=1)


@needs_mma
def test_unknown_grooves_and_empty_songs_are_refused():
    with pytest.raises(UnknownNameError, match="50sRock"):
        mma.accompany(["C"], "50sRok", 120, seed=1)
    with pytest.raises(UnknownNameError, match="50sRock"):
        mma.accompaniment(1.0, np.random.default_rng(0), "50sRok")
    with pytest.raises(UsageError, match="0 bars"):
        mma.accompany([], "50sRock", 120, seed=1)


def test_without_the_program_the_package_is_named(monkeypatch):
    monkeypatch.setattr(mma.shutil, "which", lambda name: None)
    assert not mma.mma_is_installed()
    for call in (
        mma.groove_names,
        lambda: mma.accompany(["C"], "50sRock", 120, seed=1),
        lambda: mma.accompaniment(1.0, np.random.default_rng(0)),
    ):
        with pytest.raises(UsageError, match="Debian's package mma"):
            call()


def failed(*args, **options):
    return subprocess.CompletedProcess(args, 1, "Warning: x\nERROR: it broke\n", "")


def late(*args, **options):
    raise subprocess.TimeoutExpired("mma", 1)


@pytest.mark.parametrize(("run", "why"), [(failed, "it broke"), (late, "timed out")])
def test_failures_of_the_program_are_a_line(monkeypatch, run, why):
    monkeypatch.setattr(mma.shutil, "which", lambda name: "/usr/bin/mma")
    monkeypatch.setattr(mma, "_grooves", lambda: {"50sRock": 4})
    monkeypatch.setattr(mma.subprocess, "run", run)
    with pytest.raises(UsageError, match=f"mma failed: .*{why}") as caught:
        mma.accompany(["C"], "50sRock", 120, seed=1)
    assert "\n" not in str(caught.value)


def test_bars_of_three_beats_are_told_from_the_library(monkeypatch, tmp_path):
    library = tmp_path / "lib/stdlib"
    library.mkdir(parents=True)
    (library / "w.mma").write_text(
        "Time 3\nDefGroove Waltz  one two three\nDefGroove WaltzEnd\nTime 4\nDefGroove Rock  x\n"
    )
    monkeypatch.setattr(mma, "_libraries", lambda: [library])
    assert mma._grooves.__wrapped__() == {"Waltz": 3, "Rock": 4}
