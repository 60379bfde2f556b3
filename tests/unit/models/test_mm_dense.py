"""MMDenseNet and MMDenseLSTM: sizes, bands, any number of frames, and that they learn."""

import pytest
import torch

from common import losses_of_recipe
from partita.errors import ModelError
from partita.models import create_model
from partita.models.mm_dense import BandNetwork, BlockSize, MmDenseConfig, MmDenseLstmConfig

SMALL = {
    "sources": ["a", "b"],
    "fft_samples": 256,
    "hop_samples": 64,
    "splits_hz": [5000.0, 11025.0],
    "blocks": ["4x2 4x1 3x1+2 4x1 4x2", "3x1 +2 3x1", "2x1", "2x1 2x2+3 2x1"],
    "first_channels": [4, 4, 3, 2],
    "kernel_bins": [4, 3, 1, 2],
}
NAMES = ["mmdensenet", "mmdenselstm"]


def build(name="mmdenselstm", **config):
    torch.manual_seed(0)
    return create_model(name, {**SMALL, **config}).eval()


def magnitudes(*shape, seed=1):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def weights(config):
    with torch.device("meta"):
        network = BandNetwork(config)
    return sum(parameter.numel() for parameter in network.parameters())


def test_as_published():
    """Weights of one stereo network; the models' docstrings say where the papers leave a choice."""
    assert weights(MmDenseConfig()) == 340_360  # 0.33 million
    assert weights(MmDenseLstmConfig()) == 1_374_574  # 1.22 million
    others = MmDenseLstmConfig().blocks[1:]
    low = "14x5 14x5 14x5 14x5+64 14x5 14x5 14x5"  # without its LSTM on the way up
    assert weights(MmDenseLstmConfig(blocks=(low, *others))) == pytest.approx(1.22e6, rel=0.005)


def test_defaults():
    config = MmDenseConfig()
    assert config.band_bins == [512, 513]
    low, high, whole = config.block_sizes
    assert low == [BlockSize(14, 4, 0), *[BlockSize(16, 4, 0)] * 6]
    assert high == [BlockSize(10, 3, 0)] * 7
    assert [size.layers for size in whole] == [2, 2, 2, 4, 2, 2, 2]
    config = MmDenseLstmConfig()
    assert config.band_bins == [380, 644, 1025]
    assert [[size.units for size in sizes] for sizes in config.block_sizes] == [
        [0, 0, 0, 64, 0, 64, 0],
        [0, 0, 0, 16, 0, 0, 0],
        [0, 0, 4, 0, 0],
        [0, 0, 0, 0, 64, 0, 0, 64, 0],
    ]
    assert config.block_sizes[2][2] == BlockSize(0, 0, 4)


@pytest.mark.parametrize("name", NAMES)
def test_windows_keep_the_grid(name):
    """All windows see a song through the same halvings, and fill nothing up."""
    config = create_model(name, initialise=False).config
    strides = [1 << len(sizes) // 2 for sizes in config.block_sizes]
    for stride in strides:
        assert config.frames % stride == 0
        assert (config.frames - 1 - config.overlap_frames) % stride == 0


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 17])
@torch.inference_mode()
def test_any_number_of_frames(frames, channels):
    model = build(channels=channels)
    mixture = magnitudes(3, channels, 129, frames)
    before = mixture.clone()
    found = model.magnitudes(mixture)
    assert found.shape == (3, 2, channels, 129, frames)
    assert found.isfinite().all()
    assert (found >= 0).all()
    assert torch.equal(mixture, before)


@pytest.mark.parametrize("split_hz", [200.0, 5000.0, 5100.0, 5400.0, 21900.0])
@torch.inference_mode()
def test_bands_of_any_number_of_bins(split_hz):
    config = {"splits_hz": [split_hz], "blocks": ["4x1 4x1 4x1+2 4x1 4x1", "3x1+2", "2x1"]}
    sizes = {"first_channels": [2, 2, 2], "kernel_bins": [3, 3, 3]}
    model = build(**config, **sizes)
    low = int(split_hz * 256 / 44100)
    assert model.config.band_bins == [low, 129 - low]
    assert model.magnitudes(magnitudes(1, 2, 129, 9)).shape == (1, 2, 2, 129, 9)


@torch.inference_mode()
def test_bands_are_by_themselves():
    """A band's network sees its own bins only; the whole's, and the last block, see all."""
    network = build().networks["a"]
    low, middle, high = network.band_bins
    assert (low, middle, high) == (29, 35, 65)
    seen = []
    for band in [*network.bands, network.whole]:
        band.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    mixture = magnitudes(1, 2, 129, 8)
    network(mixture)
    normalised = network.norm(mixture.flatten(0, 1))[None]
    edges = [(0, 29), (29, 64), (64, 129), (0, 129)]
    for found, (first, end) in zip(seen, edges, strict=True):
        torch.testing.assert_close(found, normalised[:, :, first:end])
    # What a band gives stands in its own bins: those of others stay as they are.
    changed = mixture.clone()
    changed[:, :, 29:64] += 1
    stacked = []
    network.last.register_forward_hook(lambda _, inputs, __: stacked.append(inputs[0]))
    network(mixture), network(changed)
    widest = max(band.channels for band in network.bands)
    moved = (stacked[1] - stacked[0])[:, :widest].abs().amax(dim=(0, 1, 3)) > 0  # [bins]
    assert moved[29:64].all()
    assert not moved[:29].any()
    assert not moved[64:].any()


@torch.inference_mode()
def test_lstms_see_all_frames():
    """Convolutions reach some frames; a bidirectional LSTM reaches from end to end."""
    mixture = magnitudes(1, 2, 129, 200)
    changed = mixture.clone()
    changed[..., -1] += 5
    blocks = {"blocks": ["4x2 4x1 4x2", "3x1", "2x1", "2x1 2x1 2x1"]}
    for config, reaches in (({}, True), (blocks, False)):
        model = build(**config)
        moved = (model.magnitudes(changed) - model.magnitudes(mixture))[..., 100]
        assert bool(moved.any()) == reaches


@torch.inference_mode()
def test_a_dense_block_sees_all_before_it():
    block = build().networks["a"].bands[0].down[0]
    assert [layer[0].num_features for layer in block.layers] == [4, 8]
    assert block.channels == 4
    smallest = build().networks["a"].bands[0].smallest
    assert smallest.channels == 3 + 1  # its LSTM's beside its own


@torch.inference_mode()
def test_residual_has_no_network():
    model = build("mmdensenet", sources=["a", "b", "rest"], residual=True)
    assert list(model.networks) == ["a", "b"]
    assert model(0.1 * torch.randn(1, 2, 1000)).shape == (1, 3, 2, 1000)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"blocks": ["4x2"]}, "blocks must be 4 values"),
        ({"first_channels": [4]}, "first_channels must be 4 values"),
        ({"kernel_bins": [3, 3]}, "kernel_bins must be 4 values"),
        ({"first_channels": [4, 4, 4, 0]}, "first_channels must be positive"),
        ({"kernel_bins": [3, 3, 3, 0]}, "kernel_bins must be positive"),
        ({"splits_hz": [11025.0, 5000.0]}, "splits_hz must rise"),
        ({"splits_hz": [100.0, 5000.0]}, "splits_hz must rise"),
        ({"splits_hz": [5000.0, 23000.0]}, "splits_hz must rise"),
        ({"blocks": ["4x2 4x2", "2x1", "2x1", "2x1"]}, "as many must go down as up"),
        ({"blocks": ["", "2x1", "2x1", "2x1"]}, "at least one block"),
        ({"blocks": ["4x", "2x1", "2x1", "2x1"]}, "'4x' is not of the form 14x5 or 14x5"),
        ({"blocks": ["0x2", "2x1", "2x1", "2x1"]}, "'0x2' is not of the form"),
        ({"last_block": "2x1 2x1 2x1"}, "last_block .* must be one dense block"),
        ({"last_block": "+4"}, "last_block .* must be one dense block"),
        ({"last_block": "4x2+4"}, "last_block .* must be one dense block"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ModelError, match=message):
        build(**values)


TINY = {
    "mmdensenet": {
        "splits_hz": "11025",
        "blocks": "4x2 4x1 4x2, 3x1, 2x1",
        "first_channels": "4,4,4",
        "kernel_bins": "3,3,3",
    },
    "mmdenselstm": {
        "splits_hz": "11025",
        "blocks": "4x2 4x1+4 4x2, 3x1, 2x1+4",
        "first_channels": "4,4,4",
        "kernel_bins": "3,3,3",
    },
    "unet": {"bins": "128", "frames": "16", "overlap_frames": "4", "widths": "4,8"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_recipes_train(name):
    """Some steps on one batch, in small: the loss falls."""
    sizes = {"fft_samples": 256, "hop_samples": 64, **TINY[name]}
    losses = losses_of_recipe(name, sizes)
    assert losses[-1] < 0.97 * losses[0]
