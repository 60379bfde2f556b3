"""Small data sets."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from partita.audio.formats import stem_format
from partita.audio.stem_writer import StemWriter
from partita.audio.tags import Tags

RATE = 8000


@pytest.fixture
def noise():
    """Return noise ``[channels, samples]``; equal seeds give equal noise."""

    def make(seed=0, samples=RATE, channels=2):
        generator = np.random.default_rng(seed)
        return generator.uniform(-0.1, 0.1, (channels, samples)).astype(np.float32)

    return make


@pytest.fixture
def write(tmp_path, noise):
    """Write audio below the test's folder, noise of its own for each file by default."""

    def write_file(name, samples=None, rate=RATE):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = noise(sum(name.encode())) if samples is None else samples
        form = "FLAC" if path.suffix == ".flac" else "WAV"
        subtype = None if form == "FLAC" else "FLOAT"
        soundfile.write(path, np.asarray(samples).T, rate, subtype, format=form)
        return path

    return write_file


@pytest.fixture
def write_track(write, noise):
    """Write a folder of stems and, on request, their mixture; returns the signals."""

    def write_folder(folder, stems=("vocals", "drums", "bass", "other"), *, seed=0, mixture=False):
        signals = {stem: noise(100 * seed + index) for index, stem in enumerate(stems)}
        for stem, samples in signals.items():
            write(f"{folder}/{stem}.wav", samples)
        if mixture:
            write(f"{folder}/mixture.wav", sum(signals.values()))
        return signals

    return write_folder


@pytest.fixture(scope="session")
def encoded_song(tmp_path_factory, stems):
    """The example song as MUSDB18 has its tracks."""
    folder = tmp_path_factory.mktemp("musdb")
    path = folder / "song.stem.mp4"
    names = ["drums", "bass", "other", "vocals"]
    signals = np.stack([stems[stem] for stem in names])
    with StemWriter(
        dict.fromkeys(names, path),
        stem_format("stem.mp4"),
        sample_rate=44100,
        channels=2,
        tags={stem: Tags() for stem in names},
        root=folder,
    ) as writer:
        writer.write(signals.sum(axis=0), signals)
        writer.finish()
    return path


@pytest.fixture
def write_stem_mp4(tmp_path, encoded_song):
    """Put the example song's `.stem.mp4` below the test's folder; returns the path."""

    def write_file(name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(encoded_song, path))

    return write_file
