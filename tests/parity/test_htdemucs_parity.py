"""Hybrid (Transformer) Demucs and Demucs v3 against demucs 4.1.0: networks, gradients, songs."""

import random
from fractions import Fraction

import pytest
import torch

from demucs4_reference import import_demucs4
from partita import Separator
from partita.errors import WeightsCorruptError
from partita.models import create_model
from partita.weights.demucs_networks import demucs_network, empty_demucs_network

FOUR = ["drums", "bass", "other", "vocals"]
SIX = [*FOUR, "guitar", "piano"]
RATE = 8000
_COMMON = {"channels": 8, "samplerate": RATE, "dconv_init": 0.3}
_HYBRID = {**_COMMON, "nfft": 256, "depth": 5, "segment": 1}
_INNER = {"norm_starts": 3, "dconv_lstm": 3, "dconv_attn": 3}
HDEMUCS = {**_HYBRID, **_INNER}
HTDEMUCS = {
    **_COMMON,
    "nfft": 512,
    "depth": 2,
    "segment": Fraction(1, 2),
    "bottom_channels": 16,
    "t_heads": 2,
    "t_layers": 5,
    "dconv_mode": 3,
}
OFFICIAL = {"bottom_channels": 512, "dconv_mode": 3}
V3 = {**_COMMON, **_INNER, "depth": 4, "segment": 1}
#: What official presets have, in small.
PRESETS = {
    "htdemucs": ("HTDemucs", HTDEMUCS),
    "htdemucs_6s": ("HTDemucs", {**HTDEMUCS, "sources": SIX, "bottom_channels": 0}),
    "hdemucs_mmi": ("HDemucs", HDEMUCS),
    "hdemucs of six": ("HDemucs", {**HDEMUCS, "sources": SIX}),
    "mdx, hybrid": ("HDemucs", {**HDEMUCS, "hybrid_old": True}),
    "mdx, of time": ("Demucs", V3),
}
#: Other modes of theirs.
MODES = {
    "learned positions": ("HTDemucs", {**HTDEMUCS, "t_emb": "scaled", "t_cross_first": True}),
    "cape": ("HTDemucs", {**HTDEMUCS, "t_emb": "cape", "t_gelu": False, "t_layer_scale": False}),
    "groups": (
        "HTDemucs",
        {**HTDEMUCS, "t_norm_in": False, "t_norm_in_group": True, "t_group_norm": True},
    ),
    "norms behind": ("HTDemucs", {**HTDEMUCS, "t_norm_first": False}),
    "any length": ("HTDemucs", {**HTDEMUCS, "use_train_segment": False}),
    "no transformer": ("HTDemucs", {**HTDEMUCS, "t_layers": 0, "dconv_mode": 1}),
    "bands": (
        "HDemucs",
        {**HDEMUCS, "nfft": 1024, "multi_freqs": [0.25, 0.5], "norm_starts": 4},
    ),
    "magnitudes": ("HDemucs", {**HDEMUCS, "cac": False}),
    "masks": ("HDemucs", {**HDEMUCS, "cac": False, "wiener_iters": -1, "end_iters": -1}),
    "Wiener filter": (
        "HDemucs",
        {**HDEMUCS, "cac": False, "wiener_iters": 2, "end_iters": 2, "wiener_residual": True},
    ),
    "mono": ("HDemucs", {**HDEMUCS, "audio_channels": 1, "channels_time": 4}),
    "contexts": ("HDemucs", {**HDEMUCS, "context": 2, "context_enc": 1, "freq_emb": 0}),
    "version 2's": (
        "Demucs",
        {**V3, "dconv_mode": 0, "gelu": False, "lstm_layers": 2, "norm_starts": 9},
    ),
    "rate as it is": ("Demucs", {**V3, "resample": False, "normalize": False, "dconv_mode": 3}),
}


@pytest.fixture(scope="module")
def demucs4():
    return import_demucs4("apply")


@pytest.fixture
def pair(demucs4):
    """Make their network and our model with the same weights, brought over by the loader."""

    def make(klass, arguments):
        arguments = {"sources": FOUR, **arguments}
        torch.manual_seed(0)
        theirs = getattr(demucs4.apply, klass)(**arguments).eval()
        for name, parameter in theirs.named_parameters():
            with torch.no_grad():
                if name.endswith("scale"):  # branches count from the start
                    parameter.uniform_(0.2, 0.8)
                if name.endswith("query_decay.bias"):
                    parameter.fill_(-2)
        state = {name: x.clone() for name, x in theirs.state_dict().items()}
        return theirs, demucs_network(f"demucs.{klass.lower()}.{klass}", arguments, state)

    return make


def noise(samples, channels=2, batch=2, loud=0.3):
    generator = torch.Generator().manual_seed(1)
    return loud * torch.randn(batch, channels, samples, generator=generator) + 0.02


def relative(found, expected):
    assert found.shape == expected.shape
    assert float(expected.abs().max()) > 1e-5
    return float((found - expected).abs().max() / expected.abs().max())


def lengths(theirs):
    if type(theirs).__name__ == "Demucs":  # what is shorter, their loop pads before it normalises
        return [theirs.valid_length(3000)]
    return [1, 100, 3999, int(theirs.segment * RATE)]


@pytest.mark.parametrize(
    ("klass", "arguments"), [*PRESETS.values(), *MODES.values()], ids=[*PRESETS, *MODES]
)
def test_networks(pair, klass, arguments):
    theirs, ours = pair(klass, arguments)
    # The filter inverts matrices that are nearly singular: in float32, processors differ by 1e-5.
    kind = torch.float64 if arguments.get("wiener_iters", 0) > 0 else torch.float32
    theirs, ours = theirs.to(kind), ours.to(kind)
    for samples in lengths(theirs):
        mixture = noise(samples, theirs.audio_channels).to(kind)
        if theirs.audio_channels * samples == 1:
            continue  # theirs is NaN
        with torch.inference_mode():
            assert relative(ours(mixture), theirs(mixture)) <= 1e-5, samples


def test_long_signals_see_frames_of_lstms_and_all_steps(pair):
    theirs, ours = pair("HDemucs", {**HDEMUCS, "nfft": 64, "depth": 4, "dconv_lstm": 2})
    mixture = noise(20_000, batch=1)
    with torch.inference_mode():
        assert relative(ours(mixture), theirs(mixture)) <= 1e-5


@pytest.mark.parametrize(("klass", "arguments"), PRESETS.values(), ids=PRESETS)
def test_gradients(pair, klass, arguments):
    theirs, ours = (model.double() for model in pair(klass, arguments))
    mixture = noise(theirs.valid_length(3000) if klass == "Demucs" else 3000, batch=1).double()
    expected = theirs.train()(mixture)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(3))
    (expected * weights).sum().backward()
    (ours.train()(mixture) * weights).sum().backward()
    true = dict(theirs.named_parameters())
    largest = max(float(parameter.grad.abs().max()) for parameter in true.values())
    for name, parameter in ours.named_parameters():
        gradient = true.pop(name).grad
        difference = float((parameter.grad - gradient).abs().max())
        # Biases of keys, and those before norms, have no effect: theirs is nothing else.
        rounding = 1e-9 * largest
        assert difference <= 1e-4 * float(gradient.abs().max()) + rounding, name
    assert not true


@pytest.mark.parametrize("name", ["htdemucs", "hdemucs_mmi", "mdx, of time"])
def test_first_weights(demucs4, name):
    """They are drawn alike: of the same deviations."""
    klass, arguments = PRESETS[name]
    torch.manual_seed(0)
    theirs = getattr(demucs4.apply, klass)(sources=FOUR, **arguments)
    empty = empty_demucs_network(klass, {"sources": FOUR, **arguments})
    ours = create_model(empty.registry_name, empty.config.to_dict())
    true = dict(theirs.named_parameters())
    assert [*true] == [own for own, _ in ours.named_parameters()]  # quantised files need the order
    for own, parameter in ours.named_parameters():
        if parameter.numel() > 500 and "freq_emb" not in own:  # a random walk
            expected = float(true[own].detach().std())
            assert float(parameter.detach().std()) == pytest.approx(expected, rel=0.2), own


class InTheirLoop(torch.nn.Module):
    """Our model, in its form for inference, as theirs is called."""

    def __init__(self, ours, theirs):
        super().__init__()
        self.network = ours.for_inference()
        for name in ("sources", "samplerate", "segment", "audio_channels"):
            setattr(self, name, getattr(theirs, name))
        if hasattr(theirs, "valid_length"):
            self.valid_length = theirs.valid_length

    def forward(self, mixture):
        return self.network(mixture)


def draw_offsets(monkeypatch):
    """Let the same offsets be drawn, whatever else draws: their transformer does at every call."""
    drawn = iter([1234, 321, 7])
    monkeypatch.setattr(random, "randint", lambda *_: next(drawn))


@pytest.mark.parametrize("shifts", [0, 2])
@pytest.mark.parametrize("name", ["htdemucs", "hdemucs_mmi", "mdx, hybrid", "mdx, of time"])
def test_whole_songs_in_their_loop(demucs4, pair, monkeypatch, name, shifts):
    """Split, with overlaps and shifts by the same offsets: only the network is another."""
    theirs, ours = pair(*PRESETS[name])
    song = noise(2 * RATE + 77, batch=1)
    results = []
    for network in (InTheirLoop(ours, theirs), theirs):
        draw_offsets(monkeypatch)
        results.append(demucs4.apply.apply_model(network, song, shifts=shifts, overlap=0.25))
    assert relative(*results) <= 1e-4


def test_bags_in_their_loop(demucs4, pair, monkeypatch):
    """Weights of sources; each member has shifts of its own."""
    members = [pair(*PRESETS["htdemucs"]), pair(*PRESETS["htdemucs"])]
    weights = [[1.0, 0.0, 0.5, 1.0], [0.0, 1.0, 0.5, 3.0]]
    song, results = noise(RATE, batch=1), []
    for networks in zip(
        *((InTheirLoop(*reversed(both)), both[0]) for both in members), strict=True
    ):
        draw_offsets(monkeypatch)
        bag = demucs4.apply.BagOfModels(list(networks), weights)
        results.append(demucs4.apply.apply_model(bag, song, shifts=1))
    assert relative(*results) <= 1e-4


def test_windows_of_songs(demucs4, pair):
    """Where one window alone tells, songs are the same; crossfades and the last window differ."""
    theirs, ours = pair(*PRESETS["htdemucs"])
    length, overlap = ours.window.length, ours.window.overlap
    hop = length - overlap
    song = noise(4 * hop + length, channels=1, batch=1)[0] + 0.3 * noise(4 * hop + length)[0]
    expected = demucs4.apply.apply_model(theirs, song[None], shifts=0, overlap=0.25)[0]
    stems = Separator(ours)(song, RATE)
    found = torch.stack([stems[source].samples for source in FOUR])
    assert hop == int(0.75 * length)
    for turn in range(hop, song.shape[-1] - length, hop):
        alone = slice(turn + overlap, turn + hop)
        assert relative(found[..., alone], expected[..., alone]) <= 1e-4


def test_official_htdemucs_has_as_many_weights_and_as_long_windows():
    given = {"sources": FOUR, **OFFICIAL, "segment": Fraction(39, 5)}
    model = empty_demucs_network("HTDemucs", given)
    tensors = model.state_dict()
    assert (len(tensors), sum(x.numel() for x in tensors.values())) == (533, 41_984_456)
    assert (model.window.length, model.window.hop) == (343_980, 257_985)


@pytest.mark.slow
@pytest.mark.parametrize("klass", ["HTDemucs", "HDemucs"])
def test_full_size(pair, klass):
    arguments = {"HTDemucs": {**OFFICIAL, "segment": Fraction(3, 2)}, "HDemucs": {}}[klass]
    theirs, ours = pair(klass, arguments)
    mixture = noise(60_000, batch=1)
    with torch.inference_mode():
        assert relative(ours(mixture), theirs(mixture)) <= 1e-5


def test_half_precision_and_arguments_that_nobody_knows(pair):
    theirs, _ = pair(*PRESETS["hdemucs_mmi"])
    state = {name: x.half() for name, x in theirs.state_dict().items()}
    ours = demucs_network("HDemucs", {**HDEMUCS, "resample": True}, state, args=(FOUR,))
    assert all(torch.equal(x, state[name].float()) for name, x in ours.state_dict().items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"t_sparse_self_attn": True}, "t_sparse_self_attn must be False"),
        ({"kernel_size": 6}, "kernel_size must be twice stride"),
        ({"depth": "many"}, "depth is not a number"),
        ({"t_emb": "none"}, "positions must be one of"),
        ({"channels": 12}, "has another shape"),
    ],
)
def test_networks_that_are_refused(pair, arguments, message):
    theirs, _ = pair(*PRESETS["htdemucs"])
    given = {"sources": FOUR, **HTDEMUCS, **arguments}
    with pytest.raises(WeightsCorruptError, match=message):
        demucs_network("HTDemucs", given, theirs.state_dict(), name="a file")
