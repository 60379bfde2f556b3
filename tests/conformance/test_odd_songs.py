"""Songs that are hardly any: all weights that ship, and the default ones, give plausible stems."""

import functools

import numpy as np
import pytest

import partita
from common import DEFAULT, SHARED, SHIPPED
from partita.audio.channels import mix_channels
from partita.datasets import open_dataset
from partita.errors import WeightsUnavailableError
from partita.weights.cards import CARDS

RATE = 44100
NAMES = sorted({*DEFAULT, *SHIPPED})
LEAST_SHARE = 0.8  # of the energy, in the stem that a song is all of
FAILS = {
    ("nmfd", "vocals"): "78 % of the rendered voice's energy",
    ("nmfd-drums", "snare"): "2 % of the rendered snare's energy: the hats have 98 %",
}
SILENT_DB = -60.0


@functools.cache
def separator_of(name):
    try:
        return partita.Separator(name)
    except WeightsUnavailableError as error:
        if name in SHIPPED:
            raise
        pytest.skip(f"not on this machine, and not to be had: {error}")


def separated(name, mixture):
    """Return the estimates, which are finite, as long as the mixture, and add up to it."""
    found = separator_of(name)(mixture, RATE, keep_rate=True)
    estimates = {stem: audio.samples.numpy() for stem, audio in found.items()}
    for stem, samples in estimates.items():
        assert samples.shape == mixture.shape, stem
        assert np.isfinite(samples).all(), stem
    difference = np.abs(sum(estimates.values()) - mixture).max()
    assert difference <= 1e-4 * np.abs(mixture).max()
    return estimates


def power(samples):
    return float(np.square(samples, dtype=np.float64).sum())


def is_silent(samples, beside):
    return power(samples) <= 10 ** (SILENT_DB / 10) * power(beside)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 2])
def test_mono(name, channels, song):
    mono = np.repeat(song.mean(axis=0, keepdims=True), channels, axis=0)
    for samples in separated(name, mono).values():
        assert power(samples) <= power(mono)
        assert is_silent(samples[0] - samples[-1], beside=mono)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("heard", [0, 1])
def test_a_silent_channel(name, heard, song):
    one_sided = np.zeros_like(song)
    one_sided[heard] = song[heard]
    for samples in separated(name, one_sided).values():
        assert power(samples) <= power(one_sided)
        assert is_silent(samples[1 - heard], beside=one_sided)


@pytest.mark.parametrize("name", NAMES)
def test_opposite_polarity(name, song):
    mono = song.mean(axis=0)
    opposite = np.stack([mono, -mono])
    for samples in separated(name, opposite).values():
        assert power(samples) <= power(opposite)
        assert is_silent(samples[0] + samples[1], beside=opposite)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("levels", [(0.5, 0.5), (-1.0, -1.0), (0.5, -0.5), (0.1, 0.0)])
def test_direct_current_only(name, levels):
    current = np.repeat(np.array(levels, np.float32)[:, None], RATE, axis=1)
    for samples in separated(name, current).values():
        assert np.abs(samples).max() <= 2 * np.abs(current).max()


@pytest.mark.parametrize("name", NAMES)
def test_a_song_with_direct_current(name, song):
    for samples in separated(name, song + np.float32(0.3)).values():
        assert power(samples - samples.mean(axis=1, keepdims=True)) <= 1.1 * power(song)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (2, 2), (2, 100)])
def test_one_sample_and_a_few(name, shape):
    separated(name, np.full(shape, 0.25, np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_silence(name):
    for samples in separated(name, np.zeros((2, RATE), np.float32)).values():
        assert not samples.any()


def share(name, alone, stem):
    """Return the part of the energy that is in the right stem of a song that is all of one."""
    estimates = separated(name, alone)
    right = stem if stem in estimates else "accompaniment"
    return power(estimates[right]) / sum(map(power, estimates.values()))


def cases(name):
    """Return the stems that songs may be all of: those that the weights are made for."""
    if set(CARDS[name].sources) == {"kick", "snare", "hats"}:
        stems = ["kick", "snare", "hats"]
    else:
        stems = [
            "drums",
            "bass",
            *(["vocals"] if CARDS[name].input_stem != "accompaniment" else []),
        ]
    for stem in stems:
        reason = FAILS.get((name, stem))
        failing = pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError)
        yield pytest.param(name, stem, marks=[failing] if reason else [])


@pytest.mark.parametrize(("name", "stem"), [case for name in NAMES for case in cases(name)])
def test_a_song_that_is_all_of_one_stem(name, stem, stems, drum_kit):
    alone = {**stems, **drum_kit}[stem]
    assert share(name, alone, stem) >= LEAST_SHARE


def real_songs():
    places = [SHARED / "audio" / "music-delta-80s-rock.stem.mp4", SHARED / "validation"]
    return [track for place in places if place.exists() for track in open_dataset(place)]


@pytest.mark.parametrize("stem", ["drums", "bass", "vocals"])
@pytest.mark.parametrize("track", [pytest.param(track, id=track.name) for track in real_songs()])
def test_a_real_song_that_is_all_of_one_stem(track, stem):
    if stem not in track.stems:
        pytest.skip(f"{track.name} has no {stem}")
    alone = loudest(mix_channels(track.load(stem).samples.numpy(), 2), 4 * RATE)
    assert share(DEFAULT[0], alone, stem) >= LEAST_SHARE


def loudest(samples, count):
    """Return so many samples, from where they are loudest in the mean."""
    seconds = [power(samples[:, at : at + RATE]) ** 0.3 for at in range(0, samples.shape[1], RATE)]
    starts = range(0, max(1, len(seconds) - count // RATE))
    best = max(starts, key=lambda start: sum(seconds[start : start + count // RATE]))
    return samples[:, best * RATE : best * RATE + count]
