import contextlib
import threading

import numpy as np
import pytest
import torch

from estimator_streams import estimated, most_waiting, noise
from partita.audio.conversion import convert_blocks
from partita.dsp.overlap_add import Window
from partita.errors import UnknownNameError, UsageError
from partita.models._protocol import ModelConfig, SeparationModel, SongFacts
from partita.separation.chain import build_estimator
from partita.separation.windowed import InferenceOptions, estimate_blocks
from partita.weights.chain import Link
from partita.weights.identity import NamedModel
from partita.weights.plan import ChainPlan

RATE = 44100


class Signs(SeparationModel):
    """Gives what is above a threshold to one source and the rest to the other."""

    registry_name = "signs"
    config_type = ModelConfig

    def __init__(self, sources, threshold=0.0, window=1000, rate=RATE, channels=2):
        super().__init__(ModelConfig(tuple(sources.split()), rate, channels))
        self.window = window and Window(window, window // 4)
        self.threshold = threshold

    def forward(self, mixture):
        above = (mixture - self.threshold).clamp(min=0)
        return torch.stack([above, mixture - above], dim=1)


class Alone(Signs):
    def forward(self, mixture):
        return mixture[:, None] / 2


def chain(*models, stems=(), **options):
    """Models that take `stems`, one each for all but the first; the accompaniment by default."""
    links = [Link("", stem) for stem in [None, *(stems or [None] * (len(models) - 1))]]
    parts = [NamedModel(str(number)) for number in range(len(models))]
    cpu = InferenceOptions(torch.device("cpu"), torch.float32, **options)
    plan = ChainPlan(tuple(parts), tuple(links)) if len(parts) > 1 else parts[0]
    return build_estimator(plan, cpu, lambda model: models[int(model.name)])


def tone(samples, channels=2, hertz=200):
    wave = np.sin(2 * np.pi * hertz * np.arange(samples) / RATE) * np.hanning(samples)
    return torch.from_numpy(wave).float().expand(1, channels, samples)


@pytest.mark.parametrize(
    "windows", [(1000, 600), (600, 1000), (None, 500), (500, None), (None, None)]
)
@pytest.mark.parametrize("block", [1, 900, 20000])
def test_streams_equal_the_whole(windows, block):
    first = Signs("vocals accompaniment", 0.1, windows[0])
    second = Signs("low high", -0.2, windows[1])
    mixture = noise(3, 2, 5000)
    vocals, accompaniment = first(mixture).unbind(1)
    expected = torch.stack([vocals, *second(accompaniment).unbind(1)], dim=1)
    both = chain(first, second)
    assert both.sources == ("vocals", "low", "high")
    torch.testing.assert_close(estimated(both, mixture, block), expected, atol=1e-6, rtol=0)


def test_equal_names_are_added():
    first, second = Signs("vocals accompaniment", 0.1), Signs("accompaniment vocals", -0.2)
    both = chain(first, second)
    assert both.sources == ("vocals", "accompaniment")
    mixture = noise(1, 2, 3000)
    vocals, rest = first(mixture).unbind(1)
    accompaniment, more = second(rest).unbind(1)
    expected = torch.stack([vocals + more, accompaniment], dim=1)
    torch.testing.assert_close(estimated(both, mixture), expected, atol=1e-6, rtol=0)


def test_a_long_chain_takes_stems_of_all_before():
    models = [Signs("a b", 0.1), Signs("c d", -0.1), Signs("e a", 0.3)]
    long = chain(*models, stems=["b", "a"])
    assert long.sources == ("c", "d", "e", "a")
    mixture = noise(1, 2, 3000)
    a, b = models[0](mixture).unbind(1)
    expected = torch.cat([models[1](b), models[2](a)], dim=1)
    torch.testing.assert_close(estimated(long, mixture), expected, atol=1e-6, rtol=0)


def test_a_first_model_of_one_source():
    first, second = Alone("music"), Signs("high low")
    mixture = noise(1, 2, 3000)
    both = chain(first, second, stems=["music"])
    assert both.sources == ("high", "low")
    torch.testing.assert_close(estimated(both, mixture), second(mixture / 2), atol=1e-6, rtol=0)


CONVERSIONS = [((44100, 2), (22050, 1)), ((22050, 1), (48000, 2)), ((8000, 2), (44100, 2))]


@pytest.mark.parametrize(("one", "other"), CONVERSIONS)
@pytest.mark.parametrize("samples", [1, 2, 999, 1000, 10001])
def test_exactly_as_many_samples_come_out(one, other, samples):
    both = chain(Signs("v accompaniment", 0, 1000, *one), Signs("x y", 0, 800, *other))
    assert (both.sample_rate, both.channels) == one
    assert estimated(both, noise(3, one[1], samples)).shape == (3, 3, one[1], samples)


@pytest.mark.parametrize("second", [(22050, 1), (22050, 2), (44100, 1), (48000, 2)])
def test_other_rates_and_channel_counts(second):
    first = Signs("vocals accompaniment", 10.0)  # all of it is accompaniment
    both = chain(first, Signs("x y", 0, 800, *second))
    mixture = torch.cat([tone(20000), 0.3 * tone(20000, hertz=300)])
    vocals, *parts = estimated(both, mixture).unbind(1)
    assert not vocals.any()
    torch.testing.assert_close(sum(parts), mixture, atol=1e-3, rtol=0)


def test_the_other_stems_are_untouched_by_conversions():
    first = Signs("vocals accompaniment", 0.1)
    mixture = noise(1, 2, 5000)
    both = chain(first, Signs("x y", 0, 800, 16000, 1))
    expected = estimated(chain(first), mixture)[:, 0]
    assert torch.equal(estimated(both, mixture)[:, 0], expected)


@pytest.mark.parametrize("rate", [RATE, 16000])
def test_memory_does_not_grow(rate):
    """However long the stream, what has gone in and not come out stays the same."""
    both = chain(Signs("vocals accompaniment"), Signs("x y", 0, 1000, rate))
    assert most_waiting(both, 400) < most_waiting(both, 100) + 1000


def test_shifts_apply_to_every_model():
    models = Signs("vocals accompaniment", 0.1), Signs("x y", -0.1)
    mixture = noise(1, 2, 9000)
    plain, shifted = (estimated(chain(*models, shifts=count), mixture) for count in (0, 2))
    torch.testing.assert_close(shifted, plain, atol=1e-6, rtol=0)
    both = chain(*models, shifts=2, seed=3)
    assert both.first.offsets == both.second.offsets
    assert len(both.first.offsets) == 2


def test_windows_apply_to_the_models_that_have_some():
    whole, cut = Signs("a accompaniment", window=None), Signs("x y")
    both = chain(whole, cut, segment_s=0.2, overlap=0.5)
    assert (both.first.window, both.second.window) == (None, Window(8820, 4410))
    with pytest.raises(UsageError, match="sees whole tracks: `segment_s`"):
        chain(whole, Signs("x y", window=None), overlap=0.5)


def test_wiener_needs_two_sources_in_every_model():
    both = chain(Signs("a accompaniment", 0.1), Signs("x y", -0.1), wiener=1)
    mixture = noise(1, 2, 3000)
    total = estimated(both, mixture).sum(dim=1)
    torch.testing.assert_close(total, mixture, atol=1e-5, rtol=0)
    with pytest.raises(UsageError, match="signs has one"):
        chain(Signs("a accompaniment"), Alone("x"), wiener=1)


def test_stems_that_are_not_there():
    models = Signs("vocals flute"), Signs("x y")
    with pytest.raises(UnknownNameError, match="unknown stem 'vocal'; did you mean vocals"):
        chain(*models, stems=["vocal"])
    with pytest.raises(UsageError, match="stems of the first: vocals, flute"):
        chain(*models)


@pytest.mark.parametrize("blocks_read", [1, 3, None])
def test_threads_are_given_back(blocks_read):
    models = Signs("a accompaniment"), Signs("b accompaniment"), Signs("x y", 0, 800, 22050)
    before = torch.get_num_threads(), threading.active_count()
    stream = estimate_blocks(chain(*models), torch.split(noise(1, 2, 20000), 500, dim=-1))
    with contextlib.closing(stream):
        for _, _ in zip(range(blocks_read or 1000), stream, strict=False):
            pass
    assert (torch.get_num_threads(), threading.active_count()) == before


def test_threads_are_given_back_after_errors():
    def broken():
        yield noise(1, 2, 5000)
        raise OSError("no more")

    before = torch.get_num_threads(), threading.active_count()
    with pytest.raises(OSError, match="no more"):
        list(estimate_blocks(chain(Signs("a accompaniment"), Signs("x y")), broken()))
    assert (torch.get_num_threads(), threading.active_count()) == before


class Told(Signs):
    """Notes what it is told of a song."""

    def for_song(self, facts):
        self.facts = facts
        return self


@pytest.mark.parametrize(("channels", "expected"), [(2, [0.5, 1.0]), (1, [0.0])])
def test_both_models_of_a_chain_are_told_of_the_song(channels, expected):
    """What a model of one channel gives has no side, whatever the song had."""
    first, second = Told("vocals accompaniment", channels=channels), Told("low high")
    facts = SongFacts(side=torch.tensor([0.5, 1.0]))
    list(estimate_blocks(chain(first, second), [noise(2, channels, 3000)], facts))
    assert first.facts is facts
    assert second.facts.side.tolist() == expected


class Narrow(Signs):
    """Gives the less to its first source the less a song's side is worth."""

    def for_song(self, facts):
        return Signs("vocals accompaniment", 1 - float(facts.side.mean()))


def test_what_is_given_to_the_second_is_what_it_separates():
    both = chain(Narrow("vocals accompaniment"), Signs("low high", -0.2, 800, 22050))
    mixture = torch.split(noise(1, 2, 9000), 777, dim=-1)
    for side in (1.0, 0.5):
        facts = SongFacts(side=torch.tensor([side]))
        stem, known = both.input_of_second(mixture, facts)
        assert known is facts
        parts = torch.cat(list(estimate_blocks(both.second, stem, known)), dim=-1)
        expected = torch.cat(list(estimate_blocks(both, mixture, facts)), dim=-1)[:, 1:]
        back = np.concatenate([*convert_blocks([parts.numpy()], 22050, RATE)], axis=-1)
        np.testing.assert_allclose(back[..., :9000], expected.numpy(), atol=1e-6)
    stem, known = chain(Signs("a accompaniment", channels=1), Signs("low high")).input_of_second(
        [noise(1, 1, 900)], SongFacts()
    )
    assert known.side.tolist() == [0.0]
    assert torch.cat(list(stem), dim=-1).shape == (1, 2, 900)
