"""Training on songs that are synthesised while it runs."""

import dataclasses
import threading
import time

import numpy as np
import pytest
import soundfile

from partita.errors import UnknownNameError, UsageError
from partita.training.augmentation import Augmentation
from partita.training.excerpts import draw_excerpt
from partita_synthesis import Studio, SynthesisSettings
from partita_synthesis.song_pools import (
    SongPools,
    StreamSettings,
    SynthesisPlan,
    decoded_track,
    file_digests,
)
from partita_synthesis.soundfonts import find_soundfonts

RATE = 16000
SONGS = SynthesisSettings(("drums", "bass"), duration_s=2.0, sample_rate=RATE, channels=1)
PLAN = SynthesisPlan(SONGS, StreamSettings(pool_songs=2, excerpts_per_song=2, valid_songs=1))


def read(path, text, **options):
    path.write_text(text)
    defaults = {"sources": ["drums", "bass"], "sample_rate": RATE, "channels": 2}
    return SynthesisPlan.read(path, **(defaults | options))


def test_reads_a_file(tmp_path):
    plan = read(tmp_path / "songs.toml", 'styles = ["pop"]\npool_songs = 3\nduration_s = 5\n')
    assert plan.synthesis == SynthesisSettings(
        ("drums", "bass"), duration_s=5, sample_rate=RATE, channels=2, styles=("pop",)
    )
    assert plan.stream == StreamSettings(pool_songs=3)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("duration_s = 0", r"songs.toml: duration_s must be a finite number from 0\.5"),
        ("pool_songs = 0", "pool_songs must be a whole number of 1 or more"),
        ("valid_songs = -1", "valid_songs must be a whole number of 0 or more"),
        ("sample_rate = 44100", "unknown setting in songs.toml 'sample_rate'"),
        ("song = 3", "unknown setting in songs.toml 'song'"),
        ('stems = "drums"', "must be a list"),
        ("stems = [", "is not TOML"),
    ],
)
def test_refuses(tmp_path, text, what):
    with pytest.raises(UsageError, match=what):
        read(tmp_path / "songs.toml", text)


def test_missing_file(tmp_path):
    with pytest.raises(UsageError, match=r"songs.toml: cannot be read: No such file"):
        SynthesisPlan.read(tmp_path / "songs.toml", sources=["drums"], sample_rate=1, channels=1)


def test_source_that_is_no_stem():
    with pytest.raises(UnknownNameError, match="unknown stem 'vocals'"):
        SongPools(PLAN, ["vocals"], 1)


def test_track_holds_the_song():
    song = Studio(SONGS).song(3)
    track = decoded_track(song, ["bass"])
    bass, rest = (track.read(row, 0, 2 * RATE).numpy() for row in (0, 1))
    assert np.abs(bass - song.stems["bass"]).max() < 2**-15
    assert np.abs(rest - song.stems["drums"]).max() < 2**-15
    assert track.audible.any(axis=1).all()


@pytest.mark.slow
def test_pools_follow_the_index_alone():
    pools = SongPools(PLAN, ["drums", "bass"], 1)
    forwards = [[t.name for t in pools.songs_for(index).tracks] for index in range(12)]
    assert forwards[0] == forwards[3] != forwards[4] == forwards[7] != forwards[8]
    assert len({name for names in forwards for name in names}) == 6
    assert [t.name for t in pools.songs_for(2).tracks] == forwards[2]
    late = SongPools(PLAN, ["drums", "bass"], 2)  # processes
    assert [t.name for t in late.songs_for(2).tracks] == forwards[2]
    one, other = (
        draw_excerpt(each.songs_for(2), RATE, Augmentation(), 0, 2) for each in (pools, late)
    )
    assert one.places == other.places
    assert one.sources.equal(other.sources)
    pools.close()
    late.close()


def test_valid_songs_are_others():
    pools = SongPools(PLAN, ["drums"], 1)
    held = pools.held_out()
    assert held is not None
    assert held.has_rest
    trained = {track.name for index in range(40) for track in pools.songs_for(index).tracks}
    assert not trained & {track.name for track in held.tracks}
    nothing = SynthesisPlan(SONGS, StreamSettings(valid_songs=0))
    assert SongPools(nothing, ["drums"], 1).held_out() is None


def test_closing_ends_those_who_wait_for_songs():
    begun, ended = threading.Event(), []
    pools = SongPools(PLAN, ["drums"], 1)
    make = pools._task

    def slow(number):
        begun.set()
        time.sleep(0.1)
        return make(number)

    pools._task = slow

    def wait():
        with pytest.raises(InterruptedError):
            list(map(pools.songs_for, range(1000)))
        ended.append(1)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert begun.wait(10)
    pools.close()
    waiting.join(10)
    assert ended == [1]


def test_digests_of_what_songs_are_made_of(tmp_path):
    font, midi, album = tmp_path / "small.sf2", tmp_path / "midi", tmp_path / "album/track"
    for folder in (midi, album):
        folder.mkdir(parents=True)
    font.write_bytes(bytes(3000))
    (midi / "song.mid").write_bytes(b"MThd")
    for name in ("vocals", "drums"):
        soundfile.write(album / f"{name}.wav", np.full(RATE, 0.1), RATE)
    settings = dataclasses.replace(
        SONGS, soundfonts=(str(font),), midi=str(midi), recordings=str(tmp_path / "album")
    )
    before = file_digests(settings)
    assert list(before) == ["the SoundFont small.sf2", "the MIDI files", "the recordings"]
    assert file_digests(settings) == before
    font.write_bytes(bytes(2999) + b"1")
    (midi / "song.mid").write_bytes(b"MThe")
    soundfile.write(album / "drums.wav", np.full(RATE, 0.2), RATE)
    after = file_digests(settings)
    assert all(after[name] != digest for name, digest in before.items())
    assert list(file_digests(SONGS)) == [
        f"the SoundFont {found.path.name}" for found in find_soundfonts()
    ]
