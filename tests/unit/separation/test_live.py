"""Live audio: blocks in, aligned stems out, with a stated latency."""

import math

import numpy as np
import pytest
import torch

from common import small_checkpoint
from partita import Audio, Separator
from partita.errors import UsageError

RATE = 44100
SECONDS, BLOCK = 2.0, 441  # from the microphone


@pytest.fixture(scope="module")
def two_models(tmp_path_factory):
    """Checkpoints of the same stems, with windows of 16,384 and 32,768 samples or so."""
    folder = tmp_path_factory.mktemp("live")
    torch.manual_seed(0)
    sources = ["voice", "rest"]
    return tuple(
        str(small_checkpoint(folder / f"{name}.safetensors", name, sources=sources))
        for name in ("unet", "open-unmix")
    )


def cut(samples, lengths):
    ends = np.cumsum(lengths)
    assert ends[-1] >= samples.shape[1]
    return np.split(samples, ends[ends < samples.shape[1]], axis=1)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("keep_rate", [False, True])
def test_live_stems_are_those_of_the_whole(two_models, song, channels, rate, keep_rate):
    mixture = song[:channels, :70_000]
    separator = Separator(two_models[0], segment_s=0.4)
    expected = separator(mixture, rate, keep_rate=keep_rate)
    blocks = cut(mixture, [0, 1, 441, 0, 5000, 40_000, *[4410] * 6])
    parts = list(separator.stream(blocks, rate, keep_rate=keep_rate))
    assert len(parts) > 2
    for stem, audio in expected.items():
        found = torch.cat([part[stem].samples for part in parts], dim=1)
        assert {part[stem].sample_rate for part in parts} == {audio.sample_rate}
        torch.testing.assert_close(found, audio.samples, atol=1e-5, rtol=0)


def separators(two_models):
    first, second = two_models
    yield Separator(first, segment_s=0.4), 1
    yield Separator(first, segment_s=0.4, overlap=0.6, shifts=2), 1
    yield Separator(f"{first}:rest+{second}", segment_s=0.4), 2
    yield Separator([first, second], segment_s=0.4), 1


@pytest.mark.slow
@pytest.mark.parametrize("rate", [44100, 16000])
@pytest.mark.parametrize("number", range(4))
def test_latency_is_what_is_stated(two_models, number, rate):
    separator, windows = list(separators(two_models))[number]
    if rate == RATE:
        assert 0.35 * windows < separator.latency_s < 0.45 * windows
    conversion_s = 0 if rate == RATE else 1200 / rate
    given_s, worst_s = 0.0, 0.0
    rng = np.random.default_rng(0)

    def microphone():
        nonlocal given_s
        while given_s < SECONDS:
            block = rng.uniform(-0.1, 0.1, (2, BLOCK)).astype(np.float32)
            given_s += block.shape[1] / rate
            yield block

    done_s = 0.0
    for estimates in separator.stream(microphone(), rate):
        if given_s >= SECONDS:  # the end, where nothing has to be waited for
            break
        worst_s = max(worst_s, given_s - done_s)  # of the first sample of these
        done_s += estimates["rest" if number != 2 else "voice"].duration_s
        assert given_s - done_s < separator.latency_s + conversion_s
    assert worst_s <= separator.latency_s + conversion_s + BLOCK / rate
    assert worst_s > 0.8 * separator.latency_s


def test_blocks_of_audio_know_their_rate(two_models, song):
    separator = Separator(two_models[0], stems="voice", segment_s=0.4)
    blocks = [Audio(torch.from_numpy(part), RATE) for part in cut(song[:, :60_000], [20_000] * 3)]
    parts = list(separator.stream(blocks))
    assert {part["voice"].sample_rate for part in parts} == {RATE}
    assert sum(part["voice"].shape[1] for part in parts) == 60_000
    assert list(separator.stream([])) == []
    assert list(separator.stream([np.zeros((2, 0), np.float32)], RATE)) == []
    (short,) = separator.stream([song[:, :10]], RATE)
    assert short["voice"].shape == (2, 10)


def test_what_cannot_be_live(two_models, song):
    with pytest.raises(UsageError, match="repet sees whole tracks"):
        Separator("repet").stream([song], RATE)
    assert math.isinf(Separator("repet").latency_s)
    separator = Separator(two_models[0])
    with pytest.raises(UsageError, match="an array needs"):
        list(separator.stream([song]))
    with pytest.raises(UsageError, match=r"blocks of one stream differ: one .* after 2 ch"):
        list(separator.stream([song, song[:1]], RATE))
    with pytest.raises(UsageError, match=r"\[channels, samples\]"):
        list(separator.stream([song[0]], RATE))
    with pytest.raises(UsageError, match="floating-point"):
        list(separator.stream([5], RATE))
    with pytest.raises(UsageError, match="NaN"):
        list(separator.stream([np.full((2, 10), np.nan, np.float32)], RATE))
