"""Models that people bring: registered, of plug-ins, and plain modules."""

import logging
import sys

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

import partita
from partita import Separator
from partita.errors import ModelError, UnknownNameError, UsageError, WeightsError
from partita.models import ModelConfig, SeparationModel, Window, _registry
from partita.weights.checkpoint import save_checkpoint

RATE = 8000
PLUGIN = '''
import torch
from partita.models import ModelConfig, SeparationModel, Window, register_model


@register_model("parts")
class Parts(SeparationModel):
    """Learns how much of the mixture each source is."""

    config_type = ModelConfig
    window = Window(4000, 0)

    def __init__(self, config):
        super().__init__(config)
        self.parts = torch.nn.Parameter(torch.zeros(len(config.sources)))

    def forward(self, mixture):  # [B, C, T] -> [B, S, C, T]
        return mixture[:, None] * self.parts.softmax(0)[:, None, None]
'''


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(_registry, "_MODELS", dict(_registry._MODELS))


@pytest.fixture
def plugin(registry, tmp_path, monkeypatch):
    """A distribution with two models, one of which cannot be imported."""
    info = tmp_path / "site/mine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[partita.models]\nparts = parts_plugin:Parts\nbroken = parts_plugin:missing\n"
    )
    (tmp_path / "site/parts_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield
    sys.modules.pop("parts_plugin", None)


def halves(mixture):
    return torch.stack([mixture / 2, mixture / 2], dim=1)


class Halves(nn.Module):
    def forward(self, mixture):
        return halves(mixture)


def define(name, parameters=0):
    @partita.register_model(name)
    class Mine(SeparationModel):
        """Halves a mixture."""

        config_type = ModelConfig
        window = Window(2000, 500)

        def __init__(self, config):
            super().__init__(config)
            self.weights = nn.ParameterList([torch.zeros(1)] * parameters)

        def forward(self, mixture):
            return torch.stack([mixture / 4] * 4, dim=1)

    return Mine


@pytest.mark.usefixtures("registry")
def test_a_registered_model_is_a_name_everywhere(song, write_song, run):
    define("mine")
    assert "mine" in partita.list_models()
    separator = Separator("mine", stems="drums")
    assert repr(separator) == "Separator('mine': drums; 44100 Hz, cpu)"
    np.testing.assert_allclose(separator(song, 44100)["drums"], song / 4, atol=1e-6)
    chain = Separator("mine:vocals+hpss")(song, 44100)
    assert list(chain) == ["drums", "bass", "other", "harmonic", "percussive", "residual"]
    path = write_song()
    assert run("separate", path, "-n", "mine", "--stems", "bass").status == 0
    assert run("separate", path, "-n", "mine", "--stems", "bass", "--resume").status == 0


@pytest.mark.usefixtures("registry")
def test_a_class_that_is_defined_again_replaces_the_first_one():
    define("mine")
    second = define("mine")
    assert _registry.find_model("mine") is second
    with pytest.raises(ValueError, match="two models are called 'mine'"):
        partita.register_model("mine")(_registry.find_model("unet"))
    with pytest.raises(TypeError, match="'module' is not a partita"):
        partita.register_model("module")(Halves)


@pytest.mark.usefixtures("registry")
def test_weights_of_a_model_that_is_not_registered(tmp_path):
    path = tmp_path / "mine.safetensors"
    define("mine", parameters=1)
    save_checkpoint(path, partita.models.create_model("mine").eval())
    assert repr(Separator(path)).startswith(f"Separator({str(path)!r}: vocals, drums")
    del _registry._MODELS["mine"]
    with pytest.raises(WeightsError, match="weights of an unknown model 'mine': import the module"):
        Separator(path)


@pytest.mark.usefixtures("registry")
def test_models_without_weights_say_what_is_missing(run, write_song):
    with pytest.raises(UsageError, match=r"unet is a model without weights: name weights of it "
                       r"\(spleeter-2stems.*\), or train it \(partita train unet\)"):  # fmt: skip
        Separator("unet")
    define("mine", parameters=2)
    with pytest.raises(UsageError, match="mine is a model without weights: train it"):
        Separator("mine")
    result = run("separate", write_song(), "-n", "unet")
    assert (result.status, len(result.err.splitlines())) == (2, 1)
    with pytest.raises(UnknownNameError, match="unknown model 'nonet'"):
        Separator("nonet")


@pytest.mark.usefixtures("plugin")
def test_plugins_are_found_when_a_name_is_unknown_or_all_are_listed(caplog):
    assert "parts_plugin" not in sys.modules
    assert Separator("hpss").sources
    assert "parts_plugin" not in sys.modules
    with pytest.raises(UsageError, match="parts is a model without weights"):
        Separator("parts")
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert "parts" in partita.list_models()
    assert ["broken: mine cannot be imported" in each.message for each in caplog.records] == [True]


@pytest.mark.slow
@pytest.mark.usefixtures("plugin")
def test_a_plugin_is_trained_and_separates(run, tmp_path):
    pytest.importorskip("lightning_fabric")
    rng = np.random.default_rng(0)
    for track in ("one", "two"):
        for stem, level in (("loud", 0.3), ("soft", 0.1)):
            path = tmp_path / f"album/{track}/{stem}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, level * rng.uniform(-1, 1, (RATE, 2)), RATE)
    settings = ("sources=loud,soft", f"sample_rate={RATE}", "epochs=1", "steps_per_epoch=2",
                "excerpt_s=0.5", "batch_size=2", "loss=l1")  # fmt: skip
    flags = [flag for text in settings for flag in ("--set", text)]
    result = run("train", "parts", "--data", "album", *flags, "--quiet")
    assert result.status == 0, result.err
    separator = Separator(tmp_path / "runs/parts")
    assert (separator.sources, separator.sample_rate) == (("loud", "soft"), RATE)


@pytest.mark.parametrize("how", ["keywords", "attributes"])
def test_plain_modules(song, how):
    module, names = Halves(), {"sources": ("voice", "rest"), "sample_rate": 44100}
    if how == "attributes":
        for name, value in names.items():
            setattr(module, name, value)
        names = {}
    module.channels = 64  # not of the audio
    separator = Separator(module, **names)
    assert repr(separator) == "Separator('Halves': voice, rest; 44100 Hz, cpu)"
    estimates = separator(song, 44100)
    np.testing.assert_allclose(estimates["rest"], song / 2, atol=1e-6)
    windowed = Separator(module, segment_s=0.5, overlap=0.5, **names)(song, 44100)
    np.testing.assert_allclose(windowed["voice"], song / 2, atol=1e-6)


def test_plain_modules_that_do_not_fit(song):
    with pytest.raises(UsageError, match="Halves has no `sources`"):
        Separator(Halves(), sample_rate=44100)
    with pytest.raises(UsageError, match="Halves has no `sample_rate`"):
        Separator(Halves(), sources=["a", "b"])
    with pytest.raises(UsageError, match="are for modules in memory"):
        Separator("hpss", sources=["a", "b"])
    with pytest.raises(ModelError, match="sources must differ"):
        Separator(Halves(), sources=["a", "a"], sample_rate=44100)
    wrong = Separator(Halves(), sources=["a", "b", "c"], sample_rate=44100)
    with pytest.raises(ModelError, match=r"Halves returned \[1, 2, 2, 176400\] for a mixture of"):
        wrong(song, 44100)
    with pytest.raises(UsageError, match="this model has its own"):
        Separator(Separator("hpss").model, sample_rate=8000)


def test_models_that_are_not_registered(song):
    class Quarter(SeparationModel):
        config_type = ModelConfig
        window = None

        def forward(self, mixture):
            return mixture[:, None] / 4

    separator = Separator(Quarter(ModelConfig(sources=("quarter",))))
    assert repr(separator) == "Separator('Quarter': quarter; 44100 Hz, cpu)"
    np.testing.assert_allclose(separator(song, 44100)["quarter"], song / 4, atol=1e-6)
