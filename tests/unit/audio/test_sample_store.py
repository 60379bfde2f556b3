import itertools

import numpy as np
import pytest

from common import little_room
from partita.audio import sample_store
from partita.audio.sample_store import SampleStore
from partita.errors import AudioWriteError


def test_what_is_kept_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_store, "_MAX_BYTES", 100_000)  # the rest goes to the disk
    samples = np.random.default_rng(0).standard_normal((3, 150_000)).astype(np.float32)
    parts = np.split(samples, [1, 70_000, 149_999], axis=1)
    with SampleStore(tmp_path) as kept:
        for given, yielded in zip(parts, kept.keep(parts), strict=True):
            assert yielded is given
        for _ in range(2):
            assert all(block.flags.writeable for block in kept.blocks())
            np.testing.assert_array_equal(np.concatenate(list(kept.blocks()), axis=1), samples)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_store, "_MAX_BYTES", 1000)
    blocks = [np.zeros((2, 1001), np.float32)] * 40
    with (
        SampleStore(tmp_path) as kept,
        little_room(200_000),
        pytest.raises(AudioWriteError, match=tmp_path.name),
    ):
        list(itertools.chain(kept.keep(blocks), kept.blocks()))


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_store, "_MAX_BYTES", 1000)
    with (
        SampleStore(tmp_path / "missing") as kept,
        pytest.raises(AudioWriteError, match="missing"),
    ):
        list(kept.keep([np.zeros((2, 1000), np.float32)]))
