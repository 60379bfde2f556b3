import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from partita.dsp.blocks import until_last
from partita.dsp.overlap_add import OverlapAdd, Window, overlap_add, random_offsets


def cut(signal, sizes):
    """Cut a signal into blocks of the given sizes, over and over."""
    start = 0
    for size in itertools.cycle(sizes):
        if start >= signal.shape[-1]:
            return
        yield signal[..., start : start + size]
        start += size


def made(blocks, function, window, delay=0):
    """Yield what comes of a stream, as soon as it is there."""
    stream = OverlapAdd(window, delay)
    for block, last in until_last(blocks):
        for excerpt in stream.cut(block, last):
            yield stream.join(function(excerpt))


def run(signal, sizes, function, window, delay=0):
    return torch.cat(list(made(cut(signal, sizes), function, window, delay)), dim=-1)


windows = st.integers(1, 60).flatmap(
    lambda length: st.builds(Window, st.just(length), st.integers(0, length - 1))
)
block_sizes = st.lists(st.integers(1, 50), min_size=1, max_size=4)


@given(st.integers(1, 300), block_sizes, windows)
def test_identity_gives_the_signal_back(count, sizes, window):
    signal = torch.randn(2, count, generator=torch.Generator().manual_seed(count))
    result = run(signal, sizes, lambda x: torch.stack([x, 2 * x]), window)
    assert result.shape == (2, 2, count)
    torch.testing.assert_close(result[0], signal)
    torch.testing.assert_close(result[1], 2 * signal)


@pytest.mark.slow
@given(st.integers(1, 300), block_sizes, block_sizes, windows)
def test_result_does_not_depend_on_the_blocks(count, sizes, others, window):
    signal = torch.randn(1, count, generator=torch.Generator().manual_seed(count))

    def position_dependent(x):
        return x * torch.linspace(0.5, 1.5, x.shape[-1])

    first = run(signal, sizes, position_dependent, window)
    second = run(signal, others, position_dependent, window)
    assert torch.equal(first, second)


def test_every_window_has_the_full_length():
    lengths = []

    def note(x):
        lengths.append(x.shape[-1])
        return x

    run(torch.randn(1, 1003), [64], note, Window(100, 25))
    assert set(lengths) == {100}


def test_short_signal_makes_one_short_window():
    lengths = []
    run(torch.randn(1, 7), [3], lambda x: lengths.append(x.shape[-1]) or x, Window(100, 25))
    assert lengths == [7]


def test_crossfade_hides_a_step():
    # Windows that disagree by a constant must not click: the step is spread over the overlap.
    values = itertools.count()
    result = run(torch.zeros(1, 1000), [1000], lambda x: x + next(values), Window(200, 100))
    assert result.diff().abs().max() < 0.02


def test_a_signal_is_a_stream_of_one_block():
    signal = torch.randn(2, 777, generator=torch.Generator().manual_seed(0))
    window = Window(100, 30)
    assert torch.equal(
        overlap_add(signal, torch.tanh, window), run(signal, [50], torch.tanh, window)
    )


def test_without_a_window_all_of_it_is_one():
    seen = []
    signal = torch.randn(2, 777, generator=torch.Generator().manual_seed(0))
    assert torch.equal(run(signal, [50], lambda x: seen.append(x) or x, None), signal)
    assert [tuple(each.shape) for each in seen] == [(2, 777)]


def test_the_last_window_reads_real_signal_not_padding():
    seen = []
    signal = torch.arange(1.0, 251.0)[None]
    run(signal, [250], lambda x: seen.append(x) or x, Window(100, 25))
    assert torch.equal(seen[-1], signal[:, 150:])


@given(st.integers(1, 300), block_sizes, st.integers(1, 9), st.integers(0, 8), st.integers(1, 5))
def test_windows_begin_at_whole_steps(count, sizes, step, rest, steps):
    """What depends on the place within a step is the same in all windows, and in the whole."""
    window = Window(5 * step + rest, 5 * step + rest - steps * step, step)
    signal = torch.randn(1, count, generator=torch.Generator().manual_seed(count))

    def periodic(x):
        return x * (1 + torch.arange(x.shape[-1]) % step)

    torch.testing.assert_close(run(signal, sizes, periodic, window), periodic(signal))


def test_the_last_window_is_filled_up_to_a_step():
    seen = []
    signal = torch.arange(1.0, 246.0)[None]
    result = run(signal, [250], lambda x: seen.append(x) or x, Window(100, 30, 10))
    assert torch.equal(seen[-1], torch.nn.functional.pad(signal[:, 150:], (0, 5)))
    torch.testing.assert_close(result, signal)


@given(
    st.integers(1, 9), st.integers(0, 8), st.integers(1, 9), st.integers(1, 400), st.floats(0, 0.95)
)
def test_resized_windows_differ_by_whole_steps(step, rest, steps, length, overlap):
    own = Window(step * steps + rest, rest, step)
    window = own.resized(length, overlap)
    assert (window.step, window.hop % step, (window.length - own.length) % step) == (step, 0, 0)
    assert abs(window.length - length) <= max(step / 2, window.length - length)
    assert window.length - length <= max(step / 2, step + own.length % step - length)
    if overlap * window.length >= step:
        assert abs(window.overlap - overlap * window.length) <= step
    assert own.resized(own.length, own.overlap / own.length) == own


@pytest.mark.parametrize(
    ("length", "overlap", "step"), [(0, 0, 1), (10, 10, 1), (10, -1, 1), (10, 5, 3), (10, 5, 0)]
)
def test_impossible_windows_are_refused(length, overlap, step):
    with pytest.raises(ValueError, match="window"):
        Window(length, overlap, step)


@given(st.integers(1, 200), st.integers(0, 40), block_sizes, windows | st.none())
def test_delays_are_undone(count, delay, sizes, window):
    signal = torch.randn(2, count, generator=torch.Generator().manual_seed(count))
    seen = []
    result = run(signal, sizes, lambda x: seen.append(x) or x, window, delay)
    torch.testing.assert_close(result, signal)
    assert not seen[0][..., :delay].any()


def test_offsets_are_seeded():
    assert random_offsets(5, 1000, seed=1) == random_offsets(5, 1000, seed=1)
    assert random_offsets(5, 1000, seed=1) != random_offsets(5, 1000, seed=2)
    assert all(0 <= offset <= 10 for offset in random_offsets(100, 10, seed=0))


def test_memory_does_not_grow_with_the_stream():
    # A generator of a thousand windows must be consumed as results are taken, not before.
    taken = 0

    def blocks():
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield torch.zeros(1, 50)

    results = made(blocks(), lambda x: x, Window(100, 50))
    for _ in range(3):
        next(results)
    assert taken < 10
