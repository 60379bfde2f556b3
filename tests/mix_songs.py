"""Songs of stems for the tests of mixing."""

import numpy as np
import soundfile

from partita.audio.reader import open_audio

RATE = 44100


def noise_stems(samples=20011, names=("vocals", "drums", "bass", "other"), channels=2, level=0.1):
    """Return stem → ``[channels, samples]``, float32, all different."""
    rng = np.random.default_rng(3)
    return {
        name: (level * rng.standard_normal((channels, samples))).astype(np.float32)
        for name in names
    }


def write_stems(folder, stems, *, suffix="wav", rate=RATE, **options):
    """Write stems as float wav, or as the suffix says; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if suffix == "wav":
        options = {"subtype": "FLOAT", **options}
    for name, samples in stems.items():
        soundfile.write(folder / f"{name}.{suffix}", samples.T, rate, **options)
    return folder


def read(path, stream=None):
    """Return ``[channels, samples]`` of a file."""
    with open_audio(path, stream=stream) as reader:
        return np.concatenate(list(reader.blocks()), axis=1)
