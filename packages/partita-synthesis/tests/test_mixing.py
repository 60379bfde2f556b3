"""Mixing: what holds of every mix, whatever was drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.errors import UnknownNameError, UsageError
from partita_synthesis.mixing import Channel, Mix, mix

STEMS = ("vocals", "drums", "bass", "other")
PLAYERS = (
    ("drums", "drums", "standard_kit"),
    ("bass", "bass", "finger_bass"),
    ("vocals", "vocals", "singer"),
    ("other", "chords", "clean_guitar"),
    ("other", "pad", "warm_pad"),
    ("other", "chords", "clean_guitar"),
    ("vocals", "backing_vocals", "singer"),
    ("drums", "percussion", "room_kit"),
)


def played(
    kind: str, channels: int, samples: int, sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    audio = np.zeros((channels, samples), np.float32)
    if kind == "noise":
        audio += 0.3 * rng.standard_normal((channels, samples), dtype=np.float32)
    elif kind == "hit":
        audio[:, samples // 3] = 1
    elif kind == "notes":
        time_s = np.arange(samples) / sample_rate
        for start_s in np.arange(0, samples / sample_rate, 0.25):
            after = np.maximum(time_s - start_s, 0)
            frequency = rng.uniform(80, 800)
            audio += (np.sin(2 * np.pi * frequency * after) * np.exp(-after * 6)).astype(np.float32)
    return audio


def band(count: int, kinds: tuple[str, ...], seconds: float, sample_rate: int, seed: int):
    rng = np.random.default_rng(seed)
    return [
        Channel(
            *player,
            played(kind, 1 + index % 2, round(seconds * sample_rate), sample_rate, rng),
        )
        for index, (player, kind) in enumerate(zip(PLAYERS[:count], kinds, strict=False))
    ]


def mixed(channels, sample_rate=22050, seed=0, **options) -> Mix:
    options = {"style": "pop"} | options
    return mix(channels, STEMS, sample_rate, np.random.default_rng(seed), **options)


def check_laws(result: Mix, samples: int, channels: int) -> None:
    assert tuple(result.stems) == STEMS
    total = np.zeros((channels, samples), np.float32)
    for stem in result.stems.values():
        assert stem.shape == (channels, samples)
        assert stem.dtype == np.float32
        assert np.isfinite(stem).all()
        assert np.abs(stem).max(initial=0) <= 0.985
        total += stem
    np.testing.assert_array_equal(total, result.mixture)
    assert np.abs(result.mixture).max(initial=0) <= 0.985
    json.dumps(result.notes, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    sample_rate=st.sampled_from([16000, 22050, 44100]),
    kinds=st.lists(
        st.sampled_from(["notes", "noise", "hit", "silence"]), min_size=1, max_size=6
    ).map(tuple),
    seconds=st.sampled_from([0.3, 3.0]),
    style=st.sampled_from(["pop", "techno", "jazz trio", "nobody knows"]),
    channels_out=st.sampled_from([1, 2]),
)
def test_every_mix_adds_up_and_stays_in_range(
    seed, sample_rate, kinds, seconds, style, channels_out
):
    channels = band(len(kinds), kinds, seconds, sample_rate, seed)
    before = [each.samples.copy() for each in channels]
    result = mixed(channels, sample_rate, seed, style=style, channels_out=channels_out)
    check_laws(result, round(seconds * sample_rate), channels_out)
    for each, copy in zip(channels, before, strict=True):
        np.testing.assert_array_equal(each.samples, copy)
    for stem, samples in result.stems.items():
        parts = [each for each in channels if each.stem == stem]
        assert samples.any() == any(each.samples.any() for each in parts)


@pytest.mark.parametrize("samples", [0, 1, 63, 64, 65, 700])
def test_very_short_songs(samples):
    channels = [Channel(*player, np.full((1, samples), 0.5, np.float32)) for player in PLAYERS[:4]]
    check_laws(mixed(channels), samples, 2)


@pytest.mark.parametrize("sample_rate", [8000, 40000, 96000])
def test_unusual_sample_rates(sample_rate):
    for seed in range(4):
        channels = band(4, ("notes",) * 4, 0.5, sample_rate, seed)
        check_laws(mixed(channels, sample_rate, seed), sample_rate // 2, 2)


def test_silence_stays_silent():
    result = mixed(band(6, ("silence",) * 6, 1.0, 22050, 0))
    assert not result.mixture.any()


def test_a_mix_depends_on_the_seed_alone():
    channels = band(8, ("notes", "noise") * 4, 1.0, 22050, 0)
    first, again, other = mixed(channels, seed=3), mixed(channels, seed=3), mixed(channels, seed=4)
    np.testing.assert_array_equal(first.mixture, again.mixture)
    assert first.notes == again.notes
    for stem in STEMS:
        np.testing.assert_array_equal(first.stems[stem], again.stems[stem])
        assert not np.array_equal(first.stems[stem], other.stems[stem])


def test_how_loud_the_parts_come_in_does_not_matter():
    channels = band(6, ("notes",) * 6, 1.0, 22050, 0)
    factors = (8.0, 0.25, 2.0, 1.0, 0.5, 64.0)
    louder = [
        Channel(each.stem, each.role, each.instrument, each.samples * np.float32(factor))
        for each, factor in zip(channels, factors, strict=True)
    ]
    np.testing.assert_allclose(mixed(louder).mixture, mixed(channels).mixture, atol=1e-4)


def test_every_stem_is_a_constant_gain():
    """One mono part a stem: both channels are multiples of what came in."""
    channels = [
        Channel(*player, played("notes", 1, 22050, 22050, np.random.default_rng(index)))
        for index, player in enumerate(PLAYERS[:4])
    ]
    result = mixed(channels)
    for each in channels:
        for row in result.stems[each.stem]:
            gain = (row @ each.samples[0]) / (each.samples[0] @ each.samples[0])
            np.testing.assert_allclose(row, gain * each.samples[0], atol=1e-6)
            assert gain > 0


def test_a_seldom_part_is_not_blown_up():
    """Levels are those while playing: one note is as loud alone as among many."""
    often = played("notes", 1, 22050 * 8, 22050, np.random.default_rng(0))
    seldom = often.copy()
    seldom[:, 22050:] = 0
    steady = Channel(
        *PLAYERS[1], played("noise", 1, often.shape[1], 22050, np.random.default_rng(1))
    )
    gains = []
    for samples in (often, seldom):
        result = mixed([Channel(*PLAYERS[2], samples), steady], style="folk")
        voice, bass = (result.stems[stem][:, :22050] for stem in ("vocals", "bass"))
        gains.append(np.square(voice).sum() / np.square(bass).sum())
    assert 10 * np.log10(gains[1] / gains[0]) == pytest.approx(0, abs=1.5)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"channels": []}, "nothing to mix"),
        ({"stems": ()}, "nothing to mix"),
        ({"channels_out": 3}, "1 or 2 channels"),
        ({"channels": [Channel("vocals", "solo", "singer", np.zeros((1, 9), np.float32))]}, "role"),
        ({"stems": ("drums",)}, "stem"),
        (
            {
                "channels": [
                    Channel(*PLAYERS[2], np.zeros((1, 9), np.float32)),
                    Channel(*PLAYERS[2], np.zeros((1, 8), np.float32)),
                ]
            },
            "not .1 or 2, 9.",
        ),
    ],
)
def test_requests_that_make_no_sense(options, what):
    channels = [Channel(*PLAYERS[2], np.zeros((1, 9), np.float32))]
    arguments = {"channels": channels, "stems": STEMS} | options
    with pytest.raises(UsageError, match=what) as caught:
        mix(
            **arguments,
            sample_rate=16000,
            rng=np.random.default_rng(0),
            style="pop",
        )
    assert isinstance(caught.value, UnknownNameError) == (what in ("role", "stem"))
