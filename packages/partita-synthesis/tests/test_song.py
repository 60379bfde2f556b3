"""Whole songs, of own synthesis alone: no SoundFont is needed."""

import json
import multiprocessing
import pickle
import struct
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.errors import UsageError
from partita_synthesis import Studio, SynthesisSettings, sounds
from partita_synthesis.composition import style_names
from partita_synthesis.instruments import instruments
from partita_synthesis.score import Note, Part, Player

RATE = 16000
STEMS = ("vocals", "drums", "bass", "synth")
OWN = SynthesisSettings(STEMS, duration_s=2.0, sample_rate=RATE, seed=7)


@pytest.fixture(scope="module", autouse=True)
def own_sounds(tmp_path_factory):
    """The same sounds on every machine, and a cache of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sounds, "find_soundfonts", tuple)
        patch.setattr(sounds, "find_kits", tuple)
        patch.setenv("PARTITA_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def check(made, wanted):
    """Check what holds for every song."""
    assert tuple(made.stems) == wanted.stems
    assert made.sample_rate == wanted.sample_rate
    shape = (wanted.channels, round(wanted.duration_s * wanted.sample_rate))
    for samples in (made.mixture, *made.stems.values()):
        assert samples.shape == shape
        assert samples.dtype == np.float32
        assert np.isfinite(samples).all()
        assert 1e-4 <= np.abs(samples).max() <= 1
    total = np.sum(list(made.stems.values()), axis=0, dtype=np.float64)
    assert np.abs(total - made.mixture).max() <= 1e-6
    facts = json.loads(json.dumps(made.facts))
    assert facts == made.facts
    assert {player["stem"] for player in facts["players"]} == set(wanted.stems)
    assert all(player["licence"] for player in facts["players"])


def same(one, other):
    return (
        one.name == other.name
        and one.facts == other.facts
        and all(np.array_equal(one.stems[name], other.stems[name]) for name in one.stems)
    )


@pytest.mark.slow
@given(style=st.sampled_from(style_names()), number=st.integers(0, 10**6))
@settings(max_examples=30)
def test_every_song(style, number):
    wanted = replace(OWN, styles=(style,))
    made = Studio(wanted).song(number)
    check(made, wanted)
    assert made.facts["style"] == style
    assert made.name == f"7-{number:05d} {style}"


def test_settings_and_number_decide():
    studio = Studio(OWN)
    first, again, other = studio.song(3), Studio(OWN).song(3), studio.song(4)
    assert same(first, again)
    assert not same(first, other)
    assert not np.array_equal(first.mixture, other.mixture)
    assert not np.array_equal(first.mixture, Studio(replace(OWN, seed=8)).song(3).mixture)


@pytest.mark.slow
def test_same_song_in_another_process():
    studio = Studio(OWN)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(studio.song, (5,))
    assert same(there, studio.song(5))


@pytest.mark.parametrize(
    "change",
    [
        {"channels": 1},
        {"duration_s": 0.5},
        {"sample_rate": 44100, "duration_s": 1.0},
        {"stems": ("drums", "bass")},
        {"stems": ("bass", "rest")},
    ],
)
def test_settings(change):
    wanted = replace(OWN, **change)
    check(Studio(wanted).song(1), wanted)


def note_events(channel, program, notes):
    """Return (tick, bytes) of (start, length, pitch)."""
    events = [(0, bytes([0xC0 | channel, program]))]
    for start, length, pitch in notes:
        events.append((start, bytes([0x90 | channel, pitch, 100])))
        events.append((start + length, bytes([0x80 | channel, pitch, 0])))
    return sorted(events)


def write_midi(path, *parts):
    """Write parts as tracks of 96 ticks a beat; none of them longer than 127 ticks waits."""
    tracks = b""
    for events in parts:
        body, last = b"", 0
        for tick, event in events:
            body += bytes([tick - last]) + event
            last = tick
        body += b"\0\xff\x2f\0"
        tracks += b"MTrk" + struct.pack(">I", len(body)) + body
    path.write_bytes(b"MThd" + struct.pack(">IHHH", 6, 1, len(parts), 96) + tracks)


@pytest.fixture
def midi(tmp_path):
    """A folder of a band, of a drummer, and of nothing that could be read."""
    hits = [(48 * n, 24, (36, 42, 38, 42)[n % 4]) for n in range(32)]
    low = [(96 * n, 90, 36 + n % 5) for n in range(16)]
    high = [(96 * n, 90, 72 + n % 5) for n in range(16)]
    drummer = note_events(9, 0, hits)
    (tmp_path / "band").mkdir()
    write_midi(
        tmp_path / "band" / "a.mid", drummer, note_events(0, 33, low), note_events(1, 81, high)
    )
    (tmp_path / "band" / "broken.mid").write_bytes(b"MThd and no more")
    (tmp_path / "drummer").mkdir()
    write_midi(tmp_path / "drummer" / "b.mid", drummer)
    return tmp_path


def test_midi(midi, caplog):
    wanted = replace(OWN, stems=("drums", "bass", "synth"), midi=str(midi / "band"))
    studio = Studio(wanted)
    for number in range(4):
        check(studio.song(number), wanted)
    assert studio.song(0).facts["style"] == "midi"
    assert len([record for record in caplog.records if "broken.mid" in record.message]) == 1


def test_midi_that_does_not_suit(midi):
    wanted = replace(OWN, stems=("drums", "bass"), midi=str(midi / "drummer"))
    with pytest.raises(UsageError, match="stays silent in 2 s: make songs longer, or choose other"):
        Studio(wanted).song(0)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A data set of one song at 120 beats a minute."""
    folder = tmp_path_factory.mktemp("recordings") / "Band - Song"
    folder.mkdir()
    times = np.arange(16 * RATE) / RATE
    beat = times % 0.5
    drums = 0.5 * np.sin(2 * np.pi * 60 * beat) * np.exp(-beat / 0.05)
    drums[RATE // 2 :] += (
        0.2
        * np.random.default_rng(0).normal(size=len(times))[RATE // 2 :]
        * ((times % 1 >= 0.5) * np.exp(-beat / 0.02))[RATE // 2 :]
    )
    vocals = 0.3 * np.sin(2 * np.pi * 440 * times) * (times % 4 < 3)
    for name, samples in {"drums": drums, "vocals": vocals}.items():
        soundfile.write(folder / f"{name}.wav", samples, RATE, "FLOAT")
    return folder.parent


def test_recordings(recordings):
    wanted = replace(OWN, duration_s=4.0, recordings=str(recordings))
    studio = Studio(wanted)
    seen = set()
    for number in range(8):
        made = studio.song(number)
        check(made, wanted)
        real = [player for player in made.facts["players"] if "tempo_ratio" in player]
        for player in real:
            assert player["sound"] == "Band - Song"
            assert player["licence"] == "unknown"
            assert player["role"] == player["stem"]
            assert player["stem"] in instruments()[player["instrument"]].words
            assert abs(player["transposed"]) <= 4
            assert 0.8 <= player["tempo_ratio"] <= 1.2
            # nobody else is in that stem
            assert [each["stem"] for each in made.facts["players"]].count(player["stem"]) == 1
        if any(player["stem"] == "drums" for player in real):
            tempo = made.facts["tempo_bpm"]
            assert min(abs(tempo * o / 120 - 1) for o in (0.5, 1, 2)) < 0.051
        if any(player["stem"] == "vocals" for player in real):
            samples = made.stems["vocals"].mean(axis=0)
            peak_hz = np.abs(np.fft.rfft(samples)).argmax() / wanted.duration_s
            (player,) = (player for player in real if player["stem"] == "vocals")
            assert peak_hz == pytest.approx(440 * 2 ** (player["transposed"] / 12), rel=0.01)
        seen.add(frozenset(player["stem"] for player in real))
    assert {stem for stems in seen for stem in stems} == {"vocals", "drums"}
    assert len(seen) >= 3  # each comes and goes by itself
    assert same(pickle.loads(pickle.dumps(studio)).song(1), studio.song(1))


def test_recordings_without_a_seat(recordings):
    with pytest.raises(UsageError, match="none of the stems holds these"):
        Studio(replace(OWN, stems=("bass", "synth"), recordings=str(recordings)))
    made = Studio(replace(OWN, stems=("drums", "synth"), recordings=str(recordings))).song(0)
    assert set(made.stems) == {"drums", "synth"}


def test_recordings_take_part_in_the_rest(recordings):
    wanted = replace(OWN, stems=("bass", "rest"), recordings=str(recordings))
    studio = Studio(wanted)
    players = [player for number in range(6) for player in studio.song(number).facts["players"]]
    real = [player for player in players if "tempo_ratio" in player]
    assert real
    assert all(player["stem"] == "rest" for player in real)


def test_recordings_that_cannot_be(tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        Studio(replace(OWN, recordings=str(tmp_path / "nowhere")))


@pytest.mark.parametrize("instrument", ["tenor", "saw_lead", "drum_machine", "saw_bass"])
def test_what_sounds_on_is_faded(instrument):
    played = instruments()[instrument]
    pitch = 36 if played.is_drums else played.lowest + 5
    part = Part(Player(played.roles[0], instrument), [Note(0.0, 9.0, pitch, 100, "la")])
    sound = sounds.Sound(played, None)
    samples = sounds.play(part, sound, 0.3, RATE, np.random.default_rng(0))
    assert not samples[:, -1].any()
    assert np.abs(samples).max() > 0.01
