import numpy as np
import pytest

from partita.mixing import tempo_key_meter
from partita.mixing.tempo_key_meter import TempoKeyMeter

RATE = 16_000
STEMS = ["vocals", "drums", "other"]


@pytest.fixture(autouse=True, scope="module")
def _library():
    pytest.importorskip("sonara", reason="the extra mix is not installed")


def measured(samples, *, stems=STEMS, rate=RATE, block=5000):
    meter = TempoKeyMeter(stems, rate)
    for start in range(0, samples.shape[-1], block):
        meter.add(samples[..., start : start + block])
    return meter.finish()


def band(tempo_bpm, seconds=24.0):
    """Noise on the beats, chords of D major every four beats, vocals out of time."""
    rng = np.random.default_rng(0)
    time = np.arange(round(seconds * RATE)) / RATE
    beat = 60 / tempo_bpm
    drums = np.exp(-(time % beat) / 0.02) * rng.standard_normal(len(time)) * 0.3
    chords = [(62, 66, 69), (67, 71, 74), (69, 73, 76), (62, 66, 69)]  # I IV V I
    bar = (time / beat / 4).astype(int) % 4
    pitches = np.array(chords)[bar].T
    other = np.sin(2 * np.pi * 440 * 2 ** ((pitches - 69) / 12) * time).sum(0) * 0.05
    vocals = np.exp(-(time % 0.37) / 0.02) * np.sin(2 * np.pi * 300 * time) * 0.2
    return np.stack([vocals, drums, other]).astype(np.float32)[:, None].repeat(2, 1), beat


def test_tempo_beats_and_key():
    samples, beat = band(112.0)
    found = measured(samples)
    assert found.tempo_bpm == pytest.approx(112, rel=0.01)
    assert found.is_tempo_sure
    beats = np.array(found.beats_s)
    assert len(beats) > 40
    assert np.median(np.abs((beats + beat / 2) % beat - beat / 2)) < 0.015
    assert found.key == "D major"
    assert len(found.other_keys) == 2


def test_blocks_do_not_matter():
    samples, _ = band(100.0, 12.0)
    assert measured(samples) == measured(samples, block=777)


def test_drums_alone_have_beats_too():
    samples, _ = band(112.0)
    assert measured(samples[1:2], stems=["drums"]).tempo_bpm == pytest.approx(112, rel=0.01)


@pytest.mark.parametrize("seconds", [0.0, 2.0])
def test_short_songs_have_neither(seconds):
    assert measured(np.ones((3, 1, int(seconds * RATE)), np.float32)) is None


def test_silence_has_neither():
    assert measured(np.zeros((3, 2, 10 * RATE), np.float32)) is None


def test_very_long_songs_have_neither(monkeypatch):
    samples, _ = band(112.0, 8.0)
    assert measured(samples) is not None
    monkeypatch.setattr(tempo_key_meter, "_LONGEST_S", 7.9)
    assert measured(samples) is None
