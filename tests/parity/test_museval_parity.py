"""BSS Eval against museval 0.4.1 itself."""

import sys
import types

import numpy as np
import pytest
import torch

from partita.audio.signal import Audio
from partita.evaluation.bsseval import bss_eval

FIGURES = ("sdr", "isr", "sir", "sar")


@pytest.fixture(scope="module")
def museval():
    """Its import wants musdb, which wants an ffmpeg program; scoring needs neither."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "musdb", types.ModuleType("musdb"))
        yield pytest.importorskip("museval", reason="museval is not installed (make test does it)")


def compare(museval, references, estimates, *, window, hop, mode, tolerance=1e-6):
    theirs = museval.evaluate(
        references.transpose(0, 2, 1),
        estimates.transpose(0, 2, 1),
        win=window,
        hop=hop,
        mode=mode,
    )
    ours = bss_eval(
        torch.from_numpy(references),
        torch.from_numpy(estimates),
        window=window,
        hop=hop,
        framewise_filters=mode == "v3",
    )
    for name, expected in zip(FIGURES, theirs, strict=True):
        found = getattr(ours, name).numpy()
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        compared = np.isfinite(expected) & (expected <= 60)
        assert np.abs(found - expected)[compared].max(initial=0) <= tolerance, name


def make(sources, channels, samples, seed=0):
    generator = np.random.default_rng(seed)
    references = generator.standard_normal((sources, channels, samples))
    estimates = references + 0.2 * references[::-1]
    return references, estimates + 0.3 * generator.standard_normal(references.shape)


@pytest.mark.parametrize("mode", ["v4", "v3"])
@pytest.mark.parametrize(
    ("sources", "channels", "samples", "window", "hop"),
    [
        (2, 2, 60000, 22050, 22050),
        (3, 1, 60000, 22050, 11025),
        (2, 2, 9000, 44100, 44100),
        (2, 2, 50000, np.inf, np.inf),
    ],
)
def test_noise(museval, sources, channels, samples, window, hop, mode):
    references, estimates = make(sources, channels, samples)
    ours_window = None if window == np.inf else window
    if ours_window is None:  # the whole track: both name it in their own way
        compare(museval, references, estimates, window=samples, hop=samples, mode=mode)
    else:
        compare(museval, references, estimates, window=window, hop=hop, mode=mode)


@pytest.mark.parametrize("mode", ["v4", "v3"])
def test_silent_passages(museval, mode):
    references, estimates = make(2, 2, 60000)
    references[0, :, 20000:42000] = 0
    estimates[1, :, 40000:] = 0
    compare(museval, references, estimates, window=20000, hop=20000, mode=mode)


@pytest.mark.parametrize("mode", ["v4", "v3"])
def test_real_music(museval, shared_audio, mode):
    path = shared_audio / "music-delta-80s-rock.stem.mp4"
    streams = [Audio.load(path, stream=index).samples.numpy() for index in range(5)]
    # Rounded to 16 bits, as musdb reads them; without, the equations are too ill-conditioned for
    # any two solvers to agree.
    mixture, drums, bass, other, vocals = (np.round(s * 32768.0) / 32768.0 for s in streams)
    references = np.stack([vocals, drums + bass + other]).astype(np.float64)
    noise = np.random.default_rng(0).standard_normal(references.shape)
    estimates = 0.7 * references + 0.15 * mixture + 0.01 * noise
    compare(museval, references, estimates, window=44100, hop=44100, mode=mode)
