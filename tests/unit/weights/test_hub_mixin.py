"""Folders in the layout of huggingface_hub's mixin: what partita writes, and what it reads."""

import inspect
import json

import pytest
import torch
from safetensors.torch import save_file

from common import SMALL_UNET, SMALL_UNMIX, small_checkpoint
from partita import models
from partita.errors import UsageError, WeightsCorruptError
from partita.models import OpenUnmix, UNet, create_model
from partita.models._registry import find_model
from partita.weights.hub_export import export_folder
from partita.weights.licences import Licence
from partita.weights.resolve import resolve
from partita.weights.store import load_model

SETTINGS = {"sources": ["a", "b"], **SMALL_UNET}


@pytest.fixture
def model(tmp_path):
    return load_model(str(small_checkpoint(tmp_path / "small.safetensors")))


def same(one, two):
    theirs = two.state_dict()
    return one.config == two.config and all(
        torch.equal(tensor, theirs[key]) for key, tensor in one.state_dict().items()
    )


def write(folder, model, config):
    """Write what the mixin writes: nothing but tensors, and the settings."""
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return str(folder)


@pytest.mark.parametrize(
    ("licence", "stated"),
    [
        (Licence("MIT", True), "\nlicense: mit\n---"),
        (
            Licence("personal and research use only", False),
            '\nlicense: other\nlicense_name: "personal and research use only"\n---',
        ),
        (Licence("unknown", None), "pytorch_model_hub_mixin\n---"),
        (None, "pytorch_model_hub_mixin\n---"),
    ],
)
def test_exported_folders(tmp_path, model, licence, stated):
    export_folder(tmp_path / "out", model, name="mine", licence=licence)
    folder = str(tmp_path / "out")
    assert same(load_model(folder), model)
    settings = json.loads((tmp_path / "out" / "config.json").read_text())
    assert settings.pop("model_type") == "unet"
    assert settings == model.config.to_dict()
    assert stated in (tmp_path / "out" / "README.md").read_text()
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["out", "small.safetensors"]


def test_folders_that_hold_something_stay(tmp_path, model):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "song.wav").write_bytes(b"")
    with pytest.raises(UsageError, match="not an empty folder"):
        export_folder(tmp_path / "full", model, name="mine", licence=None)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["song.wav"]


@pytest.mark.parametrize("change", [{}, {"model_type": "unet"}])
def test_what_the_mixin_wrote(tmp_path, model, change):
    folder = write(tmp_path / "theirs", model, {**model.config.to_dict(), **change})
    assert resolve(folder).sources == ("a", "b")
    assert same(load_model(folder), model)
    assert resolve(folder).digest == resolve(folder).digest
    bare = write(tmp_path / "bare", model, {**SETTINGS, **change})
    assert same(load_model(bare), model)


def test_the_tensors_tell_the_model(tmp_path):
    torch.manual_seed(0)
    unmix = create_model("open-unmix", {"sources": ["a", "b"], **SMALL_UNMIX}).eval()
    folder = write(tmp_path / "theirs", unmix, unmix.config.to_dict())
    assert load_model(folder).registry_name == "open-unmix"


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ("{", "config.json: not a readable JSON file"),
        ("[]", "config.json: not the settings of a model"),
        ("[" * 100_000, "config.json: not a readable JSON file"),
        ({"model_type": "wav2vec2"}, "describes no model of partita .*wav2vec2"),
        ({"model_type": ["unet"]}, "describes no model of partita"),
        ({"sources": ["a", "b"]}, "tensors fit no model of partita: model_type must name"),
        ({"hidden_size": 768}, "tensors fit no model of partita: model_type must name"),
        ({**SETTINGS, "widths": [4, 9]}, "tensors fit no model of partita"),
        ({**SETTINGS, "widths": [4, 9], "model_type": "unet"}, "has another shape or type"),
        ({**SETTINGS, "widths": "x", "model_type": "unet"}, "widths must be"),
    ],
)
def test_bad_settings(tmp_path, model, config, fault):
    folder = write(tmp_path / "theirs", model, config)
    for act in (load_model, lambda name: resolve(name).sources):
        if act is load_model or "another shape" not in fault:
            with pytest.raises(WeightsCorruptError, match=fault) as info:
                act(folder)
            assert str(info.value).isprintable()


@pytest.mark.parametrize("base", [UNet, OpenUnmix])
def test_huggingface_hub_both_ways(tmp_path, base):
    """A model of partita's with the mixin added writes what partita reads, and the reverse."""
    hub = pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")

    class Shared(base, hub.PyTorchModelHubMixin):
        pass

    torch.manual_seed(0)
    sizes = SMALL_UNET if base is UNet else SMALL_UNMIX
    model = Shared(base.config_type.from_dict({"sources": ["a", "b"], **sizes})).eval()
    model.save_pretrained(tmp_path / "theirs")
    assert same(load_model(str(tmp_path / "theirs")), model)
    export_folder(tmp_path / "ours", model, name="mine", licence=None)
    assert same(Shared.from_pretrained(tmp_path / "ours"), model)


def test_constructors_state_the_class_of_their_configuration():
    """By which huggingface_hub makes one of config.json."""
    for name in models.list_models():
        each = find_model(name)
        annotation = inspect.signature(each).parameters["config"].annotation
        assert annotation is each.config_type
