"""What every registered model must do. A new model is checked as soon as it is registered."""

import pytest
import soundfile
import torch

from common import SMALL_UNET, SMALL_UNMIX
from partita import Separator
from partita.models import create_model, list_models
from partita.models._factorisation import FactorisationModel
from partita.models._protocol import SeparationModel
from partita.models._softmax_masks import SoftmaxMaskModel
from partita.models._spectrogram import SpectrogramModel
from partita.reports.figures import Recording
from partita.reports.song import draw_song_factors
from partita.training.losses import TrainingStep
from partita.weights.checkpoint import load_checkpoint, save_checkpoint

SMALL_TASNET = {
    "filters": 12,
    "bottleneck": 8,
    "hidden": 12,
    "blocks": 3,
    "repeats": 2,
    "segment_s": 0.5,
}
SMALL_DENSE = {
    "fft_samples": 512,
    "hop_samples": 128,
    "splits_hz": [11025.0],
    "blocks": ["4x2 4x1 4x2", "3x2", "2x1 2x1 2x1"],
    "first_channels": [4, 4, 2],
    "kernel_bins": [4, 3, 3],
}
SMALL_ROFORMER = {
    "features": 8,
    "layers": 2,
    "heads": 2,
    "head_features": 4,
    "mask_expansion": 2,
    "fft_samples": 256,
    "hop_samples": 64,
    "window_samples": 256,
    "segment_samples": 12800,
    "overlap_samples": 3200,
}
SMALL_SCNET = {
    "fft_samples": 512,
    "hop_samples": 128,
    "widths": [6, 8],
    "strides": [1, 2, 4],
    "kernels": [3, 2, 4],
    "convolutions": [2, 1, 1],
    "dual_layers": 2,
    "segment_s": 0.5,
}
#: Of long windows: their level is close to the song's.
LIVELY = {"rescale": 0.5, "dconv_scale": 0.03, "norm_from": 9, "segment_s": 65536 / 44100}
SMALL_HYBRID = {**LIVELY, "hidden": 4, "fft_samples": 256, "dconv_compress": 1.0}
#: Without what depends on a window's length: padding, and where in a window a step stands.
SMALL_HTDEMUCS = {
    **SMALL_HYBRID,
    "fft_samples": 1024,
    "depth": 3,
    "bottom_channels": 8,
    "heads": 2,
    "layers": 3,
    "position_weight": 0.01,
    "pad_to_segment": False,
}
#: Smaller settings for models that are slow at their usual size.
SMALL = {
    "band-split": {"features": 8, "hidden": 8, "layers": 2, "mask_hidden": 16},
    "bs-roformer": {**SMALL_ROFORMER, "band_bins": [2, 3, 4, 20, 100]},
    "conv-tasnet": SMALL_TASNET,
    "mdx23c": {
        "fft_samples": 512,
        "hop_samples": 128,
        "bins": 240,
        "subbands": 2,
        "width": 6,
        "growth": 2,
        "depth": 2,
        "blocks": 1,
        "segment_s": 0.4,
    },
    "mel-band-roformer": {**SMALL_ROFORMER, "bands": 6},
    "mmdensenet": SMALL_DENSE,
    "mmdenselstm": {**SMALL_DENSE, "blocks": ["4x2 4x1+2 4x2", "+2", "2x1 +2 2x1+3"]},
    "scnet": SMALL_SCNET,
    "scnet-masked": SMALL_SCNET,
    "tfc-tdf": {"fft_samples": 512, "hop_samples": 128, "bins": 200, "width": 6, "depth": 2},
    "unet": SMALL_UNET,
    "open-unmix": SMALL_UNMIX,
    "crosstalk-unmix": SMALL_UNMIX,
    "demucs": {"hidden": 4, "depth": 3, "rescale": 1.0, "segment_s": 0.5},
    "demucs-multidecoder": {"hidden": 4, "depth": 3, "rescale": 1.0, "segment_s": 0.5},
    "demucs-v3": {"hidden": 4, "depth": 3, "dconv_lstm": 2, "dconv_attention": 9, **LIVELY},
    "hdemucs": {"depth": 5, "dconv_lstm": 3, "dconv_attention": 9, **SMALL_HYBRID},
    "htdemucs": SMALL_HTDEMUCS,
    "hpss": {"harmonic_frames": 7, "percussive_bins": 7},
    "repet": {"sources": ["a", "b"]},
    "nmf": {"fft_samples": 512, "hop_samples": 128, "bins": 257, "components": 5, "iterations": 20},
    "nmfd": {
        "fft_samples": 512,
        "hop_samples": 128,
        "bins": 257,
        "frames": 128,
        "overlap_frames": 32,
        "bands": 64,
        "components": 4,
        "lags": 4,
    },
}


@pytest.fixture(params=list_models())
def model(request):
    torch.manual_seed(0)
    model = create_model(
        request.param, {"sources": ["a", "b", "c"], **SMALL.get(request.param, {})}
    )
    with torch.no_grad():  # statistics that differ from the initial zeros and ones
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return model.eval()


@pytest.fixture
def mixture(model):
    generator = torch.Generator().manual_seed(1)
    return 0.1 * torch.randn(2, model.channels, 20000, generator=generator)


@pytest.mark.parametrize("samples", [1, 100, 20000])
@torch.inference_mode()
def test_shapes(model, samples):
    estimates = model(torch.randn(2, model.channels, samples))
    assert estimates.shape == (2, len(model.sources), model.channels, samples)
    assert estimates.dtype == torch.float32
    assert estimates.isfinite().all()


def test_gradients_reach_every_parameter(model, mixture):
    if not list(model.parameters()):
        pytest.skip("has no weights")
    model.train()
    model(mixture).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.slow
@pytest.mark.slow
def test_it_learns_an_excerpt_by_heart(model):
    if not list(model.parameters()):
        pytest.skip("has no weights")
    times, generator = torch.arange(4000), torch.Generator().manual_seed(0)
    tones = [0.3 * torch.sin(0.1 * (3 * index + 1) * times) for index in range(len(model.learned))]
    tones[-1] = 0.1 * torch.randn(len(times), generator=generator)
    pan = torch.tensor([1.0, 0.6])[: model.channels, None]
    excerpt = torch.stack(tones)[None, :, None] * pan  # [1, sources, channels, samples]
    step = TrainingStep(model, "l1").train()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = torch.optim.Adam(step.parameters(), lr=5e-3)
    losses: list[float] = []
    while not losses or losses[-1] > 0.4 * losses[0]:
        assert len(losses) < 200
        optimiser.zero_grad()
        loss = step(excerpt).total
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    for name, parameter in model.named_parameters():
        assert not torch.equal(before[name], parameter), name


@torch.inference_mode()
def test_the_form_for_inference_gives_the_same(model, mixture):
    expected, training = model(mixture), model.training
    found = model.for_inference()(mixture)
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)
    assert torch.equal(model(mixture), expected)
    assert model.training is training


@torch.inference_mode()
def test_saved_and_loaded_it_gives_the_same(model, mixture, tmp_path):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model)
    assert torch.equal(load_checkpoint(path)(mixture), model(mixture))


@pytest.mark.parametrize("gain", [0.001, 1.0, 1000.0])
@torch.inference_mode()
def test_inputs_are_never_changed(model, mixture, gain):
    loud = mixture * gain
    before = loud.clone()
    model(loud)
    assert torch.equal(loud, before)


@torch.inference_mode()
def test_a_batch_is_what_its_members_are(model, mixture):
    together = model(mixture)
    for index in range(len(mixture)):
        alone = model(mixture[index : index + 1])[0]
        torch.testing.assert_close(together[index], alone, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_silence_in_silence_out(model):
    assert not model(torch.zeros(1, model.channels, 20000)).any()


@torch.inference_mode()
def test_training_and_evaluation_agree_where_they_should(model, mixture):
    # Evaluation may take faster ways; without dropout and batch statistics both are the same.
    fast = model(mixture)
    model.train()
    for module in model.modules():
        if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.BatchNorm1d)):
            module.eval()
        if hasattr(module, "dropout") and isinstance(module.dropout, float):
            module.dropout = 0.0
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    torch.testing.assert_close(model(mixture), fast, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_streamed_is_close_to_whole(model):
    """Windows with their crossfade differ little from one pass over everything."""
    if model.window is None:
        pytest.skip("sees whole tracks only")
    count = 3 * model.window.length
    generator = torch.Generator().manual_seed(2)
    # Mostly in the middle: unlike channels would be separated by themselves.
    mixture = 0.1 * torch.randn(1, count, generator=generator)
    mixture = mixture + 0.03 * torch.randn(model.channels, count, generator=generator)
    streamed = Separator(model)(mixture, model.sample_rate)
    with torch.inference_mode():
        whole = model(mixture[None])[0]
    for index, source in enumerate(model.sources):
        error = streamed[source].samples - whole[index]
        assert error.norm() < 0.05 * whole[index].norm()


def test_same_twice(model, mixture):
    separator = Separator(model)
    first = separator(mixture[0], model.sample_rate)
    again = separator(mixture[0], model.sample_rate)
    for source in model.sources:
        assert torch.equal(first[source].samples, again[source].samples)


@pytest.fixture
def ranged(model):
    """The same model, which wants all mixtures at -20 dB."""
    if not isinstance(model, SpectrogramModel):
        pytest.skip("gets waveforms")
    torch.manual_seed(0)
    config = {**model.config.to_dict(), "level_range_db": [-20.0, -20.0]}
    return create_model(model.registry_name, config).eval()


def inputs_of(model, act):
    """Return everything that is shown to a model's network, or its factorisation, in `act`."""
    found = []

    def spied(method):
        def call(mixture):
            found.append(mixture.detach().clone())
            return method(mixture)

        return call

    names = [name for name in ("pieces", "magnitudes", "factorise") if hasattr(model, name)]
    for name in names:
        setattr(model, name, spied(getattr(model, name)))
    act()
    for name in names:
        delattr(model, name)
    assert found
    return found


@pytest.mark.slow
@pytest.mark.parametrize("gain", [0.05, 1.0, 20.0])
def test_training_and_figures_see_what_separation_sees(ranged, mixture, gain, tmp_path):
    mixture = gain * mixture[:1, :, : ranged.window.length if ranged.window else None]
    mixture = mixture + 0.8 * mixture.flip(1)  # mostly in the middle, as music is
    with torch.inference_mode():
        expected, *others = inputs_of(ranged, lambda: ranged(mixture))
        assert torch.equal(ranged.observe(mixture).network_input, expected)
    level_db = 20 * (mixture * ranged.observe(mixture).gain[0]).square().mean().sqrt().log10()
    assert abs(float(level_db) + 20) < 0.1
    if list(ranged.parameters()):
        silence = mixture.new_zeros(1, len(ranged.learned) - 1, *mixture.shape[1:])
        rows = torch.cat([mixture.unsqueeze(1), silence], dim=1)
        for loss in ("magnitude", "multi-domain", "l1"):
            others += inputs_of(ranged, lambda loss=loss: TrainingStep(ranged, loss)(rows))
    if isinstance(ranged, FactorisationModel):
        path = tmp_path / "song.wav"
        soundfile.write(path, mixture[0].T.numpy(), ranged.sample_rate, subtype="FLOAT")
        picture = tmp_path / "factors.png"
        others += inputs_of(
            ranged, lambda: draw_song_factors(Separator(ranged), Recording(path), picture)
        )
    assert all(torch.equal(found, expected) for found in others)


@pytest.mark.parametrize("gain", [0.05, 1.0, 20.0])
@torch.inference_mode()
def test_statistics_are_those_of_what_the_network_sees(ranged, mixture, gain):
    if type(ranged).learn_statistics is SeparationModel.learn_statistics:
        pytest.skip("needs no statistics")
    ranged.learn_statistics([gain * mixture])
    found = []  # [frames, images, bins], normalised
    if isinstance(ranged, SoftmaxMaskModel):
        logits = ranged.logits
        ranged.logits = lambda images: found.append(images.flatten(0, 1)) or logits(images)
    else:
        sizes = ranged.channels, ranged.config.seen_bins
        ranged.all_networks()[0].fc1.register_forward_pre_hook(
            lambda _, seen: found.append(seen[0].flatten(0, 1).reshape(-1, 1, sizes[1]))
        )
    ranged(gain * mixture)
    values = torch.cat(found)
    torch.testing.assert_close(values.mean(dim=0), torch.zeros_like(values[0]), atol=1e-3, rtol=0)
    deviations = values.std(dim=0, correction=0)
    assert (deviations < 1.01).all()
    assert deviations.median() > 0.99


@pytest.mark.parametrize("gain", [0.05, 20.0])
@torch.inference_mode()
def test_the_form_for_inference_sees_it_too(ranged, mixture, gain):
    expected = ranged(gain * mixture)
    found = ranged.for_inference()(gain * mixture)
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


@torch.inference_mode()
def test_losses_are_those_of_estimates_at_the_mixtures_own_level(ranged, mixture):
    if not list(ranged.parameters()):
        pytest.skip("has no weights")
    parts = [mixture, *[0.5 * mixture.flip(-1)] * (len(ranged.learned) - 1)]
    rows = torch.stack(parts, dim=1)  # [batch, sources, channels, samples]
    losses = ("magnitude", "multi-domain", "l2")
    loud, quiet = (
        [TrainingStep(ranged, loss)(gain * rows).sources for loss in losses] for gain in (1, 0.1)
    )
    torch.testing.assert_close(quiet[0], 0.01 * loud[0], rtol=1e-3, atol=0)
    torch.testing.assert_close(quiet[1] - quiet[0], loud[1] - loud[0], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(quiet[2], 0.01 * loud[2], rtol=1e-3, atol=0)
