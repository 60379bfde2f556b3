"""What objects show of themselves, and what a Separator is made of."""

import copy
import pickle

import pytest
import torch

from common import small_checkpoint
from partita import Audio, Separator
from partita.errors import UsageError
from partita.separation.estimates import Estimates


@pytest.fixture
def checkpoints(tmp_path):
    """Two of the same stems, a comma in the name of the second."""
    first, second = tmp_path / "first.safetensors", tmp_path / "a,b.safetensors"
    small_checkpoint(first, sources=["voice", "rest"])
    torch.manual_seed(1)
    small_checkpoint(second, "open-unmix", sources=["voice", "rest"])
    return first, second


def test_objects_fit_into_a_line(checkpoints):
    first, _ = checkpoints
    separator = Separator(first, stems="voice")
    assert repr(separator) == f"Separator({str(first)!r}: voice; 44100 Hz, cpu)"
    assert repr(Separator(separator.model)).startswith("Separator('unet': voice, rest; 44100 Hz")
    estimates = separator(torch.zeros(2, 4410), 44100)
    assert repr(estimates) == "Estimates(voice: 2 channels, 0.100 s, 44100 Hz)"
    assert repr(estimates["voice"]) == "Audio(2 channels, 0.100 s, 44100 Hz)"
    assert repr(Audio(torch.zeros(1, 8000), 8000)) == "Audio(one channel, 1.000 s, 8000 Hz)"
    assert repr(Estimates({}, None)) == "Estimates()"


def test_a_list_is_an_ensemble(checkpoints):
    first, second = checkpoints
    mixture = 0.1 * torch.randn(2, 9000, generator=torch.Generator().manual_seed(0))
    mean = Separator([first, second])(mixture, 44100)
    alone = [Separator(path)(mixture, 44100) for path in checkpoints]
    for stem in ("voice", "rest"):
        expected = sum(each[stem].samples for each in alone) / 2
        assert torch.allclose(mean[stem].samples, expected, atol=1e-6)
    weighted = Separator([f"{first}:0", str(second)])(mixture, 44100)
    assert torch.allclose(weighted["voice"].samples, alone[1]["voice"].samples, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("", "`model` is empty"),
        ([], "`model` is empty"),
        (3, "a list of those, or a model in memory; not int"),
        (None, "not NoneType"),
        (["hpss", 3], "not int"),
        (["hpss", ""], "a model is missing"),
        (["hpss", "hpss"], "hpss is named twice"),
    ],
)
def test_what_is_no_model(model, message):
    with pytest.raises(UsageError, match=message):
        Separator(model)


def test_ensembles_may_be_pickled(checkpoints):
    separator = Separator(checkpoints)
    mixture = 0.1 * torch.randn(2, 9000, generator=torch.Generator().manual_seed(0))
    expected = separator(mixture, 44100)["rest"].samples
    for each in (pickle.loads(pickle.dumps(separator)), copy.deepcopy(separator)):
        assert torch.equal(each(mixture, 44100)["rest"].samples, expected)
        assert repr(each) == repr(separator)
