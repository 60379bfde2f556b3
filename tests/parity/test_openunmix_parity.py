"""Open-Unmix against openunmix 1.3.0 itself: networks, whole separation, gradients."""

import numpy as np
import pytest
import torch

from openunmix_reference import import_openunmix, random_networks, save_networks
from partita.dsp.wiener import wiener
from partita.models import create_model
from partita.weights.open_unmix import tensors_from_files

FFT, HOP, HIDDEN = 512, 128, 16
SIZES = {"fft_samples": FFT, "hop_samples": HOP, "hidden": HIDDEN, "dropout": 0.0}


@pytest.fixture(scope="module")
def openunmix():
    return import_openunmix()


@pytest.fixture
def pair(openunmix, tmp_path):
    """Make their networks and our model with the same weights, brought over by the loader."""

    def make(learned, *, unidirectional=False, **config):
        channels = config.get("channels", 2)
        bandwidth = config.setdefault("bandwidth_hz", 16000.0)
        theirs = random_networks(
            openunmix,
            learned,
            nb_bins=FFT // 2 + 1,
            nb_channels=channels,
            hidden_size=HIDDEN,
            unidirectional=unidirectional,
            max_bin=int(openunmix.utils.bandwidth_to_max_bin(44100, FFT, bandwidth)),
        )
        for network in theirs.values():
            network.lstm.dropout = 0.0
        sources = [*learned, "residual"] if config.get("residual") else learned
        settings = {"sources": sources, "bidirectional": not unidirectional, **SIZES, **config}
        ours = create_model("open-unmix", settings).eval()
        ours.load_state_dict(tensors_from_files(save_networks(theirs, tmp_path)))
        return theirs, ours

    return make


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"channels": 1},
        {"unidirectional": True},
        {"bandwidth_hz": 5000.0},
        {"bandwidth_hz": 3e4},
    ],
    ids=["stereo", "mono", "unidirectional", "narrow", "all bins"],
)
def test_networks(pair, options, training):
    theirs, ours = pair(["a", "b"], **options)
    generator = torch.Generator().manual_seed(1)
    mixture = torch.rand(3, options.get("channels", 2), FFT // 2 + 1, 50, generator=generator)
    ours.train(training)
    with torch.no_grad():
        found = ours.magnitudes(mixture)
        for index, network in enumerate(theirs.values()):
            expected = network.train(training)(mixture)
            assert float(expected.max()) > 0.5
            assert float((found[:, index] - expected).abs().max()) <= 1e-5
    for source, network in theirs.items():  # what training has made of the running statistics
        state = ours.networks[source].state_dict()
        for name, tensor in network.state_dict().items():
            torch.testing.assert_close(state[name], tensor, atol=1e-6, rtol=1e-5)


@pytest.fixture
def mixtures(song):
    """Two songs ``[2, 2, samples]`` of more than a thousand frames, peak 0.8 and 0.24.

    They begin and end with silence, a sample longer than half a frame: their transform continues a
    signal beyond its ends with its reflection, ours with zeros.
    """
    samples = song[:, : song.shape[1] // HOP * HOP].copy()
    silent = FFT // 2 + 1
    samples[:, :silent] = samples[:, -silent:] = 0
    return torch.from_numpy(np.stack([samples, 0.3 * samples[:, ::-1]]))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("iterations", [0, 1, 2])
def test_separation(openunmix, pair, mixtures, iterations, channels):
    theirs, ours = pair(["a", "b", "c"], channels=channels, wiener_iterations=iterations)
    separator = openunmix.model.Separator(
        theirs, niter=iterations, n_fft=FFT, n_hop=HOP, nb_channels=channels, wiener_win_len=300
    ).eval()
    mixtures = mixtures[:, :channels]
    assert ours.stft.frames(mixtures.shape[-1]) > 4 * 300
    before = mixtures.clone()
    with torch.inference_mode():
        found = ours(mixtures)
        assert torch.equal(mixtures, before)
        # Theirs in double precision: inverting matrices wants it, where ours has it too.
        expected = separator.double()(mixtures.double())
    assert float(expected.abs().max()) > 0.2
    assert float((found - expected).abs().max()) <= 1e-4


@pytest.mark.parametrize("iterations", [0, 1])
def test_residual(openunmix, pair, mixtures, iterations):
    theirs, ours = pair(["a", "b"], residual=True, wiener_iterations=iterations)
    separator = openunmix.model.Separator(
        theirs, niter=iterations, residual=True, n_fft=FFT, n_hop=HOP, wiener_win_len=300
    ).eval()
    # Where the mixture is exactly zero, theirs takes it for one.
    hiss = torch.randn(mixtures.shape, generator=torch.Generator().manual_seed(3))
    mixtures = mixtures + 1e-6 * hiss
    with torch.inference_mode():
        found = ours(mixtures)
        expected = separator.double()(mixtures.double())
    assert float(expected[:, -1].abs().max()) > 0.2
    assert float((found - expected).abs().max()) <= 1e-4
    if not iterations:
        torch.testing.assert_close(found.sum(dim=1), mixtures, atol=1e-6, rtol=0)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("loud", [1.0, 50.0])
def test_gradients_of_the_filter(openunmix, channels, loud):
    generator = torch.Generator().manual_seed(2)
    shape = (1, 3, channels, 17, 40)  # [B, S, C, F, N]
    images = torch.randn(2, *shape, generator=generator, dtype=torch.float64) * loud
    images = torch.complex(*images)
    mixture = images.sum(dim=1)
    noise = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5
    weights = torch.randn(2, *shape, generator=generator, dtype=torch.float64)

    ours = (images.abs() * noise).requires_grad_()
    estimates = wiener(ours, mixture, iterations=1, eps=1e-10)
    (torch.view_as_real(estimates) * torch.stack(tuple(weights), dim=-1)).sum().backward()

    theirs = ours.detach().clone().requires_grad_()
    expected = openunmix.filtering.wiener(
        theirs[0].permute(3, 2, 1, 0),  # [S, C, F, N] -> [N, F, C, S]
        torch.view_as_real(mixture[0]).permute(2, 1, 0, 3).clone(),
        iterations=1,
    )  # [N, F, C, 2, S]
    (expected.permute(4, 2, 1, 0, 3) * torch.stack(tuple(weights), dim=-1)[0]).sum().backward()

    assert float(theirs.grad.abs().max()) > 0.1
    assert float((ours.grad - theirs.grad).abs().max() / theirs.grad.abs().max()) <= 1e-6
