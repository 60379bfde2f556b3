"""Writing synthesised songs."""

import json

import numpy as np
import pytest

from partita.datasets import open_dataset
from partita.errors import AudioWriteError, UsageError
from partita_synthesis import SynthesisSettings, SynthesizedSong, write_songs
from partita_synthesis.song_folders import _rounded

SETTINGS = SynthesisSettings(("drums", "bass"), duration_s=1.0, sample_rate=8000, channels=1)


def test_mixture_is_the_sum_to_the_last_bit():
    rng = np.random.default_rng(0)
    stems = {name: rng.uniform(-0.3, 0.3, (2, 4000)).astype(np.float32) for name in "abc"}
    song = SynthesizedSong("song", stems, sum(stems.values()), 8000, {})
    files = _rounded(song)
    assert list(files) == ["mixture", "a", "b", "c"]
    whole = {name: samples * 32768 for name, samples in files.items()}
    assert all(np.array_equal(samples, np.rint(samples)) for samples in whole.values())
    assert np.array_equal(whole["mixture"], whole["a"] + whole["b"] + whole["c"])
    assert np.abs(files["a"] - stems["a"]).max() <= 0.5 / 32768


def test_writes_what_a_dataset_is(tmp_path):
    done = []
    manifest = write_songs(SETTINGS, 2, tmp_path / "songs", jobs=1,
                           progress=lambda *counts: done.append(counts))  # fmt: skip
    assert done == [(1.0, 2.0), (2.0, 2.0)]
    dataset = open_dataset(tmp_path / "songs")
    assert [track.name for track in dataset] == [song["name"] for song in manifest["songs"]]
    for track in dataset:
        assert set(track.stems) == {"drums", "bass"}
        assert track.duration_s == 1.0
        total = track.load("drums+bass").samples
        assert total.equal(track.load("mixture").samples)
    assert json.loads((tmp_path / "songs/manifest.json").read_text()) == manifest
    assert not list((tmp_path / "songs").glob(".*"))


def test_songs_that_are_there_are_kept_and_counted(tmp_path):
    write_songs(SETTINGS, 2, tmp_path, jobs=1)
    done = []
    manifest = write_songs(SETTINGS, 1, tmp_path, jobs=1, progress=lambda *c: done.append(c))
    assert not done
    assert len(manifest["songs"]) == 2


def test_refuses_before_it_writes(tmp_path):
    with pytest.raises(UsageError, match=r"`songs` must be at least 1"):
        write_songs(SETTINGS, 0, tmp_path / "songs")
    with pytest.raises(UsageError, match="`duration_s` must be"):
        write_songs(SynthesisSettings(("drums",), duration_s=1e-4), 1, tmp_path / "short", jobs=1)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        write_songs(SETTINGS, 1, tmp_path / "file")
    assert not (tmp_path / "songs").exists()
    assert not list((tmp_path / "short").glob("*"))


def test_more_than_the_disk_holds(tmp_path):
    with pytest.raises(AudioWriteError, match=r"songs need about [\d.]+ GB.*are free"):
        write_songs(SynthesisSettings(("drums",), duration_s=3600.0), 10**5, tmp_path / "songs")
    assert not list((tmp_path / "songs").glob("*"))
