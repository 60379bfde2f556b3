"""Models as whole ONNX graphs, as pages run them."""

import numpy as np
import pytest
import torch

from common import SMALL_BANDS, SMALL_UNET
from partita.models import create_model
from partita.models._protocol import SongFacts

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
onnx = pytest.importorskip("onnx", reason="onnx is not installed")

FOUR = ["vocals", "drums", "bass", "other"]


def graph_of(model):
    from partita.export.web.whole_graph import whole_graph
    from partita.weights.exported.onnx_graph import onnx_graph

    return whole_graph(model, onnx_graph(model))


def run(graph, mixture, side=None):
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    feeds = {"mixture": mixture.numpy()}
    if side is not None:
        feeds["side"] = np.array([side], np.float32)
    return torch.from_numpy(session.run(None, feeds)[0])


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    levels = {"level_range_db": [-20.0, -15.0]}
    return create_model("unet", {"sources": ["voice", "rest"], **SMALL_UNET, **levels}).eval()


@pytest.fixture(scope="module")
def bands():
    torch.manual_seed(0)
    config = {"sources": FOUR, "level_range_db": [-20.0, -20.0], "any_width": True, **SMALL_BANDS}
    return create_model("band-split", config).eval()


@pytest.fixture(scope="module")
def unet_graph(unet):
    return graph_of(unet)


@pytest.fixture(scope="module")
def bands_graph(bands):
    return graph_of(bands)


def noise(samples, level=0.3):
    return level * torch.randn(1, 2, samples, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("share", [1, 0.6, 0.01])
@pytest.mark.parametrize("level", [0.3, 1e-3, 0.0])
def test_a_graph_of_ratio_masks_gives_what_the_model_gives(unet, unet_graph, share, level):
    mixture = noise(round(unet.window.length * share), level)
    with torch.inference_mode():
        wanted = unet(mixture)
    torch.testing.assert_close(run(unet_graph, mixture), wanted, atol=2e-6, rtol=0)


@pytest.mark.parametrize("side", [1.0, 0.4, 0.0])
@pytest.mark.parametrize("share", [1, 0.6])
def test_a_graph_of_softmax_masks_gives_what_the_model_gives(bands, bands_graph, share, side):
    mixture = noise(round(bands.window.length * share))
    with torch.inference_mode():
        wanted = bands.for_song(SongFacts(side=torch.tensor([side])))(mixture)
    torch.testing.assert_close(run(bands_graph, mixture, side), wanted, atol=2e-6, rtol=0)


def test_a_network_that_is_all_of_its_model_is_the_graph():
    config = {"sources": ["voice", "rest"], "channels": 2}
    torch.manual_seed(0)
    model = create_model(
        "conv-tasnet",
        {**config, "filters": 8, "bottleneck": 4, "hidden": 6, "blocks": 1, "repeats": 1},
    ).eval()
    mixture = noise(model.window.length)
    with torch.inference_mode():
        wanted = model(mixture)
    torch.testing.assert_close(run(graph_of(model), mixture), wanted, atol=1e-5, rtol=0)


def test_what_a_page_gets_has_float16_weights_and_gives_nearly_the_same(unet, unet_graph):
    from partita.export.web.graphs import model_graph

    content, least = model_graph(unet)
    small = onnx.load_from_string(content)
    stored = {tensor.data_type for tensor in small.graph.initializer}
    assert onnx.TensorProto.FLOAT16 in stored
    assert 0 < least <= unet.window.length
    mixture = noise(unet.window.length)
    whole, rounded = run(unet_graph, mixture), run(small, mixture)
    assert 0 < (whole - rounded).abs().max() < 1e-3 * whole.abs().max()
