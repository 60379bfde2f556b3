"""What every registered model must do when it is exported. New models are checked by themselves."""

import json

import pytest
import torch

from partita.errors import UsageError
from partita.models import create_model, list_models
from partita.models._protocol import SongFacts
from partita.weights.exported.metadata import read_metadata
from partita.weights.exported.network import example
from partita.weights.exported.session import exported_model
from partita.weights.exported.torch_export import METADATA_FILE, export_pt2
from partita.weights.exported.write import TOLERANCE, export_network

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

BINS = {"fft_samples": 256, "hop_samples": 64}
FRAMES = {**BINS, "frames": 32, "overlap_frames": 4}
UNMIX = {**FRAMES, "overlap_frames": 8, "hidden": 8}
DENSE = {**FRAMES, "overlap_frames": 15, "splits_hz": [11025.0], "first_channels": [2, 2, 2]}
ROFORMER = {
    "features": 8,
    "layers": 1,
    "heads": 2,
    "head_features": 4,
    "mask_expansion": 1,
    "window_samples": 256,
    "segment_samples": 6400,
    "overlap_samples": 1600,
    **BINS,
}
SCNET = {"widths": [4, 6], "strides": [1, 2, 4], "kernels": [3, 2, 4], "dual_layers": 2, **BINS}
DEMUCS = {"hidden": 4, "depth": 2, "rescale": 1.0, "segment_s": 0.2}
HYBRID = {
    "hidden": 4,
    "fft_samples": 256,
    "dconv_compress": 1.0,
    "dconv_depth": 1,
    "segment_s": 0.2,
}
#: The smallest settings that have all of a network's parts.
TINY = {
    "band-split": {
        "sample_rate": 8000,
        "bins": 100,
        "features": 4,
        "hidden": 4,
        "layers": 1,
        **FRAMES,
    },
    "bs-roformer": {**ROFORMER, "band_bins": [2, 27, 100]},
    "conv-tasnet": {
        "filters": 8,
        "bottleneck": 4,
        "hidden": 8,
        "blocks": 2,
        "repeats": 1,
        "segment_s": 0.2,
    },
    "mdx23c": {
        **BINS,
        "bins": 120,
        "subbands": 2,
        "width": 4,
        "growth": 2,
        "depth": 1,
        "blocks": 1,
        "segment_s": 0.2,
    },
    "mel-band-roformer": {**ROFORMER, "bands": 3},
    "mmdensenet": {**DENSE, "blocks": ["2x2 2x1 2x2", "2x1", "2x1"], "kernel_bins": [4, 3, 3]},
    "mmdenselstm": {**DENSE, "blocks": ["2x1+2 2x1 2x1", "+2", "2x1"], "kernel_bins": [3, 3, 3]},
    "scnet": {**SCNET, "convolutions": [1, 1, 1], "segment_s": 0.2},
    "scnet-masked": {**SCNET, "convolutions": [1, 1, 1], "segment_s": 0.2},
    "tfc-tdf": {**FRAMES, "overlap_frames": 3, "bins": 100, "width": 4, "growth": 2, "depth": 1},
    "unet": {**FRAMES, "bins": 128, "widths": [2, 3]},
    "open-unmix": UNMIX,
    "crosstalk-unmix": UNMIX,
    "demucs": DEMUCS,
    "demucs-multidecoder": DEMUCS,
    "demucs-v3": {
        **DEMUCS,
        "dconv_lstm": 0,
        "dconv_attention": 1,
        "dconv_depth": 1,
        "dconv_compress": 1.0,
    },
    "hdemucs": {**HYBRID, "depth": 4, "dconv_lstm": 3, "dconv_attention": 9},
    "htdemucs": {**HYBRID, "depth": 2, "bottom_channels": 4, "heads": 1, "layers": 2},
}


pytestmark = pytest.mark.slow


@pytest.fixture(params=list_models())
def model(request):
    torch.manual_seed(0)
    config = {"sources": ["a", "b"], **TINY[request.param]} if request.param in TINY else {}
    return create_model(request.param, config).eval()


def test_exported_networks_give_what_pytorch_gives(model, tmp_path):
    path = tmp_path / "model.onnx"
    if model.no_core:
        with pytest.raises(UsageError, match=f"{model.registry_name} cannot be exported: it "):
            export_network(model, path)
        assert not list(tmp_path.iterdir())
        return
    made = export_network(model, path, name="tiny", licence="MIT")
    assert made.difference <= TOLERANCE
    said = read_metadata(path)
    assert said["name"] == "tiny"
    assert said["licence"] == "MIT"
    assert said["opset"] == "17"
    assert [path.name] == [each.name for each in tmp_path.iterdir()]

    exported = exported_model(path)
    assert exported.sources == model.sources
    assert exported.window == model.window
    rng = torch.Generator().manual_seed(1)
    length = model.window.length
    for samples, side in ((length, None), (length + 777, 0.3), (made.least_samples, 1.0)):
        mixture = 0.1 * torch.randn(2, model.channels, samples, generator=rng)
        facts = SongFacts(None if side is None else torch.tensor([side]))
        with torch.inference_mode():
            expected = model.for_song(facts)(mixture)
            found = exported.for_song(facts)(mixture)
        assert found.shape == expected.shape
        assert (found - expected).abs().max() <= TOLERANCE * expected.abs().max()
    with torch.inference_mode():  # shorter than the exported network takes
        assert exported(mixture[..., :10]).shape == (2, len(model.sources), model.channels, 10)


@pytest.mark.parametrize(("name", "is_dynamic"), [("conv-tasnet", True), ("unet", False)])
def test_programs_of_torch_export(name, is_dynamic, tmp_path):
    torch.manual_seed(0)
    model = create_model(name, {"sources": ["a", "b"], **TINY[name]}).eval()
    path = tmp_path / "model.pt2"
    made = export_pt2(model, path, name="tiny")
    assert made.difference <= TOLERANCE
    assert (made.least_samples == 1) == is_dynamic
    said = {METADATA_FILE: ""}
    network = torch.export.load(path, extra_files=said).module()
    assert json.loads(said[METADATA_FILE])["model"] == name
    inputs = example(model, model.window.length, batch=1, seed=5)
    with torch.inference_mode():
        expected = getattr(model, model.core)(*inputs.arguments)
        found = network(*inputs.inputs)
    assert (found - expected).abs().max() <= TOLERANCE * expected.abs().max()


@pytest.mark.parametrize("name", ["band-split", "conv-tasnet"])
def test_whole_models(name, tmp_path):
    from partita.export.whole import checked_whole_graph  # which imports onnx

    torch.manual_seed(0)
    model = create_model(name, {"sources": ["a", "b"], **TINY[name]}).eval()
    path = tmp_path / "model.onnx"
    export_network(model, path, around=checked_whole_graph)
    exported = exported_model(path)
    mixture = 0.1 * torch.randn(2, 2, model.window.length + 99)
    for side in (None, torch.tensor([0.3, 1.0])):
        facts = SongFacts(side)
        with torch.inference_mode():
            expected = model.for_song(facts)(mixture)
            found = exported.for_song(facts)(mixture)
        assert (found - expected).abs().max() <= TOLERANCE * expected.abs().max()
