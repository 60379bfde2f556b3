"""benchmarks/transformations.py: mixtures and references go together, to the sample."""

import numpy as np
import pytest

from common import load_script

RATE = 44100
#: The stems stay as they were: what is not in them is the transformation's.
OF_THE_MIXTURE_ALONE = {
    "mp3, 64 kbit/s": (8, 30),
    "mp3, 128 kbit/s": (10, 40),
    "AAC, 96 kbit/s": (10, 40),
    "Opus, 48 kbit/s": (8, 30),
    "clipped by 3 dB": (20, 60),
    "hiss -45 dB": (44.9, 45.1),
    "hum 50 Hz, -40 dB": (39.9, 40.1),
    "hum 60 Hz, -40 dB": (39.9, 40.1),
    "mono, side noise -60 dB": (59.9, 60.1),
    "mono, side noise -40 dB": (39.9, 40.1),
}
TRANSFORMATIONS = 40


@pytest.fixture
def transformations(monkeypatch):
    return load_script("transformations", monkeypatch, "benchmarks")


def ratio_db(signal, error):
    power, rest = (np.square(x, dtype=np.float64).sum() for x in (signal, error))
    return 10 * np.log10(power / max(rest, 1e-20))


def test_references_make_the_mixture(transformations, stems):
    assert len(transformations.TRANSFORMATIONS) == TRANSFORMATIONS
    assert set(OF_THE_MIXTURE_ALONE) < set(transformations.TRANSFORMATIONS)
    given = {name: stem.copy() for name, stem in stems.items()}
    for name, transform in transformations.TRANSFORMATIONS.items():
        version = transform(given, RATE)
        assert list(version.stems) == list(stems)
        assert version.mixture.dtype == np.float32
        whole = sum(version.stems.values())
        least, most = OF_THE_MIXTURE_ALONE.get(name, (110, np.inf))
        assert least < ratio_db(whole, version.mixture - whole) < most, name
    for name, stem in stems.items():
        np.testing.assert_array_equal(given[name], stem)


@pytest.mark.parametrize("rate", [44100, 48000, 32000])
@pytest.mark.parametrize(("codec", "kbits"), [("mp3", 128), ("aac", 96), ("opus", 48)])
def test_codecs_stay_in_place(transformations, song, codec, kbits, rate):
    before = transformations.resampled(song, RATE, rate)
    after = transformations.round_trip(transformations.CODECS[codec], kbits, before, rate)
    assert after.shape == before.shape
    inner = slice(rate // 10, -rate // 10)
    sdr = {
        late: ratio_db(before[:, inner], (before - np.roll(after, -late, axis=1))[:, inner])
        for late in (-1, 0, 1)
    }
    assert sdr[0] > 10
    assert sdr[0] > max(sdr[-1], sdr[1]) + 1
    assert abs(sdr[1] - sdr[-1]) < 0.5


def test_loud_songs_are_not_clipped_by_codecs(transformations, song):
    codec = transformations.CODECS["opus"]
    quiet = transformations.round_trip(codec, 48, song, RATE)
    loud = transformations.round_trip(codec, 48, 4 * song, RATE)
    assert ratio_db(song, loud / 4 - song) == pytest.approx(ratio_db(song, quiet - song), abs=0.5)


def test_seconds_of_moved_songs_are_the_same_ones(transformations, monkeypatch):
    robustness = load_script("robustness", monkeypatch, "benchmarks")
    generator = np.random.default_rng(0)
    levels = np.repeat([0.01, 0.1, 0.02, 0.3], RATE)  # a stem whose seconds differ
    stem = (levels * generator.standard_normal((2, 4 * RATE))).astype(np.float32)
    hiss = (0.01 * generator.standard_normal(stem.shape)).astype(np.float32)
    changes = robustness.changes(
        lambda version: {"bass": version.mixture},  # so that errors are the other stem
        {"bass": stem, "other": hiss},
        RATE,
        {
            name: transformations.TRANSFORMATIONS[name]
            for name in ("0.3 s of silence before", "start cut by 0.77 s", "start cut by 2.3 s")
        },
    )
    for name, change in changes.items():
        assert change["bass"].lost_db == pytest.approx(0.0, abs=1e-6), name
    assert changes["start cut by 2.3 s"]["bass"].before == pytest.approx(29.5, abs=0.2)
    assert changes["start cut by 0.77 s"]["bass"].before == pytest.approx(20.0, abs=0.2)
