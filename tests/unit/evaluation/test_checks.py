import pytest
import torch

from partita.evaluation.checks import find_doubts, find_shift

RATE = 8000


def shifted(signal, shift):
    """Shift ``[..., samples]``, silence where nothing is."""
    moved = torch.roll(signal, shift, dims=-1)
    if shift > 0:
        moved[..., :shift] = 0
    elif shift < 0:
        moved[..., shift:] = 0
    return moved


def hits(rate=0.3, samples=4 * RATE, seed=0, every=None):
    """Bursts of noise at random times, or at every so many samples the same."""
    generator = torch.Generator().manual_seed(seed)
    decay = torch.exp(-torch.arange(samples) / (0.05 * RATE))
    if every:
        hit = torch.randn(2, every, generator=generator) * decay[:every]
        return 0.3 * hit.repeat(1, samples // every + 1)[:, :samples]
    hit = torch.randn(2, samples, generator=generator) * decay
    at = torch.randint(0, samples, (12,), generator=generator).tolist()
    return 0.1 * sum(shifted(hit, place) for place in at)


def noise(seed):
    return 0.1 * torch.randn(2, 4 * RATE, generator=torch.Generator().manual_seed(seed))


def tone(hz, samples=4 * RATE):
    """Notes of a bass: hardly anything but a few frequencies."""
    times = torch.arange(samples) / RATE
    swell = (torch.pi * times).sin().square()
    wave = sum((2 * torch.pi * hz * k * times).sin() / k**2 for k in (1, 2, 3, 4))
    return 0.2 * torch.stack([swell * wave, swell * wave])


@pytest.fixture(scope="module")
def song():
    return {"drums": hits(), "bass": tone(55), "other": hits(seed=1) + 0.3 * tone(330)}


def separated(song, leak):
    """What a separator may make of it: a share of everything else in each stem."""
    mixture = sum(song.values())
    return {name: signal + leak * (mixture - signal) for name, signal in song.items()}


@pytest.mark.parametrize("shift", [-2000, -1105, -529, -1, 1, 2, 20, 529, 1105, 2000, 2257])
@pytest.mark.parametrize("leak", [0.0, 0.5])
def test_a_constant_shift_is_found(song, shift, leak):
    estimates = {n: shifted(s, shift) for n, s in separated(song, leak).items()}
    (doubt,) = find_doubts(song, estimates, RATE)
    count = f"{abs(shift)} sample{'' if abs(shift) == 1 else 's'} "
    assert doubt.startswith(f"estimates are {count}")
    assert ("late" in doubt) == (shift > 0)


@pytest.mark.parametrize("shift", [-20, -1, 0, 1, 20, 1105])
def test_shifts_of_deep_sounds(shift):
    """Whose correlation is broad."""
    hertz = torch.fft.rfftfreq(4 * RATE, 1 / RATE)
    gains = 1 / (1 + (hertz / 800) ** 2)
    deep = [torch.fft.irfft(torch.fft.rfft(hits(seed=seed)) * gains) for seed in (1, 2)]
    song = {"bass": deep[0] + tone(55), "other": deep[1] + tone(70)}
    estimates = {n: shifted(s, shift) for n, s in separated(song, 0.3).items()}
    found = find_shift(*(torch.cat(list(s.values())) for s in (song, estimates)), RATE)
    assert found.samples == shift


def test_one_late_stem_is_named(song):
    estimates = {**song, "drums": shifted(song["drums"], 300)}
    (doubt,) = find_doubts(song, estimates, RATE)
    assert doubt.startswith("the estimate of drums is 300 samples (37.5 ms) late")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda song, name: song[name],
        lambda song, name: song[name] + 0.9 * (sum(song.values()) - song[name]),
        lambda song, name: song[name] + noise(len(name)),
        lambda song, name: 0.01 * song[name],
        lambda song, name: (song[name] * 32).round() / 32,
        lambda song, name: song[name] + 0.3 * shifted(song[name], 900),
        lambda song, name: torch.fft.irfft(torch.fft.rfft(song[name])[:, :4000], 4 * RATE),
    ],
)
def test_bad_separations_are_not_called_late(song, spoil):
    estimates = {name: spoil(song, name) for name in song}
    assert find_doubts(song, estimates, RATE) == []


@pytest.mark.parametrize("shift", [0, 700, -700])
def test_loops_that_repeat_exactly_have_the_least_shift(shift):
    loop = hits(every=RATE // 2)
    found = find_shift(loop[:1], shifted(loop[:1], shift), RATE)
    assert found.samples == shift


def test_another_song(song):
    others = {name: hits(seed=10 + i) for i, name in enumerate(song)}
    (doubt,) = find_doubts(song, others, RATE)
    assert "is it the same song?" in doubt


def test_opposite_polarity(song):
    (doubt,) = find_doubts(song, {name: -signal for name, signal in song.items()}, RATE)
    assert doubt.startswith("estimates have the opposite polarity")


def test_swapped_channels():
    song = {"a": hits() * torch.tensor([[1.0], [0.2]]), "b": hits(seed=1)}
    song["b"][0] = hits(seed=5)[0]
    assert find_doubts(song, separated(song, 0.1), RATE) == []
    (doubt,) = find_doubts(song, {name: s.flip(0) for name, s in song.items()}, RATE)
    assert "left and right of the estimates are swapped" in doubt


def test_exchanged_names(song):
    estimates = {**song, "drums": song["other"], "other": song["drums"]}
    (doubt,) = find_doubts(song, estimates, RATE)
    assert "the estimate of drums sounds like the reference other" in doubt


def test_one_signal_under_several_names(song):
    estimates = {**song, "bass": song["drums"]}
    assert "drums and bass are one and the same signal" in find_doubts(song, estimates, RATE)[0]
    mixture = dict.fromkeys(song, sum(song.values()))
    (doubt,) = find_doubts(song, mixture, RATE)
    assert doubt == "the estimates of drums, bass and other are one and the same signal"


def test_silence_and_shortest_signals_are_no_reason_to_fail(song):
    silence = {name: torch.zeros(2, 100) for name in song}
    assert find_doubts(silence, silence, RATE) == []
    for samples in (1, 2, 3, 50):
        short = {name: signal[:, :samples] for name, signal in song.items()}
        find_doubts(short, short, RATE)


def test_inputs_stay_as_they_are(song):
    before = {name: signal.clone() for name, signal in song.items()}
    find_doubts(song, song, RATE)
    assert all(torch.equal(song[name], before[name]) for name in song)
