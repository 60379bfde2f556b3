"""Demucs against demucs 2.0.3 itself: networks, first weights, and songs in windows and shifts."""

import random

import pytest
import torch

from demucs_reference import import_demucs
from partita import Separator
from partita.dsp.double_rate import double_rate, halve_rate
from partita.dsp.overlap_add import random_offsets
from partita.models import create_model
from partita.weights.demucs import tensors_from_files

SOURCES = ["drums", "bass", "vocals"]
RATE = 8000
#: Ours → theirs.
KEYS = {
    "hidden": "channels",
    "channels": "audio_channels",
    "kernel": "kernel_size",
    "normalise": "normalize",
    "sample_rate": "samplerate",
}
SMALL = {"hidden": 6, "depth": 3, "lstm_layers": 1, "normalise": False, "sample_rate": RATE}
V1 = {"resample": False, "lstm_layers": 2}
V2 = {"lstm_layers": 2}
SHAPES = {
    "version 1": V1,
    "version 2": V2,
    "mono": {"channels": 1},
    "ReLU": {"glu": False},
    "context 1": {"context": 1},
    "context 1, rate as it is": {"context": 1, "resample": False},
    "nothing rewritten": {"rewrite": False, "context": 1},
    "no LSTM": {"lstm_layers": 0},
    "one direction": {"bidirectional": False, "lstm_layers": 2},
    "normalised": {"normalise": True, "context": 1},
    "normalised, rate as it is": {"normalise": True, "context": 1, "resample": False},
    "other sizes": {"kernel": 6, "stride": 2, "growth": 1.5, "depth": 4},
}


@pytest.fixture(scope="module")
def demucs():
    return import_demucs("model", "utils")


class OneDirection(torch.nn.Module):
    """What stands in the place of theirs, which only knows both."""

    def __init__(self, width, layers):
        super().__init__()
        self.lstm = torch.nn.LSTM(width, width, layers)

    def forward(self, x):
        return self.lstm(x.permute(2, 0, 1))[0].permute(1, 2, 0)


@pytest.fixture
def pair(demucs, tmp_path):
    """Make their network and our model with the same weights, brought over by the loader."""

    def make(**config):
        values = {**SMALL, "rescale": 0.5, **config}  # lively from the start
        torch.manual_seed(0)
        own = ("bidirectional", "segment_s", "overlap")
        given = {KEYS.get(key, key): value for key, value in values.items() if key not in own}
        theirs = demucs.model.Demucs(SOURCES, **given)
        if not values.get("bidirectional", True):
            width = theirs.lstm.linear.out_features
            theirs.lstm = OneDirection(width, values["lstm_layers"])
        path = tmp_path / "demucs.th"
        torch.save(theirs.state_dict(), path)
        ours = create_model("demucs", {"sources": SOURCES, **values})
        tensors = tensors_from_files({"all": path})
        if not values.get("rewrite", True):  # the official networks all rewrite
            tensors = {name.replace("decoder.", "d.").replace("rewrite", "conv")
                       .replace("d.", "decoder."): x for name, x in tensors.items()}  # fmt: skip
        ours.load_state_dict(tensors)
        return theirs.eval(), ours.eval()

    return make


def noise(samples, channels=2, batch=2, loud=0.3):
    generator = torch.Generator().manual_seed(1)
    return loud * torch.randn(batch, channels, samples, generator=generator)


def ordinary_stereo(samples):
    """Noise mostly in the middle: channels that have nothing in common are separated one by one."""
    return 0.7 * noise(samples, channels=1, batch=1)[0] + 0.3 * noise(samples, batch=1)[0]


def relative(found, expected):
    assert found.shape == expected.shape
    assert float(expected.abs().max()) > 1e-3
    return float((found - expected).abs().max() / expected.abs().max())


def whole(demucs, theirs, mixture, **options):
    """Return what theirs makes of each song of a batch."""
    songs = [demucs.utils.apply_model(theirs, song, **options) for song in mixture]
    return torch.stack(songs)


@pytest.mark.parametrize("samples", [1, 1000, 4001])
@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_networks(demucs, pair, config, samples):
    theirs, ours = pair(**config)
    if config.get("normalise"):  # theirs counts what is padded as well: let that be nothing
        samples = theirs.valid_length(samples)
    mixture = noise(samples, config.get("channels", 2)) + 0.02
    assert ours.config.valid_samples(samples) == theirs.valid_length(samples)
    with torch.inference_mode():
        found, expected = ours(mixture), whole(demucs, theirs, mixture)
    assert relative(found, expected) <= 1e-5


@pytest.mark.parametrize("name", ["version 1", "version 2", "one direction", "normalised"])
def test_gradients(demucs, pair, tmp_path, name):
    theirs, ours = pair(**SHAPES[name])
    mixture = noise(theirs.valid_length(2000))
    full = demucs.utils.TensorChunk(mixture).padded(theirs.valid_length(mixture.shape[-1]))
    expected = demucs.utils.center_trim(theirs(full), mixture)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(3))
    (expected * weights).sum().backward()
    (ours(mixture) * weights).sum().backward()
    path = tmp_path / "gradients.th"
    torch.save({key: parameter.grad for key, parameter in theirs.named_parameters()}, path)
    named = tensors_from_files({"all": path})
    for key, parameter in ours.named_parameters():
        assert relative(parameter.grad, named.pop(key)) <= 1e-4, key
    assert not named


@pytest.mark.parametrize("kind", ["encoder", "decoder", "lstm"])
def test_first_weights(demucs, kind):
    """They are drawn alike: of the same deviations, level by level."""
    config = {"hidden": 32, "depth": 3, "lstm_layers": 1}
    torch.manual_seed(0)
    ours = create_model("demucs", {"sources": SOURCES, **config})
    theirs = demucs.model.Demucs(SOURCES, channels=32, depth=3, lstm_layers=1)
    part = getattr(ours, "recurrence" if kind == "lstm" else kind)
    pairs = zip(part.parameters(), getattr(theirs, kind).parameters(), strict=True)
    for own, other in pairs:
        assert own.shape == other.shape
        if own.ndim > 1:
            assert float(own.detach().std()) == pytest.approx(float(other.detach().std()), rel=0.1)


@pytest.mark.parametrize("samples", [1, 2, 51, 1000, 1001])
def test_resampling(demucs, samples):
    import julius

    x = noise(samples)
    assert relative(double_rate(x), julius.resample_frac(x, 1, 2)) <= 1e-6
    if samples > 1:
        assert relative(halve_rate(x), julius.resample_frac(x, 2, 1)) <= 1e-6


def separated(ours, song, **options):
    stems = Separator(ours, **options)(song, RATE)
    return torch.stack([stems[source].samples for source in SOURCES])


def test_songs_of_one_window(demucs, pair):
    """As ``demucs.separate`` does it, which normalises the song before the network."""
    theirs, ours = pair(**V2, normalise=True, segment_s=3)
    theirs.normalize = False
    theirs.segment_length = 3 * RATE
    song = ordinary_stereo(2 * RATE + 77) + 0.02
    mono = song.mean(0)
    expected = demucs.utils.apply_model(theirs, (song - mono.mean()) / mono.std(), split=True)
    expected = expected * mono.std() + mono.mean()
    assert relative(separated(ours, song), expected) <= 1e-4


@pytest.mark.parametrize("shifts", [1, 3])
def test_shifts(demucs, pair, monkeypatch, shifts):
    theirs, ours = pair(**V2, segment_s=3)
    song, longest = ordinary_stereo(2 * RATE + 77), RATE // 2
    offsets = random_offsets(shifts, longest, 5)
    # Theirs cuts off the beginning of a silence of half a second, ours adds silence.
    drawn = iter([longest - offset for offset in offsets])
    monkeypatch.setattr(random, "randint", lambda *_: next(drawn))
    expected = demucs.utils.apply_model(theirs, song, shifts=shifts)
    assert next(drawn, None) is None
    monkeypatch.undo()
    assert relative(separated(ours, song, shifts=shifts, seed=5), expected) <= 1e-5


class InTheirLoop(torch.nn.Module):
    """Our network, in its form for inference, as theirs is called: padded with what is there."""

    def __init__(self, ours, theirs):
        super().__init__()
        self.network = ours.for_inference().network
        self.valid_length = ours.config.valid_samples
        self.sources, self.samplerate = theirs.sources, theirs.samplerate
        self.segment_length = theirs.segment_length

    def forward(self, mixture):
        estimates = halve_rate(self.network(double_rate(mixture)))
        return estimates.unflatten(1, (len(self.sources), -1))


@pytest.mark.parametrize("shifts", [0, 2])
@pytest.mark.parametrize("overlap", [0.25, 0.1])
def test_whole_songs_in_their_loop(demucs, long, shifts, overlap):
    """Split, with overlaps and shifts of one seed: only the network is another."""
    theirs, ours, song = long
    results = []
    for network in (InTheirLoop(ours, theirs), theirs):
        random.seed(0)
        options = {"split": True, "overlap": overlap, "shifts": shifts}
        results.append(demucs.utils.apply_model(network, song, **options))
    assert relative(*results) <= 1e-5


@pytest.fixture
def long(pair):
    """Networks and a song of several windows of a second, of which a quarter overlaps."""
    theirs, ours = pair(**V2, segment_s=1)
    theirs.segment_length = ours.window.length
    return theirs, ours, ordinary_stereo(4 * RATE + 77)


def test_windows_are_what_theirs_would_be(demucs, long):
    """Each window by itself through their network, put together with squared sines."""
    theirs, ours, song = long
    length, overlap = ours.window.length, ours.window.overlap
    rising = torch.sin(torch.pi / 2 * (torch.arange(overlap) + 0.5) / overlap) ** 2
    expected = torch.zeros(len(SOURCES), *song.shape)
    turns = range(0, song.shape[-1] - overlap, length - overlap)
    for turn in turns:
        # The last one is moved back, as far as whole steps go.
        step = ours.window.step
        start = min(turn, -(-(song.shape[-1] - length) // step) * step)
        window = song[:, start : start + length]
        left = window.shape[-1] - (turn - start)
        window = torch.nn.functional.pad(window, (0, length - window.shape[-1]))
        estimates = demucs.utils.apply_model(theirs, window)[..., turn - start :][..., :left]
        if turn > 0:
            estimates[..., :overlap] *= rising
        if turn != turns[-1]:
            estimates[..., -overlap:] *= rising.flip(0)
        expected[..., turn : start + length] += estimates
    assert len(turns) > 4
    assert relative(separated(ours, song), expected) <= 1e-5


def test_split_songs(demucs, long):
    """What one window alone tells is the same; crossfades are not.

    At their ends, their windows see the song beyond them and ours see silence; their crossfade is
    linear; and their last window is short, where ours is moved back.
    """
    theirs, ours, song = long
    length, overlap = ours.window.length, ours.window.overlap
    expected = demucs.utils.apply_model(theirs, song, split=True, overlap=overlap / length)
    found = separated(ours, song)
    hop = length - overlap
    alone = [slice(turn + overlap, turn + hop) for turn in range(hop, song.shape[-1] - length, hop)]
    assert len(alone) > 3
    for part in (slice(0, hop), *alone):
        assert relative(found[..., part], expected[..., part]) <= 1e-4
    assert float((found - expected).norm() / expected.norm()) <= 0.05
