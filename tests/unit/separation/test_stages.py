"""Stages of chains that are kept: the same estimates, and only what changed is computed."""

import numpy as np
import pytest
import torch

from common import SMALL_UNET, SMALL_UNMIX, little_room, small_checkpoint
from partita import Separator
from partita.errors import AudioWriteError
from partita.separation.windowed import WindowedModel

RATE = 44100


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Checkpoints a (two stems), b and c (of another rate), d (one channel)."""
    folder = tmp_path_factory.mktemp("stages")
    two = {"sources": ["vocals", "accompaniment"]}
    three = {"sources": ["drums", "bass", "other"]}
    made = {
        "a": small_checkpoint(folder / "a.safetensors", **two, **SMALL_UNET),
        "b": small_checkpoint(folder / "b.safetensors", **three, **SMALL_UNET),
        "c": small_checkpoint(
            folder / "c.safetensors", "open-unmix", **three, sample_rate=22050, **SMALL_UNMIX
        ),
        "d": small_checkpoint(folder / "d.safetensors", **two, channels=1, **SMALL_UNET),
        "e": small_checkpoint(folder / "e.safetensors", **two, dropout=0.1, **SMALL_UNET),
    }
    return {name: str(path) for name, path in made.items()}


@pytest.fixture
def mixture():
    return np.random.default_rng(0).normal(0, 0.1, (2, RATE)).astype(np.float32)


@pytest.fixture
def runs(monkeypatch):
    """Count how often each model is run, by its sources and rate."""
    counts = {}
    real = WindowedModel.estimate

    def counted(self, windows):
        key = (self.sources[0], self.sample_rate)
        counts[key] = counts.get(key, 0) + 1
        return real(self, windows)

    monkeypatch.setattr(WindowedModel, "estimate", counted)
    return counts


def equal(ours, theirs):
    assert list(ours) == list(theirs)
    for name in ours:
        assert torch.equal(ours[name].samples, theirs[name].samples), name
    assert ours.null_depth_db == pytest.approx(theirs.null_depth_db, rel=1e-12)
    return True


@pytest.mark.parametrize("chain", ["{a}+{b}", "{a}+{c}", "{d}+{b}", "{a},{e}"])
@pytest.mark.parametrize("keep_rate", [False, True])
def test_estimates_are_the_same_bit_for_bit(models, mixture, tmp_path, chain, keep_rate):
    name = chain.format(**models)
    plain = Separator(name)(mixture, RATE, keep_rate=keep_rate)
    recorded = Separator(name, stage_cache=tmp_path)(mixture, RATE, keep_rate=keep_rate)
    replayed = Separator(name, stage_cache=tmp_path)(mixture, RATE, keep_rate=keep_rate)
    assert equal(plain, recorded)
    assert equal(plain, replayed)


def test_another_last_model_is_the_only_one_that_runs(models, mixture, tmp_path, runs):
    Separator("{a}+{b}".format(**models), stage_cache=tmp_path)(mixture, RATE)
    assert set(runs) == {("vocals", RATE), ("drums", RATE)}
    runs.clear()
    name = "{a}+{c}".format(**models)
    found = Separator(name, stage_cache=tmp_path)(mixture, RATE)
    assert set(runs) == {("drums", 22050)}
    assert equal(found, Separator(name)(mixture, RATE))


@pytest.mark.parametrize(
    ("change", "ran"),
    [
        ({}, False),
        ({"seed": 1}, False),  # without shifts it changes nothing
        ({"shifts": 1}, True),
        ({"wiener": 1}, True),
        ({"segment_s": 0.5}, True),
    ],
)
def test_other_options_are_other_estimates(models, mixture, tmp_path, runs, change, ran):
    name = "{a}+{b}".format(**models)
    Separator(name, stage_cache=tmp_path)(mixture, RATE)
    runs.clear()
    Separator(name, stage_cache=tmp_path, **change)(mixture, RATE)
    assert (("vocals", RATE) in runs) == ran


@pytest.mark.parametrize("change", ["a sample", "rate", "channels"])
def test_another_mixture_is_another_entry(models, mixture, tmp_path, runs, change):
    name = "{a}+{b}".format(**models)
    Separator(name, stage_cache=tmp_path)(mixture, RATE)
    runs.clear()
    other, rate = mixture.copy(), RATE
    if change == "a sample":
        other[0, 5] += 1e-6
    elif change == "rate":
        rate = 48000
    elif change == "channels":
        other = other[:1]
    Separator(name, stage_cache=tmp_path)(other, rate)
    assert ("vocals", RATE) in runs


@pytest.mark.parametrize(("channels", "is_shared"), [(1, False), (2, True), (4, False)])
def test_the_rate_of_stems_is_no_part_of_a_stage(
    models, mixture, tmp_path, runs, channels, is_shared
):
    name = "{a}+{b}".format(**models)
    many = np.concatenate([mixture, mixture[::-1]])[:channels]
    Separator(name, stage_cache=tmp_path)(many, 48000)
    runs.clear()
    found = Separator(name, stage_cache=tmp_path)(many, 48000, keep_rate=True)
    assert (("vocals", RATE) not in runs) == is_shared
    assert equal(found, Separator(name)(many, 48000, keep_rate=True))


def test_mono_songs_and_files_are_kept_as_well(models, write_song, mixture, tmp_path, runs):
    song = write_song("mono.wav", mixture[:1], subtype="FLOAT")
    name = "{a}+{b}".format(**models)
    one = Separator(name, stage_cache=tmp_path / "kept").separate(song, tmp_path / "one")
    runs.clear()
    two = Separator(name, stage_cache=tmp_path / "kept").separate(song, tmp_path / "two")
    plain = Separator(name).separate(song, tmp_path / "plain")
    for stem, path in one.paths.items():
        assert path.read_bytes() == two.paths[stem].read_bytes() == plain.paths[stem].read_bytes()
    assert runs[("vocals", RATE)] == runs[("drums", RATE)] / 2  # of the plain one only


def test_damage_is_found(models, mixture, tmp_path, runs, caplog):
    name = "{a}+{b}".format(**models)
    first = Separator(name, stage_cache=tmp_path)(mixture, RATE)
    (file,) = tmp_path.rglob("*.f32")
    with file.open("r+b") as opened:
        opened.seek(1000)
        opened.write(b"\1\2\3")
    runs.clear()
    assert equal(first, Separator(name, stage_cache=tmp_path)(mixture, RATE))
    assert ("vocals", RATE) in runs
    assert "damaged" in caplog.text


def test_an_interrupted_song_leaves_nothing(models, mixture, tmp_path):
    def stop(done_s, total_s):
        raise InterruptedError

    long = np.tile(mixture, 12)
    with pytest.raises(InterruptedError):
        Separator("{a}+{b}".format(**models), stage_cache=tmp_path)(long, RATE, progress=stop)
    assert list((tmp_path / "stages").iterdir()) == []


def test_a_full_disk_is_one_line(models, mixture, tmp_path):
    separator = Separator("{a}+{b}".format(**models), stage_cache=tmp_path)
    with little_room(100_000), pytest.raises(AudioWriteError, match="cannot write"):
        separator(mixture, RATE)
    assert list((tmp_path / "stages").iterdir()) == []


def test_live_streams_are_not_kept(models, mixture, tmp_path):
    separator = Separator("{a}+{b}".format(**models), stage_cache=tmp_path)
    assert list(separator.stream([mixture], RATE))
    assert not (tmp_path / "stages").exists()
