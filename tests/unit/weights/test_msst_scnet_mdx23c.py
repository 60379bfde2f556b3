"""SCNet's and MDX23C's checkpoints of MSST."""

import pytest
import torch

from msst_files import assert_same, msst_config, msst_state, small_model, write_msst, write_yaml
from partita.errors import WeightsCorruptError
from partita.weights.resolve import resolve
from partita.weights.store import load_model

NAMES = ["scnet", "scnet-masked", "mdx23c"]
VARIANTS = {
    "SCNet": ("scnet", {}),
    "SCNet, wider": (
        "scnet",
        {"widths": [8, 8, 16], "band_shares": [0.23, 0.37], "strides": [1, 2, 5],
         "kernels": [5, 2, 5], "convolutions": [1, 2, 0], "compression": 2, "expansion": 2,
         "dual_layers": 4, "conv_kernel": 5, "normalised": False},
    ),
    "SCNet, one target": ("scnet", {"residual": True}),
    "SCNet, mono": ("scnet", {"channels": 1}),
    "SCNet, six stems": ("scnet", {"sources": list("abcdef")}),
    "masked": ("scnet-masked", {}),
    "masked, one target": ("scnet-masked", {"residual": True}),
    "MDX23C": ("mdx23c", {}),
    "MDX23C, batch norm": ("mdx23c", {"norm": "BatchNorm", "activation": "relu"}),
    "MDX23C, other scales": ("mdx23c", {"scale": [1, 2], "subbands": 3, "norm": "GroupNorm2"}),
    "MDX23C, one target": ("mdx23c", {"residual": True, "activation": "elu0.5"}),
    "MDX23C, mono": ("mdx23c", {"channels": 1}),
}  # fmt: skip


def noise(channels=2):
    return 0.1 * torch.randn(1, channels, 9000, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("name", "config"), VARIANTS.values(), ids=VARIANTS)
def test_checkpoints_become_the_models_that_they_are_of(name, config, tmp_path):
    model = small_model(name, **config)
    path = write_msst(tmp_path, model)
    found = load_model(str(path))
    assert found.registry_name == name
    assert found.config == model.config
    assert resolve(str(path)).sources == model.sources
    assert_same(found, model)


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_the_yaml_leaves_out_come_from_the_tensors(name, tmp_path):
    model = small_model(name)
    path, config = write_msst(tmp_path, model), msst_config(model)
    for key in ("dims", "audio_channels", "num_channels", "num_subbands", "growth", "scale"):
        config["model"].pop(key, None)
    config["audio"].pop("dim_f", None)
    write_yaml(tmp_path / "model.yaml", config)
    assert_same(load_model(str(path)), model)


@pytest.mark.parametrize("name", ["scnet", "mdx23c"])
def test_a_target_of_several_stems_is_taken_alone(name, tmp_path):
    model = small_model(name, sources=["vocals", "drums", "other"])
    path = write_msst(tmp_path, model, training={"target_instrument": "drums"})
    found = load_model(str(path))
    assert found.sources == resolve(str(path)).sources == ("drums", "residual")
    with torch.inference_mode():
        drums, residual = found(noise())[0]
        torch.testing.assert_close(drums, model(noise())[0, 1])
        assert torch.equal(residual, noise()[0] - drums)


@pytest.mark.parametrize(("count", "overlap"), [(1, 0), (2, 0.5), (4, 0.75)])
@pytest.mark.parametrize("name", NAMES)
def test_num_overlap_counts_windows(name, count, overlap, tmp_path):
    inference = {"num_overlap": count, "chunk_size": 25600}
    path = write_msst(tmp_path, small_model(name), inference=inference)
    config = load_model(str(path)).config
    assert config.overlap == overlap
    assert config.segment_s == 25600 / 44100


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_levels_may_be_normalised(name, tmp_path):
    model = small_model(name)
    found = load_model(str(write_msst(tmp_path, model, inference={"normalize": True})))
    mixture = 0.01 * noise() + 0.003
    mono = mixture.mean(dim=1)
    mean, deviation = mono.mean(), mono.std(correction=0)
    expected = model((mixture - mean) / deviation) * deviation + mean
    torch.testing.assert_close(found(mixture), expected, atol=1e-7, rtol=1e-5)
    assert not found(torch.zeros(1, 2, 3000)).any()


def refused(path, *says):
    with pytest.raises(WeightsCorruptError) as caught:
        load_model(str(path))
    for text in says:
        assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "title", "missing"),
    [
        ("scnet", "SCNet", "model.nfft, model.hop_size, model.band_SR, model.band_stride"),
        ("scnet-masked", "masked SCNet", "model.band_SR, model.band_stride, training.instruments"),
        ("mdx23c", "MDX23C", "audio.n_fft, audio.hop_length, model.norm, model.act"),
    ],
)
def test_what_nothing_says_is_listed(name, title, missing, tmp_path):
    path = write_msst(tmp_path, small_model(name))
    (tmp_path / "model.yaml").unlink()
    refused(path, f"a checkpoint of {title}", missing, "`config`")


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_yaml_names_the_first_mismatches(name, tmp_path):
    path = write_msst(tmp_path, small_model(name))
    wider = {"width": 12} if name == "mdx23c" else {"widths": [12, 16]}
    write_yaml(tmp_path / "model.yaml", msst_config(small_model(name, **wider)))
    refused(path, "does not fit", "model.yaml", "and ", " more")


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("scnet", {"model": {"dims": [2, 8]}}, "model.dims is [2, 8]: must begin with 4"),
        ("scnet", {"model": {"dims": []}}, "must begin with 4"),
        (
            "scnet",
            {"model": {"dims": [4, "8"]}},
            "model.dims must be a list of whole numbers, not [4, '8']",
        ),
        (
            "scnet",
            {"model": {"band_SR": [0.5, 0.5]}},
            "model.band_SR must be 3 finite numbers, not [0.5, 0.5]",
        ),
        ("scnet", {"model": {"band_SR": [0.5, True, 0.5]}}, "model.band_SR must be"),
        ("scnet", {"model": {"band_SR": [0.9, 0.3, 0.1]}}, "does not describe a SCNet"),
        ("scnet", {"model": {"band_stride": [1, 4]}}, "strides must be 3 whole numbers"),
        ("scnet", {"model": {"win_size": 256}}, "model.win_size differs"),
        ("scnet", {"model": {"num_dplayer": 3}}, "dual_layers must be even"),
        ("scnet", {"model": {"tran_depth": 1}}, "is no setting that partita knows for SCNet"),
        (
            "scnet",
            {"model": {"a": 1, "b": 2, "c": 3, "d": 4, "e": None, "f": 0}},
            "model.a (1), model.b (2), model.c (3) and 1 more are no settings that partita",
        ),
        ("scnet", {"training": {"instruments": ["a", "b", "c"]}}, "must name one"),
        ("scnet-masked", {"training": {"target_instrument": "vocals"}}, "no parts of single"),
        ("mdx23c", {"model": {"norm": "LayerNorm"}}, "norm must be one of"),
        ("mdx23c", {"model": {"act": "silu"}}, "activation must be"),
        ("mdx23c", {"model": {"scale": 2}}, "model.scale must be a list of whole numbers, not 2"),
        ("mdx23c", {"audio": {"dim_f": 100}}, "bins must be a multiple of 8"),
        (
            "mdx23c",
            {"audio": {"n_fft": "8192"}},
            "audio.n_fft must be a whole number of 1 or more, not '8192'",
        ),
        ("mdx23c", {"audio": {"num_channels": 3}}, "channels must be 1 or 2"),
    ],
)
def test_bad_settings_are_named(name, changes, says, tmp_path):
    refused(write_msst(tmp_path, small_model(name), **changes), says)


def test_transformers_in_the_place_of_lstms_are_not_taken_for_scnet(tmp_path):
    model = small_model("scnet")
    state = {**msst_state(model), "first_conv.weight": torch.zeros(4, 4, 1, 1)}
    refused(write_msst(tmp_path, model, state=state), "no architecture that partita knows")
