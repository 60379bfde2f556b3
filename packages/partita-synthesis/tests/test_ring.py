"""Excerpts in memory that several processes share."""

import pickle
from itertools import islice

import numpy as np
import pytest
import torch

from partita.errors import TrainingError
from partita.training.augmentation import NO_AUGMENTATION
from partita_synthesis.ring import Drawing, ExcerptRing, RingReader, stored, writing
from partita_synthesis.song_pools import track_in_memory

RATE, SAMPLES = 8000, 400
SOURCES = ("tone", "noise")


@pytest.fixture
def ring(tmp_path):
    return ExcerptRing.create(tmp_path, slots=5, writers=2, rows=2, channels=1, samples=SAMPLES)


def track(name, level, noise=0.1):
    square = np.resize(np.array([1, -1], np.float32), (1, 4 * RATE))
    stems = {"tone": level * square, "noise": noise * square}
    return track_in_memory(name, stems, SOURCES, RATE)


def make(number):
    """Song number n is as loud as n hundredths; every third cannot be made."""
    return track(f"song {number}", 0.01 * number) if number % 3 else None


def fail(number):
    raise OSError(f"no sound for song {number}")


def drawing(make=make, **options):
    values = {"recorded": (), "augmentation": NO_AUGMENTATION, "seed": 3, **options}
    return Drawing(make, SOURCES, RATE, **values)


def excerpt(value):
    return torch.full((2, 1, SAMPLES), value)


def level(sources, row=0):
    return round(float(sources[row].abs().mean()), 3)


def values(ring, draws=200):
    rng = np.random.default_rng(0)
    return {level(ring.read(rng)) for _ in range(draws)}


def test_writers_replace_their_own_oldest(ring):
    with pytest.raises(LookupError):
        ring.read(np.random.default_rng(0))
    ring.write(0, 0, excerpt(0.5))
    assert values(ring) == {0.5}
    for number, value in enumerate((1, 2, 3, 4)):  # slots 0, 2, 4, and 0 again
        ring.write(0, number, excerpt(value))
    ring.write(1, 0, excerpt(9))
    assert values(ring) == {2, 3, 4, 9}
    assert ring.filled == 4
    assert ring.written == 6
    read = ring.read(np.random.default_rng(0))
    assert read.dtype == torch.float16
    assert read.shape == (2, 1, SAMPLES)


def test_excerpts_that_are_being_written_are_not_read(ring):
    ring.write(0, 0, excerpt(1))
    ring.write(1, 0, excerpt(2))
    ring._versions[0] += 1  # as a writer does before it writes
    assert values(ring, 30) == {2}


def test_other_processes_see_the_same(ring):
    ring.write(0, 0, excerpt(1))
    other = pickle.loads(pickle.dumps(ring))
    ring.write(0, 0, excerpt(2))
    assert values(other) == {2}


def test_songs_that_cannot_be_made_are_left_out():
    plan = drawing(pool_songs=1, excerpts_per_song=2)
    found = [level(each.sources) for each in islice(plan.excerpts(1, 2, SAMPLES), 6)]
    assert found == [0.01, 0.01, 0.01, 0.01, 0.05, 0.05]  # song 3 is none
    assert found == [level(each.sources) for each in islice(plan.excerpts(1, 2, SAMPLES), 6)]
    with pytest.raises(OSError, match="no sound"):
        next(drawing(fail).excerpts(0, 1, SAMPLES))


def test_recorded_songs_have_their_part(tmp_path):
    recorded = tuple(
        stored(track(f"record {n}", 0.5, noise=0.3), tmp_path / str(n)) for n in range(9)
    )
    plan = drawing(recorded=recorded, recorded_part=0.5, pool_songs=4, excerpts_per_song=3)
    found = [level(e.sources, 1) > 0.2 for e in islice(plan.excerpts(0, 1, SAMPLES), 300)]
    assert 0.35 < np.mean(found) < 0.65
    assert {t.name for t in plan._tracks(np.random.default_rng(0), [])} == {
        f"record {n}" for n in range(9)
    }


@pytest.mark.slow
def test_processes_fill_a_ring(ring):
    with writing(ring, drawing(excerpts_per_song=2)) as reader:
        reader.wait(5)
        assert reader.alive == 2
        assert reader.draw(7).sources.shape == (2, 1, SAMPLES)
        assert reader.taken == 1
    assert reader.alive == 0
    assert all(0.01 <= value < 1e3 for value in values(ring))


@pytest.mark.slow
def test_processes_that_end_are_told_of(ring):
    with (
        writing(ring, drawing(fail)) as reader,
        pytest.raises(TrainingError, match="OSError: no sound for song"),
    ):
        reader.wait(1)


def test_waiting_can_be_cancelled(ring):
    class Alive:
        def is_alive(self):
            return True

    with pytest.raises(InterruptedError):
        RingReader(ring, [Alive()], 0).wait(1, lambda: True)
