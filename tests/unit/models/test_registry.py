import re
import subprocess
import sys
from pathlib import Path

import pytest

import partita.models
from partita.errors import ModelError, UnknownNameError
from partita.models import create_model, list_models, register_model
from partita.models._built_in import BUILT_IN
from partita.models._registry import find_model
from partita.models.unet import UNetConfig


def test_names_are_unique():
    assert "unet" in list_models()
    with pytest.raises(ValueError, match="two models"):
        register_model("unet")(object)


def test_all_models_of_the_package_are_listed():
    registered = {}
    for file in Path(partita.models.__file__).parent.glob("[a-z]*.py"):
        for name, model in re.findall(r'@register_model\("(.+)"\)\nclass (\w+)', file.read_text()):
            registered[name] = (file.stem, model)
    assert registered == BUILT_IN
    for name, (_, model) in BUILT_IN.items():
        assert find_model(name) is getattr(partita.models, model)
        assert find_model(name).registry_name == name


def test_only_the_models_that_are_used_are_imported():
    code = (
        "import sys; from partita.models import create_model; create_model('unet')\n"
        "from partita.models._built_in import BUILT_IN\n"
        "print(*(f for f, _ in BUILT_IN.values() if f'partita.models.{f}' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["unet"]


def test_unknown_models_and_keys_get_suggestions():
    with pytest.raises(UnknownNameError, match="did you mean unet"):
        create_model("u-net")
    with pytest.raises(UnknownNameError, match="did you mean fft_samples"):
        create_model("unet", {"fft_sample": 1024})


def test_configurations_survive_a_round_trip():
    config = UNetConfig(sources=("flute", "guitar"), widths=(4, 8), bins=64)
    assert UNetConfig.from_dict(config.to_dict()) == config
    assert isinstance(config.to_dict()["widths"], list)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sources": []}, "at least one source"),
        ({"sources": ["a", "a"]}, "must differ"),
        ({"sources": ["a+b"]}, "bad source name"),
        ({"channels": 3}, "channels must be 1 or 2"),
        ({"sample_rate": 0}, "sample_rate"),
        ({"hop_samples": 4096}, "times hop_samples"),
        ({"hop_samples": 0}, "must be positive"),
        ({"fft_samples": 4095}, "must be even"),
        ({"bins": 4096}, "bins exceed"),
        ({"bins": 1000}, "multiple of 64"),
        ({"overlap_frames": 512}, "overlap_frames"),
        ({"widths": []}, "widths"),
        ({"dropout": 1.0}, "dropout"),
        ({"mask_exponent": 0}, "mask_exponent"),
        ({"level_range_db": [-10.0, -20.0]}, "level_range_db"),
        ({"fft_samples": "many"}, "UNetConfig"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ModelError, match=message):
        create_model("unet", values)


def test_a_model_can_be_built_without_weights():
    model = create_model("unet", {"widths": [4, 8]}, initialise=False)
    assert all(parameter.is_meta for parameter in model.parameters())
