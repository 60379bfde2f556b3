"""Pitch and tempo."""

import numpy as np
import pytest
import torch

from partita.audio.pitch_tempo import change_pitch_and_tempo

RATE = 16000


def sine(hertz, seconds=2.0, channels=2):
    times = torch.arange(round(seconds * RATE)) / RATE
    return (0.5 * torch.sin(2 * torch.pi * hertz * times)).expand(channels, -1).contiguous()


def frequency(audio):
    """Return the strongest frequency in hertz."""
    inner = audio[0, RATE // 5 : -RATE // 5]
    spectrum = torch.fft.rfft(inner * torch.hann_window(len(inner)), n=1 << 18).abs()
    return float(spectrum.argmax()) * RATE / (1 << 18)


@pytest.mark.parametrize("semitones", [-12, -1.5, 0, 3, 12])
@pytest.mark.parametrize("tempo", [0.5, 0.9, 1, 1.1, 1.5])
def test_pitch_and_tempo_change_apart(semitones, tempo):
    audio = sine(440)
    before = audio.clone()
    changed = change_pitch_and_tempo(audio, RATE, semitones, tempo)
    assert changed.shape == (2, round(audio.shape[1] / tempo))
    assert changed.dtype == torch.float32
    assert frequency(changed) == pytest.approx(440 * 2 ** (semitones / 12), rel=4e-3)
    assert torch.equal(audio, before)
    tail = changed[:, -RATE // 8 : -RATE // 10]  # it is heard to shortly before the end
    assert float(tail.square().mean().sqrt()) == pytest.approx(0.5 / 2**0.5, rel=0.2)


def test_nothing_to_change():
    audio = sine(440)
    assert torch.equal(change_pitch_and_tempo(audio, RATE, 0, 1), audio)


def test_it_is_deterministic():
    noise = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (2, RATE)).astype(np.float32))
    first, again = (change_pitch_and_tempo(noise, RATE, 2, 1.1) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, change_pitch_and_tempo(noise, RATE, 2, 1.11))


def test_what_is_faster_happens_earlier():
    audio = torch.zeros(1, 4 * RATE)
    audio[:, 2 * RATE : 3 * RATE] = sine(300, 1, 1)
    for semitones, tempo in ((0, 1.25), (0, 0.8), (5, 1), (-5, 1.25)):
        heard = change_pitch_and_tempo(audio, RATE, semitones, tempo)[0].abs() > 0.1
        first, last = heard.nonzero()[[0, -1], 0].tolist()
        assert first / RATE == pytest.approx(2 / tempo, abs=0.06)
        assert last / RATE == pytest.approx(3 / tempo, abs=0.06)


def test_channels_stay_in_phase():
    noise = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (1, RATE)).astype(np.float32))
    changed = change_pitch_and_tempo(torch.cat([noise, -0.5 * noise]), RATE, 1, 0.9)
    assert torch.allclose(changed[1], -0.5 * changed[0], atol=1e-5)


@pytest.mark.parametrize("channels", [1, 8, 10])
def test_any_number_of_channels(channels):
    assert change_pitch_and_tempo(sine(440, 1, channels), RATE, 1, 1.1).shape[0] == channels


@pytest.mark.parametrize("samples", [1, 100])
def test_very_short_audio(samples):
    changed = change_pitch_and_tempo(torch.ones(2, samples), RATE, 2, 1.1)
    assert changed.shape == (2, round(samples / 1.1))
