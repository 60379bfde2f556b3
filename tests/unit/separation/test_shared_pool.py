"""Windows of several songs in one call, on a device that records what it gets."""

import copy
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor

import numpy as np
import pytest
import torch

from common import SMALL_UNET
from estimator_streams import estimated, noise
from partita.dsp.overlap_add import Window
from partita.models import create_model
from partita.models._protocol import ModelConfig, SeparationModel, SongFacts
from partita.separation.separator import Separator
from partita.separation.shared_pool import SharedPool
from partita.separation.windowed import InferenceOptions, WindowedModel

CPU = InferenceOptions(torch.device("cpu"), torch.float32)


class Device:
    """Doubles windows, one call at a time, and records the calls.

    Windows are ``[song, number]``. Calls wait for `go`, so that others gather behind them.
    """

    def __init__(self, most=8):
        self.pool, self.calls, self.begun = SharedPool(most), [], threading.Event()
        self.go, self.broken, self.takes_s = threading.Event(), (), 0.0

    def estimate(self, windows):
        self.begun.set()
        assert self.go.wait(10)
        songs = [int(window[0]) for window in windows]
        self.calls.append(songs)
        if any(song in self.broken for song in songs):
            raise ArithmeticError("this song breaks it")
        time.sleep(self.takes_s)
        return [2 * window for window in windows]


def windows_of(song, *numbers, length=2):
    return [torch.tensor([song, number] + [0] * (length - 2)) for number in numbers]


def doubled(call):
    return [tuple(window.tolist()) for window in call.result(10)]


def test_what_waits_is_merged_oldest_first_and_comes_back_in_order():
    device = Device(most=9)
    with device.pool.stream() as one, device.pool.stream() as two, device.pool.stream() as three:
        first = one.submit(device.estimate, windows_of(1, 0))
        assert device.begun.wait(10)  # nothing waits for the call to become full
        later = [
            two.submit(device.estimate, windows_of(2, 0, 1, 2, 3)),
            three.submit(device.estimate, windows_of(3, 0, 1, 2, 3)),
            three.submit(device.estimate, windows_of(3, 4)),
            one.submit(device.estimate, windows_of(1, 1, 2)),
        ]
        device.go.set()
        assert doubled(first) == [(2, 0)]
        assert [doubled(call) for call in later] == [
            [(4, 0), (4, 2), (4, 4), (4, 6)],
            [(6, 0), (6, 2), (6, 4), (6, 6)],
            [(6, 8)],
            [(2, 2), (2, 4)],
        ]
    assert device.calls == [[1], [2, 2, 2, 2, 3, 3, 3, 3], [3, 1, 1]]


def test_only_windows_of_one_model_and_length_are_merged():
    device, other = Device(), Device()
    other.go.set()
    with device.pool.stream() as one, device.pool.stream() as two:
        calls = [one.submit(device.estimate, windows_of(1, 0))]
        assert device.begun.wait(10)
        calls += [
            one.submit(device.estimate, windows_of(1, 1)),
            two.submit(other.estimate, windows_of(2, 0)),
            two.submit(device.estimate, windows_of(2, 1, length=3)),
            two.submit(device.estimate, windows_of(2, 2)),
        ]
        device.go.set()
        found = [doubled(call) for call in calls]
    assert found == [[(2, 0)], [(2, 2)], [(4, 0)], [(4, 2, 0)], [(4, 4)]]
    assert (device.calls, other.calls) == ([[1], [1, 2], [2]], [[2]])


def test_a_song_that_fails_fails_alone():
    device = Device()
    device.broken = (2,)
    with device.pool.stream() as one, device.pool.stream() as two:
        calls = [one.submit(device.estimate, windows_of(1, 0))]
        assert device.begun.wait(10)
        calls += [
            one.submit(device.estimate, windows_of(1, 1)),
            two.submit(device.estimate, windows_of(2, 0)),
        ]
        device.go.set()
        assert [doubled(call) for call in calls[:2]] == [[(2, 0)], [(2, 2)]]
        with pytest.raises(ArithmeticError, match="this song"):
            calls[2].result(10)
        assert doubled(one.submit(device.estimate, windows_of(1, 2))) == [(2, 4)]


def test_a_song_that_ends_early_leaves_nothing_to_the_device():
    device = Device()
    with device.pool.stream() as one:
        running = one.submit(device.estimate, windows_of(1, 0))
        assert device.begun.wait(10)
        with device.pool.stream() as two:
            dropped = two.submit(device.estimate, windows_of(2, 0))
        with pytest.raises(CancelledError):
            dropped.result(10)
        device.go.set()
        assert doubled(running) == [(2, 0)]
        assert doubled(one.submit(device.estimate, windows_of(1, 1))) == [(2, 2)]
    assert device.calls == [[1], [1]]


def test_its_thread_ends_with_the_last_song_and_starts_again():
    device, before = Device(), threading.active_count()
    device.go.set()
    for _ in range(2):
        with device.pool.stream() as one, device.pool.stream():
            assert doubled(one.submit(device.estimate, windows_of(1, 0))) == [(2, 0)]
            assert threading.active_count() == before + 1
        assert threading.active_count() == before


def test_songs_advance_alike():
    device, songs, count = Device(most=6), 4, 30
    device.takes_s = 0.001
    device.go.set()
    start = threading.Barrier(songs)

    def song(number):
        with device.pool.stream() as stream:
            start.wait(10)
            waiting = []
            for window in range(count):  # as many calls at a time as one stream hands in
                waiting.append(stream.submit(device.estimate, windows_of(number, window)))
                if len(waiting) > 2:
                    waiting.pop(0).result(10)
            for call in waiting:
                call.result(10)

    gate = device.pool.stream()
    with gate, ThreadPoolExecutor(songs) as pool:
        for each in [pool.submit(song, number) for number in range(songs)]:
            each.result(10)
    windows = [number for call in device.calls for number in call]
    assert sorted(windows) == sorted([*range(songs)] * count)
    assert len(device.calls) < songs * count  # some were merged
    assert all(len(set(call)) == len(call) for call in device.calls)  # one of each song at most
    half = [number for call in device.calls[: len(device.calls) // 2] for number in call]
    assert all(half.count(number) > count // 4 for number in range(songs))


class Halves(SeparationModel):
    registry_name, config_type = "halves", ModelConfig
    window = Window(1000, 250)

    def __init__(self):
        super().__init__(ModelConfig(("a", "b")))
        self.sizes = []

    def forward(self, mixture):
        self.sizes.append(len(mixture))
        return torch.stack([mixture / 2, mixture * mixture], dim=1)


def together(model, mixtures):
    """Separate streams in threads of their own, which start at once."""
    start = threading.Barrier(len(mixtures))

    def one(mixture):
        start.wait(10)
        return estimated(model, mixture, 500)

    with ThreadPoolExecutor(len(mixtures)) as pool:
        return list(pool.map(one, mixtures))


def test_streams_together_equal_each_alone():
    mixtures = [noise(1, 2, 900 * (number + 1), seed=number) for number in range(5)]
    alone = [estimated(WindowedModel(Halves(), CPU), mixture, 500) for mixture in mixtures]
    model = WindowedModel(Halves(), CPU)
    model.shared, model.workers, model.batch = SharedPool(16), 1, 4
    for expected, found in zip(alone, together(model, mixtures), strict=True):
        torch.testing.assert_close(found, expected, atol=0, rtol=0)
    assert max(model.model.sizes) <= 16


def test_calls_of_one_stream_are_not_merged():
    model = WindowedModel(Halves(), CPU)
    model.shared, model.workers, model.batch = SharedPool(16), 1, 4
    estimated(model, noise(1, 2, 12000))
    assert model.model.sizes == [4, 4, 4, 4]


def test_networks_differ_in_their_last_bits_only():
    torch.manual_seed(0)
    network = create_model("unet", {"sources": ["voice", "rest"], **SMALL_UNET}).eval()
    mixtures = [noise(1, 2, 150_000, seed=number) for number in range(3)]
    model = WindowedModel(network, CPU)
    alone = [estimated(model, mixture, 30_000) for mixture in mixtures]
    model.shared, model.workers, model.batch = SharedPool(16), 1, 4
    for expected, found in zip(alone, together(model, mixtures), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_a_device_without_memory_gets_smaller_calls_from_then_on():
    class Small(Halves):
        def forward(self, mixture):
            if len(mixture) > 3:
                self.sizes.append(-len(mixture))
                raise torch.OutOfMemoryError
            return super().forward(mixture)

    model = WindowedModel(Small(), CPU)
    model.shared = SharedPool(8)
    windows = list(noise(8, 1, 2, 1000))
    assert len(model.estimate(windows)) == 8
    assert model.model.sizes == [-8, -4, 2, 2, -4, 2, 2]
    assert model.shared.most == 2


def test_songs_whose_model_is_adapted_are_computed_apart():
    class Adapted(Halves):
        def for_song(self, facts):
            return self if facts.side is None else copy.copy(self)

    model, narrow = WindowedModel(Adapted(), CPU), SongFacts(side=torch.zeros(1))
    assert model.for_song(SongFacts()).estimate == model.for_song(SongFacts()).estimate
    assert model.for_song(narrow).estimate != model.for_song(narrow).estimate


def test_many_songs_at_once_on_one_separator(tiny_model, write_song, tmp_path, song):
    for number in range(3):
        write_song(
            f"album/{number}.wav", np.roll(song, 1000 * number, 1)[:, : 40_000 * (number + 1)]
        )
    plain, shared = Separator(tiny_model), Separator(tiny_model)
    shared.models[0].shared = SharedPool(16)
    made = {}
    for name, separator, jobs in (("alone", plain, 1), ("together", shared, 3)):
        found = separator.separate_many(
            [tmp_path / "album"], tmp_path / name, bits="float", jobs=jobs
        )
        made[name] = [outcome.paths["voice"] for outcome in found]
    for one, other in zip(*made.values(), strict=True):
        np.testing.assert_allclose(read(one), read(other), atol=1e-6, rtol=0)


def read(path):
    import soundfile

    return soundfile.read(path, dtype="float32")[0]
