"""The band-split network beyond what every model must do."""

import itertools

import pytest
import torch

from partita.errors import ModelError
from partita.models import create_model
from partita.models.band_split import BandSplitConfig

SMALL = {"features": 8, "hidden": 6, "layers": 2, "mask_hidden": 8}


def build(**config):
    torch.manual_seed(0)
    return create_model("band-split", {**SMALL, **config}).eval()


def test_bands_are_narrow_where_the_bass_is_and_leave_no_bin_out():
    bands = BandSplitConfig().band_bins
    assert sum(bands) == 1486
    assert bands[0] == 5  # 50 Hz
    assert bands[-1] == 186  # 2 kHz
    # Rounded to bins, but never narrower on the way up by more than that.
    assert all(above >= below - 1 for below, above in itertools.pairwise(bands))


@pytest.mark.parametrize("bins", [1, 30, 1025, 2049])
def test_bands_end_where_the_bins_do(bins):
    bands = BandSplitConfig(bins=bins).band_bins
    assert sum(bands) == bins
    assert min(bands) >= 1


@pytest.mark.parametrize("name", list(SMALL))
def test_sizes_are_positive(name):
    with pytest.raises(ModelError, match=f"{name} must be positive"):
        BandSplitConfig(**{name: 0})


@torch.inference_mode()
def test_masks_add_up_to_one_and_estimates_to_the_mixture():
    model, mixture = build(), 0.1 * torch.randn(2, 2, 30000)
    masks = model.magnitudes(model.network_input(model.stft.analyse(mixture)))
    torch.testing.assert_close(masks.sum(dim=1), torch.ones_like(masks[:, 0]))
    torch.testing.assert_close(model(mixture).sum(dim=1), mixture, atol=1e-6, rtol=0)


@torch.inference_mode()
def test_examples_of_a_batch_do_not_know_of_each_other():
    model, mixtures = build(), 0.1 * torch.randn(3, 2, 20000)
    alone = torch.cat([model(mixture[None]) for mixture in mixtures])
    torch.testing.assert_close(model(mixtures), alone, atol=1e-6, rtol=0)


@torch.inference_mode()
def test_phases_common_to_both_channels_do_not_matter_but_their_difference_does():
    model = build()
    spectrogram = torch.randn(1, 2, 2049, 9, dtype=torch.complex64)
    masks = model.magnitudes(model.network_input(spectrogram))
    turned = spectrogram * torch.exp(1j * torch.rand(1, 1, 2049, 9))
    torch.testing.assert_close(
        model.magnitudes(model.network_input(turned)), masks, atol=1e-5, rtol=0
    )
    opposite = spectrogram * torch.tensor([1, -1])[:, None, None]
    assert (model.magnitudes(model.network_input(opposite)) - masks).abs().max() > 1e-3


@torch.inference_mode()
def test_levels_within_the_range_change_nothing_but_the_level():
    model = build(level_range_db=(-20.0, -20.0))
    mixture = 0.1 * torch.randn(1, 2, 20000)
    torch.testing.assert_close(model(4 * mixture), 4 * model(mixture), atol=1e-5, rtol=0)


def test_what_it_learned_of_mixtures_makes_bins_alike():
    model = build()
    quiet_above = torch.cumsum(torch.randn(8, 2, 40000), dim=-1) * 1e-3
    model.learn_statistics(quiet_above.split(2))
    inputs = []
    model.encoder.dense[3].register_forward_hook(lambda _, given, __: inputs.append(given[0]))
    with torch.inference_mode():
        model(quiet_above)
    assert abs(float(inputs[0].mean())) < 0.1
    assert 0.9 < float(inputs[0].std()) < 1.1


def test_silence_teaches_nothing():
    model = build()
    model.learn_statistics([torch.zeros(1, 2, 9000)])
    model.learn_statistics([])
    # Magnitudes of silence are all alike: no deviation to divide by.
    assert (model.input_scale == 1).all()
