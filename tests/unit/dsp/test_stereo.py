import itertools

import numpy as np
import pytest
import torch

from partita.dsp.stereo import StereoField, StereoMeter

RATE = 44100


@pytest.fixture(scope="module")
def stereo():
    """Five seconds of ordinary stereo: chords in both channels, some of them to one side."""
    generator = np.random.default_rng(0)
    times = np.arange(5 * RATE) / RATE
    song = np.zeros((2, len(times)))
    for note in range(36):
        start = note // 2 * RATE // 4
        decay = np.exp(-4 * times[: len(times) - start])
        hertz = 110 * 2 ** (generator.integers(0, 36) / 12)
        tone = sum(np.sin(2 * np.pi * hertz * k * times[: len(decay)]) / k for k in range(1, 7))
        pan = generator.uniform(-0.25, 0.25)
        song[:, start:] += np.array([[0.5 - pan], [0.5 + pan]]) * tone * decay
        hiss = generator.standard_normal(len(decay)) * np.exp(-20 * times[: len(decay)])
        song[:, start:] += np.array([[0.5 + pan], [0.5 - pan]]) * hiss
    return (0.1 * song).astype(np.float32)


def field_of(song, block=10000):
    meter = StereoMeter(RATE)
    for start in range(0, song.shape[-1], block):
        meter.add(song[None, :, start : start + block])
    return meter.field()


def narrowed(song, decibels):
    mid = song.mean(axis=0, keepdims=True)
    return (mid + 10 ** (decibels / 20) * (song - mid)).astype(np.float32)


def width_db(song):
    left, right = song.astype(np.float64)
    return 20 * np.log10(np.linalg.norm(left - right) / np.linalg.norm(left + right) + 1e-10)


def noise_beside(song, decibels):
    noise = np.random.default_rng(1).standard_normal(song.shape[-1])
    return noise * np.sqrt(np.square(song).mean()) * 10 ** (decibels / 20)


def test_ordinary_stereo_is_not_touched(stereo):
    field = field_of(stereo)
    assert torch.equal(field.matrix, torch.eye(2, dtype=torch.float64)[None])
    assert field.side.tolist() == [1.0]
    mixture = torch.from_numpy(stereo)[None]
    assert field.apply(mixture) is mixture
    # Swapped, louder or a little unbalanced it is ordinary still.
    for other in (stereo[::-1], 50 * stereo, stereo * np.float32([[1], [0.7]])):
        assert torch.equal(field_of(other.copy()).matrix, field.matrix)


def test_memory_and_blocks_do_not_matter(stereo):
    long = np.tile(stereo, (1, 16))  # more moments than are kept
    whole, pieces = field_of(narrowed(long, -15), long.shape[1]), field_of(narrowed(long, -15), 777)
    assert torch.equal(whole.matrix, pieces.matrix)
    assert torch.equal(whole.side, pieces.side)
    meter = StereoMeter(RATE)
    for _ in range(6):
        meter.add(long[None])
    assert len(meter._spectra) <= 768


@pytest.mark.parametrize("decibels", [-24, -32, -40])
def test_narrow_songs_are_widened_to_one_width(stereo, decibels):
    field = field_of(narrowed(stereo, decibels))
    assert field.side.item() > 0.99
    found = field.apply(torch.from_numpy(narrowed(stereo, decibels))[None])[0].numpy()
    assert width_db(found) == pytest.approx(-16, abs=2)
    less = field_of(narrowed(stereo, decibels - 6))
    again = less.apply(torch.from_numpy(narrowed(stereo, decibels - 6))[None])[0].numpy()
    np.testing.assert_allclose(again, found, atol=1e-5)


def test_the_side_counts_less_the_less_there_is_of_it(stereo):
    worth = [field_of(narrowed(stereo, level)).side.item() for level in np.arange(0.0, -80, -2)]
    assert worth[0] == 1
    assert worth[-1] == 0
    assert all(0 <= before - after < 0.3 for before, after in itertools.pairwise(worth))


@pytest.mark.parametrize("decibels", [-30, -50, -60, -70])
def test_noise_in_the_side_is_worth_nothing(stereo, decibels):
    mid, noise = stereo.mean(axis=0), noise_beside(stereo, decibels)
    song = np.stack([mid + noise, mid - noise]).astype(np.float32)
    field = field_of(song)
    assert field.side.item() < 0.1
    heard = field.apply(torch.from_numpy(song)[None])[0].numpy()
    assert width_db(heard) < max(decibels, -45) + 6


@pytest.mark.parametrize("quiet", [0, 1])
@pytest.mark.parametrize("gain", [0.1, 0.03])
def test_channels_are_made_equally_loud(stereo, quiet, gain):
    gains = np.float32([[1], [1]])
    gains[quiet] = gain
    field = field_of(stereo * gains)
    heard = field.apply(torch.from_numpy(stereo * gains)[None])[0]
    assert (heard[0].norm() / heard[1].norm()).log10().mul(20).abs() < 3
    assert field.side.item() == 1


@pytest.mark.parametrize("silent", [0, 1])
@pytest.mark.parametrize("noise_db", [None, -60])
def test_a_silent_channel_takes_the_other_ones_place(stereo, silent, noise_db):
    song = stereo.copy()
    song[silent] = 0 if noise_db is None else noise_beside(stereo, noise_db)
    field = field_of(song)
    assert field.side.item() < 0.1
    heard = field.apply(torch.from_numpy(song)[None])[0]
    assert width_db(heard.numpy()) < -40
    middle = torch.from_numpy(song[1 - silent])
    torch.testing.assert_close(heard.mean(dim=0), middle, atol=5e-3, rtol=0)


def test_polarity_is_inverted_back(stereo):
    turned = stereo * np.float32([[1], [-1]])
    field = field_of(turned)
    assert field.is_inverted
    assert torch.equal(field.apply(torch.from_numpy(turned)[None])[0], torch.from_numpy(stereo))
    opposite = stereo.mean(axis=0) * np.float32([[1], [-1]])
    field = field_of(opposite)
    assert field.side.item() == 0
    heard = field.apply(torch.from_numpy(opposite)[None])[0]
    assert torch.equal(heard[0], heard[1])


def variants(stereo):
    yield from (narrowed(stereo, level) for level in (-6, -12, -20, -60, -200))
    yield from (stereo * np.float32(gains).reshape(2, 1) for gains in ([1, 0], [0, 1], [1, 0.02]))
    yield stereo * np.float32([[-0.01], [1]])
    yield narrowed(stereo, -25) * np.float32([[0.05], [-1]])


def test_the_map_is_undone(stereo):
    generator = torch.Generator().manual_seed(0)
    for song in variants(stereo):
        field = field_of(song)
        mixture = torch.from_numpy(song[None].astype(np.float32))
        mapped = field.apply(mixture)
        assert mapped.isfinite().all()
        part = torch.rand(1, 3, 2, 1, generator=generator) * mapped[:, None]
        estimates = torch.cat([part, (mapped - part.sum(dim=1))[:, None]], dim=1)
        total = field.undo(estimates).sum(dim=1)
        peak = mixture.abs().amax()
        torch.testing.assert_close(total, mixture, atol=2e-6 * peak.item(), rtol=0)


@pytest.mark.parametrize(
    "song",
    [
        np.zeros((2, RATE)),
        np.ones((2, 1)),
        np.full((2, RATE), 0.5),
        np.array([[0.5], [0.0]]) * np.ones((2, RATE)),
        1e-30 * np.ones((2, 5000)),
        1e30 * np.ones((2, 5000)),
    ],
    ids=["silence", "one sample", "DC", "DC left", "quiet", "loud"],
)
def test_odd_songs_have_a_field(song):
    field = field_of(song.astype(np.float32))
    assert torch.linalg.inv(field.matrix).isfinite().all()
    assert 0 <= field.side.item() <= 1


def test_pairs_of_channels_are_independent(stereo):
    meter = StereoMeter(RATE)
    meter.add(np.stack([stereo, narrowed(stereo, -200)]))
    field = meter.field()
    assert field.side.tolist() == [1.0, 0.0]
    assert StereoField.mono(2).side.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("rate", [8000, 16000, 96000, 1000])
def test_rates(stereo, rate):
    meter = StereoMeter(rate)
    meter.add(stereo[None, :, : 4 * rate])
    assert meter.field().side.item() > 0.5


@pytest.fixture(scope="module")
def instruments(stereo):
    """Two mono instruments, of which one is late: their sum has as much bass as the song."""
    one = stereo.mean(axis=0)
    return np.stack([one, np.roll(one, RATE)])


def test_hard_panned_channels_are_songs_of_their_own(instruments, stereo):
    field = field_of(instruments)
    assert field.hard_panned == (True,)
    assert field.mapped_side.tolist() == [0.0, 0.0]
    mixture = torch.from_numpy(instruments)[None]
    given = field.apply(mixture)
    assert given.shape == (2, 2, instruments.shape[1])
    for channel in range(2):
        for copy in range(2):
            assert torch.equal(given[channel, copy], mixture[0, channel])
    shares = torch.tensor([0.3, 0.5, 0.2])[None, :, None, None]
    estimates = field.undo(shares * given[:, None])
    assert estimates.shape == (1, 3, 2, instruments.shape[1])
    torch.testing.assert_close(estimates.sum(dim=1), mixture)
    torch.testing.assert_close(estimates[:, 1], 0.5 * mixture)


def test_a_voice_in_the_middle_of_hard_panned_instruments(instruments):
    voice = 0.7 * np.roll(instruments.mean(axis=0), RATE // 2)
    assert field_of((instruments + voice).astype(np.float32)).hard_panned == (True,)


def test_what_is_not_hard_panned(stereo, instruments):
    mono = np.stack([instruments[0]] * 2)
    silent = np.zeros_like(stereo)
    for song in (stereo, mono, narrowed(stereo, -30), mono * np.float32([[1], [-1]]), silent):
        assert field_of(song).hard_panned == (False,)
    one_sided = np.stack([instruments[0], silent[0]])
    assert field_of(one_sided).hard_panned == (False,)
    # Wide, but for the bass.
    low = np.fft.rfft(stereo.mean(axis=0))
    low[1500:] = 0  # 300 Hz
    bass = 3 * np.fft.irfft(low, stereo.shape[1])
    treble = np.random.default_rng(0).standard_normal(stereo.shape)
    treble = np.diff(treble, axis=1, prepend=0) * 0.3 * np.sqrt(np.square(bass).mean())
    assert field_of((bass + treble).astype(np.float32)).hard_panned == (False,)


def test_groups_may_be_apart_or_not(stereo, instruments):
    both = np.stack([stereo, instruments, stereo])
    meter = StereoMeter(RATE)
    meter.add(both)
    field = meter.field()
    assert field.hard_panned == (False, True, False)
    assert field.mapped_side.tolist() == [1.0, 0.0, 0.0, 1.0]
    mixture = torch.from_numpy(both)
    given = field.apply(mixture)
    assert given.shape[0] == 4
    back = field.undo(given[:, None])
    torch.testing.assert_close(back[:, 0], mixture)
