import dataclasses
import json
import math

import pytest
import torch

from partita.errors import UsageError
from partita.evaluation import blind
from partita.evaluation.blind import blind_figures

RATE = 44100


def noise(seconds=3.0, channels=2, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(channels, round(seconds * RATE), generator=generator, dtype=dtype)


def low_passed(signal, cutoff_hz):
    spectrum = torch.fft.rfft(signal)
    spectrum[..., math.ceil(cutoff_hz * signal.shape[-1] / RATE) :] = 0
    return torch.fft.irfft(spectrum, n=signal.shape[-1])


def switched(seed, seconds=30, share=0.5):
    """Noise that is switched on and off at random, 4 times a second."""
    generator = torch.Generator().manual_seed(1000 + seed)
    switch = torch.rand(seconds * 4, generator=generator) < share
    on = switch.repeat_interleave(RATE // 4)
    return noise(seconds=seconds, channels=1, seed=seed)[:, : len(on)] * on


def examine(signal, mixture=None):
    return blind_figures(signal if mixture is None else mixture, {"stem": signal}, RATE)["stem"]


def test_levels():
    signal = noise()
    figures = examine(0.5 * signal, signal)
    assert figures.peak_db == pytest.approx(20 * math.log10(float(signal.abs().max()) / 2))
    assert figures.energy_share_db == pytest.approx(20 * math.log10(0.5))
    assert (figures.silent_share, figures.clipped_share) == (0, 0)
    assert figures.correlations == figures.envelope_correlations == figures.bleed_db == {}


def test_silence():
    figures = examine(torch.zeros(2, RATE), noise(seconds=1))
    assert figures.peak_db == figures.energy_share_db == -math.inf
    assert math.isnan(figures.bandwidth_hz)
    assert (figures.silent_share, figures.clipped_share) == (1, 0)


def test_silent_windows_are_counted():
    signal = noise(seconds=2)
    signal[:, : RATE // 2] = 0
    signal[:, RATE // 2 : RATE] *= 10 ** (-41 / 20)  # noise of -20 dBFS: now -61
    signal[:, RATE:] *= 10 ** (-39 / 20)
    assert examine(signal).silent_share == pytest.approx(0.5)


def test_flat_tops_are_clipped():
    signal = torch.zeros(2, 100)
    signal[0, 10:13] = 1.0
    signal[0, 20:22] = 1.0  # too short
    signal[0, 30:33] = torch.tensor([1.0, 1.2, 1.0])  # not flat
    signal[0, 40:43] = torch.tensor([1.0, -1.0, 1.0])
    signal[1, 50:55] = -1.0
    signal[1, 60:65] = 0.9  # flat below full scale
    signal[1, 97:] = 32767 / 32768  # 16 bits
    figures = examine(signal)
    assert figures.clipped_share == pytest.approx((3 + 5 + 3) / 200)
    assert figures.peak_db == pytest.approx(20 * math.log10(1.2))
    hot = 20 * noise()
    assert examine(hot).clipped_share == 0
    over = (hot.abs() >= 1).double().mean()
    assert 0 < examine(hot.clamp(-1, 1)).clipped_share < over


@pytest.mark.parametrize("cutoff_hz", [4000, 11_000, 16_000])
@pytest.mark.parametrize("bits", [16, 32])
def test_bandwidth_is_the_cut_off(cutoff_hz, bits):
    seamless = low_passed(noise(seconds=5, dtype=torch.float64), cutoff_hz)
    if bits == 16:  # rounding noise is 80 dB down only below a peak, such as a bass
        time = torch.arange(seamless.shape[-1]) / RATE
        seamless = seamless + 0.3 * torch.sin(2 * math.pi * 60 * time)
        seamless = (seamless * 2**15).round() / 2**15
    assert cutoff_hz - 20 < examine(seamless.float()).bandwidth_hz < cutoff_hz + 150


def test_bandwidth_of_whole_and_short_signals():
    assert examine(noise()).bandwidth_hz == pytest.approx(RATE / 2)
    assert math.isnan(examine(noise(seconds=0.05)).bandwidth_hz)
    offset = low_passed(noise(), 8000) * 0.1 + 0.2
    assert examine(offset).bandwidth_hz == pytest.approx(8000, abs=150)


def test_correlations():
    first, second = noise(seed=1), noise(seed=2)
    fade = torch.linspace(0, 1, first.shape[-1])
    stems = {"a": first * fade, "b": second * fade, "c": -first, "d": 0 * first}
    figures = blind_figures(first + second, stems, RATE)
    assert list(figures) == ["a", "b", "c", "d"]
    assert figures["a"].correlations["b"] == pytest.approx(0, abs=0.02)
    assert figures["a"].envelope_correlations["b"] > 0.99
    assert figures["a"].correlations["c"] == pytest.approx(-math.sqrt(3) / 2, abs=0.01)
    one, other = figures["b"].correlations["a"], figures["a"].correlations["b"]
    assert one == pytest.approx(other, abs=1e-12)  # processors add in other orders
    assert list(figures["b"].correlations) == ["a", "c", "d"]
    assert math.isnan(figures["a"].correlations["d"])
    assert math.isnan(figures["d"].envelope_correlations["a"])


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_bleed_is_near_the_truth(share):
    voice, flute, rest = (switched(seed, share=share) for seed in range(3))
    for gain in (0.001, 0.01, 0.1, 0.2):
        leaking = voice + gain * flute
        stems = {"voice": leaking, "flute": (1 - gain) * flute, "rest": rest + 0.05 * voice}
        figures = blind_figures(voice + flute + rest, stems, RATE)
        truth = 20 * math.log10(gain / (1 - gain))
        assert figures["voice"].bleed_db["flute"] == pytest.approx(truth, abs=1)
        assert figures["rest"].bleed_db["voice"] == pytest.approx(20 * math.log10(0.05), abs=1)
        assert figures["voice"].bleed_db["rest"] < -100


def test_bleed_grows_with_the_gain_whatever_plays():
    voice, flute = switched(1), noise(seconds=30, channels=1, seed=2)
    previous = -math.inf
    for gain in (0.001, 0.01, 0.03, 0.1, 0.3, 1):
        stems = {"voice": voice + gain * flute, "flute": flute}
        bleed_db = blind_figures(voice + flute, stems, RATE)["voice"].bleed_db["flute"]
        assert bleed_db > previous
        previous = bleed_db
    # A stem that never pauses: only a bound from above.
    stems = {"voice": noise(seconds=30, channels=1, seed=3), "flute": flute}
    bound_db = blind_figures(flute, stems, RATE)["voice"].bleed_db["flute"]
    assert -6 < bound_db <= 0


def test_bleed_of_some_bands_only():
    voice, flute = switched(1), switched(2)
    stems = {"voice": voice + 0.1 * low_passed(flute, 8000), "flute": flute}
    bleed_db = blind_figures(voice + flute, stems, RATE)["voice"].bleed_db["flute"]
    assert bleed_db == pytest.approx(-20 + 10 * math.log10(8000 / 22050), abs=1)


def test_bleed_is_never_louder_than_the_stem():
    voice = noise(seconds=5)
    figures = blind_figures(voice, {"loud": 4 * voice, "voice": voice}, RATE)
    assert figures["loud"].bleed_db["voice"] == 0
    assert figures["voice"].bleed_db["loud"] == pytest.approx(20 * math.log10(1 / 4))


def test_bleed_cannot_always_be_judged():
    voice = noise(seconds=5)
    hit = torch.zeros_like(voice)
    hit[:, RATE : 2 * RATE] = voice[:, :RATE]  # some twenty frames
    uneven = 1e-1 * voice  # sounding throughout, active as rarely
    uneven[:, RATE : 2 * RATE] = 5 * voice[:, :RATE]
    stems = {"voice": voice, "silence": 0 * voice, "hit": hit, "uneven": uneven}
    figures = blind_figures(voice, stems, RATE)
    for other in ("silence", "hit", "uneven"):
        assert math.isnan(figures["voice"].bleed_db[other])
    assert figures["silence"].bleed_db["voice"] == -math.inf
    assert figures["hit"].bleed_db["voice"] == -math.inf


def test_blocks_change_little(monkeypatch):
    stems = {"low": low_passed(noise(seed=1), 9000), "all": noise(seed=2)}
    whole = blind_figures(noise(), stems, RATE)["low"]
    monkeypatch.setattr(blind, "_BLOCK_SAMPLES", 20_000)
    blocks = blind_figures(noise(), stems, RATE)["low"]
    assert blocks.bandwidth_hz == pytest.approx(whole.bandwidth_hz, abs=25)
    assert blocks.correlations == pytest.approx(whole.correlations)


def test_figures_are_plain_and_inputs_untouched():
    mixture, stems = noise(), {"a": noise(seed=1), "b": noise(seed=2, dtype=torch.float64)}
    before = mixture.clone(), {name: signal.clone() for name, signal in stems.items()}
    figures = blind_figures(mixture, stems, RATE)
    assert set(json.loads(json.dumps(dataclasses.asdict(figures["b"])))) >= {"peak_db", "bleed_db"}
    torch.testing.assert_close((mixture, stems), before, rtol=0, atol=0)


def test_one_sample_is_enough():
    figures = examine(torch.full((1, 1), 0.5))
    assert figures.peak_db == pytest.approx(20 * math.log10(0.5))
    assert (figures.silent_share, figures.clipped_share) == (0, 0)


@pytest.mark.parametrize(
    ("mixture", "stems", "message"),
    [
        (torch.ones(2, 9), {}, "no estimates"),
        (torch.ones(9), {"a": torch.ones(9)}, "a mixture is"),
        (torch.ones(2, 0), {"a": torch.ones(2, 0)}, "a mixture is"),
        (torch.ones(2, 9), {"a": torch.ones(1, 9)}, "a and mixture differ in shape"),
        (torch.ones(2, 9), {"a": torch.full((2, 9), math.nan)}, "a holds NaN"),
        (torch.full((2, 9), math.inf), {"a": torch.ones(2, 9)}, "mixture holds NaN"),
    ],
)
def test_nonsense_is_refused(mixture, stems, message):
    with pytest.raises(UsageError, match=message):
        blind_figures(mixture, stems, RATE)
