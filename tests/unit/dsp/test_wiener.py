import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.devices import intra_op_threads
from partita.dsp import wiener as module
from partita.dsp import wiener_reference, wiener_refinement
from partita.dsp.overlap_add import Window
from partita.dsp.wiener import expectation_maximisation, multichannel_wiener, wiener
from partita.dsp.wiener_refinement import refine


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def spectra(channels=2, *, batch=1, sources=3, frames=20, dtype=torch.complex128, seed=0):
    """Return images ``[B, S, C, F, N]`` and their mixture."""
    images = noise(batch, sources, channels, 9, frames, seed=seed, dtype=dtype)
    return images, images.sum(dim=1)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_filter_is_its_equation(channels):
    mixture = noise(2, channels, 4, 5, dtype=torch.complex128)
    powers = noise(2, 3, 4, 5, dtype=torch.float64).square()
    half = noise(2, 3, channels, channels, 4, dtype=torch.complex128)
    spatial = torch.einsum("bsikf,bsjkf->bsijf", half, half.conj())
    found = multichannel_wiener(mixture, powers, spatial, torch.tensor(0.1))
    for item in range(2):
        covariances = spatial[item].movedim(-1, 1)  # [S, F, C, C]
        expected = wiener_reference.filter_mixture(mixture[item], powers[item], covariances, 0.1)
        torch.testing.assert_close(found[item], expected)


@settings(max_examples=60, deadline=None)
@given(
    channels=st.integers(1, 3),
    sources=st.integers(1, 4),
    frames=st.integers(1, 12),
    iterations=st.integers(0, 3),
    gain=st.sampled_from([1e-4, 1.0, 30.0, 1e5]),
    is_half_silent=st.booleans(),
    piece_frames=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_the_fast_form_agrees_with_the_plain_one(
    channels, sources, frames, iterations, gain, is_half_silent, piece_frames, seed
):
    images, mixture = spectra(channels, sources=sources, frames=frames, seed=seed)
    mixture = gain * mixture
    if is_half_silent:
        mixture = mixture * (noise(9, 1, seed=seed + 1) > 0)
    magnitudes = gain * images.abs() * noise(1, sources, channels, 9, 1, seed=seed + 2).abs()
    expected = wiener_reference.wiener(magnitudes[0], mixture[0], iterations=iterations)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PLANE", 9 * piece_frames)
        patch.setattr(module, "_BINS", 9)
        found = wiener(magnitudes, mixture, iterations=iterations)[0]
    # With fewer images than channels, matrices are singular but for the noise: rounding counts.
    tolerance = 1e-6 if sources * frames >= channels else 1e-4
    atol = tolerance * float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("gain", [1e-3, 1.0, 1e5])
@pytest.mark.parametrize("options", [{}, {"softmask": True}, {"residual": True}, {"iterations": 0}])
def test_inputs_are_never_changed(channels, gain, options):
    images, mixture = spectra(channels)
    magnitudes, mixture = gain * images.abs(), gain * mixture
    before = magnitudes.clone(), mixture.clone()
    wiener(magnitudes, mixture, **options)
    expectation_maximisation(gain * images, mixture)
    assert torch.equal(magnitudes, before[0])
    assert torch.equal(mixture, before[1])
    estimates, signal = gain * noise(1, 3, channels, 5000), gain * noise(1, channels, 5000)
    before = estimates.clone(), signal.clone()
    refine(estimates, signal, 1)
    assert torch.equal(estimates, before[0])
    assert torch.equal(signal, before[1])


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_batch_is_what_its_members_are(channels):
    images, mixture = spectra(channels, batch=3)
    level = torch.tensor([1e-3, 1.0, 1e3], dtype=torch.float64)[:, None, None, None]
    magnitudes, mixture = images.abs() * level[..., None], mixture * level
    for options in ({"residual": True}, {"softmask": True}):
        together = wiener(magnitudes, mixture, iterations=2, **options)
        for index in range(3):
            here = slice(index, index + 1)
            alone = wiener(magnitudes[here], mixture[here], iterations=2, **options)
            torch.testing.assert_close(together[here], alone)


def test_pieces_change_nothing(monkeypatch):
    images, mixture = spectra(frames=50)
    whole = expectation_maximisation(images, mixture, iterations=2)
    monkeypatch.setattr(module, "_BINS", 3)
    monkeypatch.setattr(module, "_PLANE", 3 * 7)  # seven frames at once
    for threads in (1, 2):
        with intra_op_threads(threads):
            found = expectation_maximisation(images, mixture, iterations=2)
        torch.testing.assert_close(found, whole)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"softmask": True}, {"residual": True}])
def test_gradients(channels, options):
    images, mixture = spectra(channels, sources=2, frames=4)
    magnitudes = (images[..., :2, :].abs() + 0.1).requires_grad_()
    mixture = mixture[..., :2, :].clone().requires_grad_()
    # A noise that is not tiny: differences need a function that is smooth on their scale.
    torch.autograd.gradcheck(
        lambda v, x: wiener(v, x, iterations=2, scale_factor=1.0, eps=1e-4, **options),
        (magnitudes, mixture),
        fast_mode=True,
    )


def test_gradients_are_finite_in_silence():
    magnitudes = torch.zeros(1, 2, 2, 4, 6, requires_grad=True)
    mixture = torch.zeros(1, 2, 4, 6, dtype=torch.complex64, requires_grad=True)
    wiener(magnitudes, mixture, iterations=2, residual=True).abs().sum().backward()
    assert magnitudes.grad.isfinite().all()
    assert mixture.grad.isfinite().all()


@pytest.mark.parametrize("options", [{}, {"softmask": True}, {"residual": True}, {"iterations": 0}])
def test_silent_mixtures_have_silent_sources(options):
    mixture = torch.zeros(1, 2, 9, 6, dtype=torch.complex64)
    assert not wiener(torch.rand(1, 3, 2, 9, 6), mixture, **options).any()


def test_sources_at_two_places_come_apart():
    # Two sources that sound together everywhere, hard left with some right and the other way.
    places = torch.tensor([[1.0, 0.2], [0.3, 1.0]], dtype=torch.complex128)
    sources = noise(1, 2, 1, 9, 400, dtype=torch.complex128)
    true = sources * places[None, :, :, None, None]  # [B, S, C, F, N]
    mixture = true.sum(dim=1)
    blurred = true.abs() + 0.2 * true.abs().flip(1)
    errors = [
        float((wiener(blurred, mixture, iterations=count) - true).norm()) for count in (0, 1, 5)
    ]
    assert errors[1] < 0.6 * errors[0]
    assert errors[2] < errors[1]


@settings(max_examples=40)
@given(
    channels=st.integers(1, 3),
    sources=st.integers(2, 4),
    samples=st.sampled_from([1, 2, 1000, 4096, 20000]),
    iterations=st.integers(1, 3),
    gain=st.sampled_from([1e-6, 1e-2, 1.0, 1e4]),
    seed=st.integers(0, 99),
)
def test_estimates_add_up_to_the_mixture(channels, sources, samples, iterations, gain, seed):
    estimates = gain * noise(1, sources, channels, samples, seed=seed)
    mixture = estimates.sum(dim=1) + gain * noise(1, channels, samples, seed=seed + 1)
    refined = refine(estimates, mixture, iterations)
    assert refined.shape == estimates.shape
    assert refined.dtype == torch.float32
    # Estimates that cancel each other are rounded as loud as they are themselves.
    loudest = torch.maximum(mixture.abs().max(), refined.abs().max())
    assert (refined.sum(dim=1) - mixture).abs().max() <= 1e-6 * loudest


@pytest.mark.parametrize("samples", [1, 10000])
def test_silence_in_silence_out(samples):
    assert not refine(noise(1, 2, 2, samples), torch.zeros(1, 2, samples), 2).any()


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("loudness", [0.0, 1.0, 1e6])
def test_covariances_of_rank_one(channels, loudness):
    """The same in all channels, estimates far from the mixture: no division by zero."""
    estimates = (loudness * noise(1, 3, 1, 20000)).expand(-1, -1, channels, -1)
    mixture = noise(1, 1, 20000, seed=1).expand(-1, channels, -1)
    refined = refine(estimates, mixture, 3)
    assert refined.isfinite().all()
    # Estimates that cancel each other are rounded as loud as they are themselves.
    loudest = torch.maximum(mixture.abs().max(), refined.abs().max())
    assert (refined.sum(dim=1) - mixture).abs().max() <= 1e-6 * loudest
    # No channel is better than another.
    assert (refined - refined[:, :, :1]).abs().max() <= 1e-3 * refined.abs().max()


@pytest.mark.parametrize("gain", [1e-6, 1e-2, 1e3, 1e20])
def test_the_level_does_not_matter(gain):
    parts = noise(1, 3, 2, 20000)
    estimates, mixture = parts + 0.3 * parts.flip(1), parts.sum(dim=1)
    expected = refine(estimates, mixture, 2)
    torch.testing.assert_close(
        refine(gain * estimates, gain * mixture, 2) / gain, expected, atol=1e-5, rtol=0
    )


def test_long_signals_are_filtered_in_windows(monkeypatch):
    parts = noise(1, 2, 2, 60000)
    estimates, mixture = parts + 0.3 * parts.flip(1), parts.sum(dim=1)
    whole = refine(estimates, mixture, 1)
    monkeypatch.setattr(wiener_refinement, "_WINDOW", Window(20000, 4000))
    windowed = refine(estimates, mixture, 1)
    assert windowed.shape == whole.shape
    assert (windowed.sum(dim=1) - mixture).abs().max() <= 1e-6 * mixture.abs().max()
    assert 0 < (windowed - whole).norm() < 0.2 * whole.norm()


def test_perfect_estimates_stay():
    tones = torch.stack([torch.arange(20000) * 0.05, torch.arange(20000) * 0.3]).sin()
    estimates = tones[None, :, None] * torch.tensor([1.0, 0.5])[:, None]
    refined = refine(estimates, estimates.sum(dim=1), 2)
    assert (refined - estimates).norm() < 0.02 * estimates.norm()


@pytest.mark.parametrize("difference", [1e-4, 1e-6])
def test_single_precision_is_enough_for_channels_that_hardly_differ(difference):
    common = noise(1, 3, 1, 9, 50, dtype=torch.complex128)
    images = common + difference * noise(1, 3, 2, 9, 50, seed=1, dtype=torch.complex128)
    mixture = images.sum(dim=1).to(torch.complex64)
    magnitudes = (images.abs() * (0.5 + noise(1, 3, 2, 9, 50, seed=2).abs())).float()
    found = wiener(magnitudes, mixture)
    expected = wiener(magnitudes.double(), mixture.to(torch.complex128))
    assert (found - expected).norm() <= 1e-4 * expected.norm()
