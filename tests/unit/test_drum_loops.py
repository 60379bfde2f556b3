"""``scripts/drum_loops.py``, with kits that the test writes."""

import random
import sys

import numpy as np
import pytest
import soundfile

from common import load_script
from partita.datasets import open_dataset

RATE = 44100


@pytest.fixture
def script(monkeypatch):
    module = load_script("drum_loops", monkeypatch)
    monkeypatch.setattr(module, "BARS", 1)
    return module


@pytest.fixture
def write_kit(tmp_path):
    """Write samples that decay, each a tone of its own; returns the kit."""

    def write(name, files=("bd_haus.wav", "Snare-Soft.flac", "hihat closed.wav"), rate=22050):
        folder = tmp_path / "kits" / name
        folder.mkdir(parents=True)
        times = np.arange(rate // 10) / rate
        for index, file in enumerate(files):
            tone = np.sin(2 * np.pi * 200 * (index + 1) * times) * np.exp(-40 * times)
            soundfile.write(folder / file, 0.3 * tone, rate)
        return folder

    return write


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("bd_haus.wav", "kick"),
        ("Kick 1.wav", "kick"),
        ("bass drum.aif", "kick"),
        ("drum_bass_hard.flac", "kick"),
        ("sn_dub.flac", "snare"),
        ("Snare-Soft.wav", "snare"),
        ("hihat closed.flac", "hats"),
        ("HH_open.wav", "hats"),
        ("drum_cymbal_soft.flac", "hats"),
        ("tom.wav", None),
        ("kick.txt", None),
    ],
)
def test_names_say_what_samples_are(script, tmp_path, file, kind):
    (tmp_path / file).write_bytes(b"")
    found = script.find_samples(tmp_path)
    assert {name for name, paths in found.items() if paths} == ({kind} if kind else set())


def test_loops_are_a_data_set(script, write_kit, tmp_path, monkeypatch, capsys):
    kits = [write_kit("soft"), write_kit("hard", rate=48000), write_kit("poor", ["kick.wav"])]
    out = tmp_path / "loops"
    arguments = ["drum_loops.py", *map(str, kits), "--out", str(out), "--loops", "2"]
    monkeypatch.setattr(sys, "argv", arguments)
    script.main()
    assert "poor: skipped: no snare or hats" in capsys.readouterr().out
    dataset = open_dataset(out)
    assert [track.name for track in dataset] == ["hard 1", "hard 2", "soft 1", "soft 2"]
    assert {track.subset for track in dataset} == {"train"}
    for track in dataset:
        stems = track.load_stems()
        assert set(stems) == {"kick", "snare", "hats"}
        assert len({stem.samples.shape for stem in stems.values()}) == 1
        assert all(stem.samples.any() for stem in stems.values())
        assert (track.sample_rate, track.channels) == (RATE, 2)
        assert float(track.load("mixture").samples.abs().max()) <= 1 + 1e-3


def test_hits_are_on_the_grid_and_seeds_repeat(script, write_kit):
    samples = script.find_samples(write_kit("soft"))
    first, again, other = (script.render(samples, random.Random(seed)) for seed in (1, 1, 2))
    for kind, stem in first.items():
        assert np.array_equal(stem, again[kind])
        step = stem.shape[1] // script.STEPS
        onsets = [
            index * step
            for index in range(script.STEPS)
            if np.abs(stem[:, index * step : index * step + 200]).max() > 0.02
        ]
        assert onsets
        energy = np.abs(stem).max(axis=0)
        loud = np.flatnonzero(energy > 0.02)
        assert min(onsets) <= loud[0] < min(onsets) + 200
    assert first["kick"].shape != other["kick"].shape  # another tempo
