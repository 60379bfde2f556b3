"""Estimates of SDR without references: what is measured, calibrated and suspected."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.errors import ScoresError, UsageError
from partita.evaluation.quality.calibration import OTHER_STEMS, Calibration, load_calibration
from partita.evaluation.quality.estimate import estimate_quality
from partita.evaluation.quality.meter import QualityMeter
from partita.evaluation.quality.suspects import find_suspects
from partita.weights.cards import CARDS

RATE = 8000


def noise(seconds=4.0, channels=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(channels, round(seconds * RATE), generator=generator) / 10


def tone(hz, seconds=4.0, channels=2):
    times = torch.arange(round(seconds * RATE)) / RATE
    return (0.1 * torch.sin(2 * torch.pi * hz * times)).expand(channels, -1)


def measure(mixture, *block_samples, **stems):
    meter = QualityMeter(list(stems), RATE)
    signals = torch.stack(list(stems.values()))
    start = 0
    for length in (*block_samples, mixture.shape[1]):
        meter.add(mixture[:, start : start + length], signals[..., start : start + length])
        start = min(start + length, mixture.shape[1])
    return meter.finish()


def implied(mixture, **stems):
    return dict(zip(stems, measure(mixture, **stems).implied_sdr_db(), strict=True))


def test_stems_that_share_no_bin_imply_a_high_sdr():
    low, high = tone(500), tone(2500)
    assert min(implied(low + high, low=low, high=high).values()) > 45


def test_halves_of_a_mixture_imply_0_db():
    # Every mask is 0.5: m² and m (1 - m) are equal.
    mixture = noise()
    half = mixture / 2
    assert implied(mixture, a=half, b=half) == pytest.approx({"a": 0.0, "b": 0.0}, abs=1e-3)


def test_masks_are_ratios_of_powers():
    # 16 to 1: m² over m (1 - m) is 16.
    mixture = noise()
    found = implied(mixture, loud=0.8 * mixture, quiet=0.2 * mixture)
    expected = 10 * math.log10(16)
    assert found == pytest.approx({"loud": expected, "quiet": -expected}, abs=1e-3)


def test_what_no_stem_has_counts_as_another_part():
    voice, rest = tone(500), noise(seed=3)
    alone = implied(voice + rest, voice=voice + rest / 2)["voice"]
    both = implied(voice + rest, voice=voice + rest / 2, rest=rest / 2)["voice"]
    assert alone == pytest.approx(both, abs=1e-3)


def test_more_bleed_implies_less():
    voice, flute = noise(), tone(700)
    ratios = [
        implied(voice + flute, voice=voice + bleed * flute, flute=(1 - bleed) * flute)["flute"]
        for bleed in (0.0, 0.1, 0.3, 0.5)
    ]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] - ratios[-1] > 10


@pytest.mark.parametrize("blocks", [(1,), (100, 4095, 9000), (20_000,)])
def test_blocks_do_not_matter(blocks):
    mixture, voice = noise(), noise(seed=1)
    whole, cut = measure(mixture, voice=voice), measure(mixture, *blocks, voice=voice)
    for name in ("mixture", "power", "shared", "clipped"):
        np.testing.assert_allclose(getattr(cut, name), getattr(whole, name), rtol=1e-5)


def test_windows_are_seconds():
    voice = torch.cat([torch.zeros(2, 2 * RATE), noise(1.0), torch.zeros(2, RATE)], dim=1)
    shares = measure(voice, voice=voice)
    assert shares.windows == 4
    assert (shares.mixture > 0.1 * shares.mixture.max()).tolist() == [False, False, True, False]


@pytest.mark.parametrize("samples", [1, 2, 300, 511, 513])
def test_short_songs(samples):
    mixture = noise()[:, :samples]
    (found,) = estimate_quality(measure(mixture, vocals=mixture)).stems
    assert found.sdr_db is not None
    assert math.isfinite(found.sdr_db)


def test_mono_and_stereo_of_equal_channels_are_equal():
    voice, flute = noise(channels=1), tone(700, channels=1)
    mono = implied(voice + flute, voice=voice + flute / 3, flute=flute * 2 / 3)
    twice = {"voice": (voice + flute / 3).expand(2, -1), "flute": (flute * 2 / 3).expand(2, -1)}
    assert implied((voice + flute).expand(2, -1), **twice) == pytest.approx(mono, abs=1e-3)


def test_silent_stems_have_no_estimate():
    mixture = noise()
    quality = estimate_quality(measure(mixture, vocals=torch.zeros_like(mixture), other=mixture))
    vocals, other = quality.stems
    assert vocals.sdr_db is None
    assert vocals.intervals_db == {}
    assert other.sdr_db is not None
    assert quality.suspects == ()


def test_silent_songs():
    silence = torch.zeros(2, RATE)
    quality = estimate_quality(measure(silence, vocals=silence))
    assert quality.stems[0].sdr_db is None
    assert quality.suspects == ()


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["mixture", "vocals"])
def test_samples_that_are_no_numbers_are_refused(value, where):
    signals = {"mixture": noise(), "vocals": noise()}
    signals[where][0, 5] = value
    with pytest.raises(ScoresError, match=f"^{where} holds NaN or infinite samples$"):
        measure(signals["mixture"], vocals=signals["vocals"])


def test_nothing_to_examine():
    with pytest.raises(UsageError, match="no stems"):
        QualityMeter([], RATE)
    with pytest.raises(UsageError, match="no samples"):
        QualityMeter(["vocals"], RATE).finish()
    with pytest.raises(UsageError, match="do not fit together"):
        QualityMeter(["vocals"], RATE).add(noise(), noise()[None, :1])


@given(st.floats(-80, 40), st.integers(0, 3))
@settings(max_examples=25)
def test_no_loudness_changes_an_estimate(gain_db, seed):
    gain = 10 ** (gain_db / 20)
    mixture, bleed = noise(1.5, seed=seed), tone(700, 1.5)
    stems = {"vocals": mixture + bleed / 4, "bass": bleed * 3 / 4}
    before = measure(mixture + bleed, **stems)
    after = measure(gain * (mixture + bleed), **{name: gain * stem for name, stem in stems.items()})
    for one, other in zip(
        estimate_quality(before).stems, estimate_quality(after).stems, strict=True
    ):
        assert other.sdr_db == pytest.approx(one.sdr_db, abs=1e-2)
        assert other.level_db == pytest.approx(one.level_db, abs=1e-2)


@given(st.permutations(["vocals", "drums", "bass"]))
@settings(max_examples=6)
def test_the_order_of_the_stems_does_not_matter(names):
    stems = {"vocals": noise(1.0), "drums": noise(1.0, seed=1), "bass": tone(80, 1.0)}
    mixture = sum(stems.values())
    found = implied(mixture, **{name: stems[name] for name in names})
    assert found == pytest.approx(implied(mixture, **stems), abs=1e-3)


# Calibration


def test_the_calibration_that_ships_is_sound():
    calibration = load_calibration()
    assert {"vocals", "drums", "bass", "other", "accompaniment", OTHER_STEMS} <= set(
        calibration.curves
    )
    low, high = calibration.range_db
    assert low < 0 < high
    for curve in calibration.curves.values():
        assert 0 < curve.slope <= 1.5  # who implies more has more
        for quantiles in (curve.errors_db, curve.new_model_errors_db):
            errors = [quantiles[tail] for tail in ("5", "10", "90", "95")]
            assert errors == sorted(errors)
            assert errors[1] < 0 < errors[2]
        assert curve.songs >= 10
    assert "four-stems" in calibration.models
    assert calibration.models.keys() <= CARDS.keys()
    assert calibration.fit["metric"] == "uSDR"
    assert Calibration.from_json(calibration.to_json()) == calibration


@given(st.floats(-20, 40), st.floats(-20, 40), st.sampled_from(["vocals", "bass", "piano"]))
def test_estimates_rise_with_what_stems_imply(one, other, stem):
    curve, _ = load_calibration().curve(stem)
    low, high = sorted([one, other])
    assert curve.sdr_db(low) <= curve.sdr_db(high)


def test_stems_that_calibration_has_not_seen_say_so():
    mixture = noise()
    stems = {"piano": mixture / 2, "no_vocals": mixture / 4, "drums": mixture / 4}
    piano, no_vocals, drums = estimate_quality(measure(mixture, **stems)).stems
    assert not piano.is_known_stem
    assert no_vocals.is_known_stem
    assert drums.is_known_stem
    for each in (piano, no_vocals, drums):
        (low, high), (lowest, highest) = each.intervals_db[80], each.intervals_db[90]
        assert lowest <= low < each.sdr_db < high <= highest


def test_models_that_calibration_has_not_seen_have_wider_intervals():
    mixture = noise()
    shares = measure(mixture, vocals=0.6 * mixture, other=0.4 * mixture)
    for known, new in zip(
        estimate_quality(shares, "four-stems").stems, estimate_quality(shares).stems, strict=True
    ):
        assert known.is_known_model
        assert not new.is_known_model
        widths = [high - low for low, high in (known.intervals_db[80], new.intervals_db[80])]
        assert widths[0] < widths[1]


def test_quiet_stems_are_marked():
    mixture = noise()
    vocals, other = estimate_quality(
        measure(mixture, vocals=0.05 * mixture, other=0.95 * mixture)
    ).stems
    assert vocals.is_quiet
    assert not other.is_quiet


# Suspect seconds


def bleeding(seconds=20, start=8, end=12):
    """Vocals and drums that are apart, but from `start` to `end` drums are in the vocals too."""
    voice, drums = tone(500, seconds), noise(seconds) / 3
    times = torch.arange(seconds * RATE) / RATE
    amount = 0.5 * ((times >= start) & (times < end))
    return voice + drums, {"vocals": voice + amount * drums, "drums": (1 - amount) * drums}


def test_sudden_bleed_is_suspect():
    mixture, stems = bleeding()
    suspects = [each for each in find_suspects(measure(mixture, **stems)) if each.stem == "vocals"]
    assert len(suspects) == 1
    assert (suspects[0].start_s, suspects[0].end_s) == (8, 12)
    assert suspects[0].reason == "bleed from drums"
    assert suspects[0].drop_db > 8


def test_steady_bleed_is_not_suspect():
    mixture, stems = bleeding(start=0, end=20)
    assert find_suspects(measure(mixture, **stems)) == ()


def test_clipped_seconds_are_suspect():
    mixture = noise(6)
    mixture[:, 3 * RATE + 100 : 3 * RATE + 150] = 1.0
    (suspect,) = find_suspects(measure(mixture, vocals=mixture / 2, other=mixture / 2))
    assert (suspect.stem, suspect.start_s, suspect.end_s) == ("", 3, 4)
    assert suspect.reason == "the song is clipped"


def test_a_song_that_is_clipped_throughout_is_said_once():
    mixture = noise(6)
    for second in range(4):
        mixture[:, second * RATE + 1000 : second * RATE + 1050] = 1.0
    (suspect,) = find_suspects(measure(mixture, vocals=mixture / 2, other=mixture / 2))
    assert (suspect.start_s, suspect.end_s) == (0, 6)
    assert suspect.reason == "the song is clipped in 4 of 6 seconds"


def test_sound_that_no_stem_has_is_suspect_where_stems_add_up_elsewhere():
    mixture = noise(60)
    stems = {"vocals": mixture * 0.4, "other": mixture * 0.6}
    for stem in stems.values():
        stem[:, 30 * RATE : 31 * RATE] = 0
    found = [each for each in find_suspects(measure(mixture, **stems)) if not each.stem]
    assert [(each.start_s, each.end_s) for each in found] == [(30, 31)]
    assert found[0].reason == "much of the song is in no stem"
    alone = find_suspects(measure(mixture, vocals=stems["vocals"]))  # not meant to be all
    assert not any(each.reason == found[0].reason for each in alone)
