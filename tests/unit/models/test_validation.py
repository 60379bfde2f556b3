"""Configurations come from files: whatever they hold, a model is built or an error says why."""

import dataclasses
import math
import time
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from partita.errors import ModelError, UnknownNameError
from partita.models import create_model, list_models
from partita.models._protocol import ModelConfig
from partita.models._registry import config_type

NUMBERS = st.one_of(
    st.integers(-3, 70),
    st.sampled_from([0, 255, 256, 1000, 4096, 44100, 65536, 10**6, 10**6 + 1, 1 << 31, 10**400]),
    st.floats(),
    st.booleans(),
)
WORDS = st.sampled_from(
    [
        *("", "a", "vocals", "drums", "gLN", "BN", "relu", "tanh", "averaged", "nndsvd"),
        *("4x2", "4x2 2x1 4x2", "9x99999999999", "999999x2", "+4", "4x2+99999999"),
        *("\x1b[31m", "no\nline", "x" * 5000),
    ]
)
ANYTHING = st.recursive(
    st.none() | NUMBERS | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=8,
)


@st.composite
def configurations(draw, name):
    """Values for some fields, most of the fields' own types."""
    values = {}
    for each in dataclasses.fields(config_type(name)):
        if draw(st.integers(0, 3)):
            continue
        usual = {"int": NUMBERS, "float": NUMBERS, "str": WORDS, "bool": st.booleans()}
        kind = str(each.type)
        fitting = usual.get(kind, st.lists(NUMBERS if "str" not in kind else WORDS, max_size=6))
        values[each.name] = draw(st.one_of(fitting, fitting, ANYTHING))
    return values


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models())
@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_a_configuration_holds(name, data):
    values = data.draw(configurations(name))
    started = time.process_time()
    said = "built"
    try:
        model = create_model(name, values, initialise=False)
        again = create_model(name, model.config.to_dict(), initialise=False)
        assert again.config == model.config
    except (ModelError, UnknownNameError) as error:
        said = str(error)
    assert said.isprintable()
    assert len(said) < 1000
    assert time.process_time() - started < 5  # a tenth of it, usually; machines are shared


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("sources", "vocals", "at most 64 texts"),
        ("sources", [1, 2], "at most 64 texts"),
        ("sources", [f"s{index}" for index in range(20_000)], "at most 64 texts"),
        ("sources", ["a", "x" * 5000, "c"], "at most 64 texts"),
        ("sources", ["a", "\x1b[31mb", "c"], "bad source name '.x1b"),
        ("sample_rate", 44100.0, "sample_rate must be a whole number within ±1,000,000"),
        ("sample_rate", True, "whole number"),
        ("sample_rate", 1, "sample_rate must be 1000 to 768000 Hz"),
        ("sample_rate", 999_999, "sample_rate must be 1000 to 768000 Hz"),
        ("sample_rate", 10**400, "whole number .*not a number of many digits"),
        ("sample_rate", [[44100]], "whole number"),
        ("sample_rate", {"hz": 44100}, "whole number"),
        ("channels", math.nan, "whole number"),
        ("channels", math.inf, "whole number"),
        ("channels", None, "whole number"),
    ],
)
def test_types_and_bounds(name, key, value, fault):
    with pytest.raises(ModelError, match=fault):
        create_model(name, {key: value}, initialise=False)


@pytest.mark.parametrize("key", ["x" * 100_000, "\x1b[31m", 3])
def test_unknown_keys(key):
    with pytest.raises(UnknownNameError) as error:
        create_model("unet", {key: 1})
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("config", [[], "text", 3])
def test_what_is_no_table(config):
    with pytest.raises(ModelError, match="a configuration is a table"):
        config_type("unet").from_dict(config)


@pytest.mark.parametrize("initialise", [True, False])
@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("open-unmix", {"layers": 1_000_000}),
        ("open-unmix", {"hidden": 999_998}),
        ("conv-tasnet", {"blocks": 1_000_000}),
        ("band-split", {"layers": 999_999}),
        ("demucs", {"depth": 400}),
        ("demucs", {"depth": 1_000_000, "growth": 1.0}),
        ("tfc-tdf", {"depth": 1000}),
        ("unet", {"widths": [1_000_000, 1_000_000], "bins": 4}),
        (
            "nmfd",
            {"components": 1000, "lags": 1000, "fft_samples": 65536, "bins": 32769, "bands": 9999},
        ),
        ("nmf", {"iterations": 999_999}),
        ("hpss", {"harmonic_frames": 999_999}),
        ("hpss", {"frames": 999_999}),
        ("demucs", {"segment_s": 100_000.0}),
        ("mmdensenet", {"last_block": "999999x999999"}),
    ],
)
def test_models_that_nobody_can_build(name, config, initialise):
    started = time.process_time()
    with pytest.raises(ModelError):
        create_model(name, config, initialise=initialise)
    assert time.process_time() - started < 5


@dataclass(frozen=True)
class Everything(ModelConfig):
    """A field of each kind."""

    number: float = 1.0
    flag: bool = False
    few: int = field(default=1, metadata={"most": 8})
    word: Literal["one", "two"] = "one"
    maybe: int | None = None
    pair: tuple[float, float] | None = None
    sizes: tuple[int, ...] = (1,)


@pytest.mark.parametrize(
    "values",
    [
        {"number": 3},
        {"few": -8},
        {"word": "two"},
        {"maybe": 5},
        {"pair": [1, 2.5]},
        {"pair": None},
        {"sizes": []},
        {"sizes": [1] * 64},
    ],
)
def test_values_that_fit(values):
    assert Everything.from_dict(values).to_dict() | values == Everything.from_dict(values).to_dict()


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"number": 10**400}, "number must be a finite number, not a number of many digits"),
        ({"number": math.nan}, "number must be a finite number, not nan"),
        ({"number": 1e10}, "number must be a finite number"),
        ({"number": True}, "number must be a finite number, not True"),
        ({"number": "1"}, "number must be a finite number, not '1'"),
        ({"flag": 1}, "flag must be true or false, not 1"),
        ({"few": 9}, "few must be a whole number within ±8, not 9"),
        ({"word": "three"}, "word must be one of one, two, not 'three'"),
        ({"word": ["one"]}, "word must be one of one, two"),
        ({"maybe": 1.0}, "maybe must be a whole number within ±1,000,000 or null, not 1.0"),
        ({"pair": [1, 2, 3]}, "pair must be 2 finite numbers or null"),
        ({"pair": [[1], [2]]}, "pair must be 2 finite numbers or null"),
        ({"sizes": [1] * 65}, "sizes must be at most 64 whole numbers"),
        ({"sizes": [1, 2.0]}, "sizes must be at most 64 whole numbers"),
        ({"sizes": 5}, "sizes must be at most 64 whole numbers"),
    ],
)
def test_values_that_do_not_fit(values, fault):
    with pytest.raises(ModelError) as error:
        Everything.from_dict(values)
    assert str(error.value).startswith(f"Everything: {fault}")
