"""Bags and safetensors files against demucs 4.1.0: the same file there and here, the same stems."""

from fractions import Fraction

import pytest
import torch

from demucs4_files import FOUR, RATE, SMALL, random_state, write_bag, write_network
from demucs4_reference import import_demucs4
from partita import Separator
from partita.weights import store

pytestmark = pytest.mark.slow
HYBRID = {**SMALL, "depth": 5, "norm_starts": 3, "dconv_lstm": 3, "dconv_attn": 3, "segment": 1}
for _name in ("bottom_channels", "t_layers", "t_heads"):
    del HYBRID[_name]


@pytest.fixture(scope="module")
def demucs4():
    pytest.importorskip("yaml")
    package = import_demucs4("apply", "hf")
    # It imports classes by the names that files hold, which here are another version's.
    package.hf.importlib = type(
        "importlib",
        (),
        {"import_module": staticmethod(lambda name: getattr(package, name.split(".")[1]))},
    )
    return package


def noise(samples):
    """Return ordinary stereo: hard-panned songs are separated channel by channel."""
    one, other = torch.randn(2, samples, generator=torch.Generator().manual_seed(1))
    return 0.3 * torch.stack([one, 0.7 * one + 0.3 * other]) + 0.02


def relative(found, expected):
    assert found.shape == expected.shape
    assert float(expected.abs().max()) > 1e-5
    return float((found - expected).abs().max() / expected.abs().max())


def stems_of(separator, song):
    stems = separator(song, RATE)
    return torch.stack([stems[name].samples for name in stems])


@pytest.mark.parametrize(
    ("klass", "kwargs"),
    [("HTDemucs", SMALL), ("HDemucs", HYBRID), ("HTDemucs", {**SMALL, "segment": Fraction(3, 8)})],
)
def test_the_same_file(demucs4, tmp_path, klass, kwargs):
    path = write_network(tmp_path / "one.safetensors", klass, kwargs)
    theirs = demucs4.hf.load_safetensors_model(path).eval()
    ours = store.load_model(str(path))
    assert ours.window.length == int(theirs.segment * theirs.samplerate)
    mixture = noise(3000)[None]
    with torch.inference_mode():
        assert relative(ours(mixture), theirs(mixture)) <= 1e-5


@pytest.mark.parametrize(
    "weights",
    [
        None,
        [[1, 0, 0.5, 2], [0, 3, 1, 2], [0, 0, 1, 1]],
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1]],
    ],
)
def test_bags(demucs4, tmp_path, weights):
    """Songs that theirs hears in one window too: crossfades between windows differ."""
    files = [
        write_network(tmp_path / "aa.safetensors", "HDemucs", HYBRID, seed=0),
        write_network(tmp_path / "bb.safetensors", "HDemucs", {**HYBRID, "cac": False}, seed=1),
        write_network(tmp_path / "cc.safetensors", "HDemucs", HYBRID, seed=2),
    ]
    said = {"segment": 2} if weights is None else {"segment": 2, "weights": weights}
    bag = write_bag(tmp_path / "bag.yaml", ["aa", "bb", "cc"], **said)
    networks = [demucs4.hf.load_safetensors_model(path) for path in files]
    theirs = demucs4.apply.BagOfModels(networks, weights, 2)
    song = noise(int(1.4 * RATE))
    expected = demucs4.apply.apply_model(theirs, song[None], shifts=0)[0]
    separator = Separator(bag)
    assert separator.sources == tuple(FOUR)
    assert relative(stems_of(separator, song), expected) <= 1e-4
    for stem, place in (("vocals", 3), ("drums", 0)):
        found = stems_of(Separator(bag, stems=stem), song)[0]
        assert relative(found, expected[place]) <= 1e-4


def test_segments_of_bags_with_and_without_a_transformer(demucs4, tmp_path):
    """Networks with one do not take a longer segment: they see windows of their own."""
    files = [
        write_network(tmp_path / "aa.safetensors", "HTDemucs", SMALL),
        write_network(tmp_path / "bb.safetensors", "HDemucs", HYBRID),
    ]
    bag = write_bag(tmp_path / "bag.yaml", ["aa", "bb"], segment=2)
    theirs = demucs4.apply.BagOfModels(
        [demucs4.hf.load_safetensors_model(path) for path in files], None, 2
    )
    lengths = [int(network.segment * network.samplerate) for network in theirs.models]
    assert [each.window.length for each in Separator(bag).models] == lengths


def test_long_songs_where_single_windows_tell(demucs4, tmp_path):
    """Of networks with one window length, what no neighbour shares is the same."""
    files = [write_network(tmp_path / f"{n}{n}.safetensors", seed=n) for n in range(2)]
    weights = [[1, 0, 0.5, 2], [0, 3, 1, 2]]
    bag = write_bag(tmp_path / "bag.yaml", ["00", "11"], weights=weights)
    networks = [demucs4.hf.load_safetensors_model(path) for path in files]
    theirs = demucs4.apply.BagOfModels(networks, weights)
    separator = Separator(bag)
    window = separator.models[0].window
    song = noise(3 * window.hop + window.length)
    expected = demucs4.apply.apply_model(theirs, song[None], shifts=0, overlap=0.25)[0]
    found = stems_of(separator, song)
    for turn in range(window.hop, song.shape[-1] - window.length, window.hop):
        alone = slice(turn + window.overlap, turn + window.hop)
        assert relative(found[..., alone], expected[..., alone]) <= 1e-4


def test_weights_are_as_many_as_theirs(demucs4):
    theirs = demucs4.hdemucs.HDemucs(**HYBRID).state_dict()
    ours = random_state("HDemucs", HYBRID)
    assert {name: x.shape for name, x in ours.items()} == {n: x.shape for n, x in theirs.items()}
