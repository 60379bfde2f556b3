"""Settings of augmentation."""

import dataclasses

import pytest

from partita.errors import UsageError
from partita.models import config_type, list_models
from partita.training.augmentation import Augmentation
from partita.training.recipes import TrainingSettings, load_recipe


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"remix": 1.1}, "remix must be a finite number from 0 to 1, not 1.1"),
        ({"silence": -0.1}, "silence must be a finite number from 0 to 1, not -0.1"),
        (
            {"flip_polarity": float("nan")},
            "flip_polarity must be a finite number from 0 to 1, not nan",
        ),
        ({"swap_channels": 2}, "swap_channels must be a finite number from 0 to 1, not 2"),
        ({"gains": (1, 0.5)}, "gains"),
        ({"gains": (-1, 0.5)}, "gains"),
        ({"gains": (0, float("inf"))}, "gains"),
        ({"gains": (1,)}, "gains"),
        ({"pitch_semitones": 13}, "pitch_semitones must be a finite number from 0 to 12, not 13"),
        ({"tempo_percent": 51}, "tempo_percent must be a finite number from 0 to 50, not 51"),
        ({"tempo_percent": -1}, "tempo_percent must be a finite number from 0 to 50, not -1"),
        ({"speed_percent": 51}, "speed_percent must be a finite number from 0 to 50, not 51"),
        ({"pan": 1.5}, "pan must be a finite number from 0 to 1, not 1.5"),
        ({"leave_out": -1}, "leave_out must be a finite number from 0 to 1, not -1"),
        ({"gains_db": (-61, 0)}, "gains_db must be 2 finite numbers within ±60, not"),
        ({"gains_db": (0, float("nan"))}, "gains_db"),
        ({"gains_db": ()}, "gains_db"),
        ({"mixture_gains_db": (0, 61)}, "mixture_gains_db"),
        ({"coded_mixtures": 2}, "coded_mixtures must be a finite number from 0 to 1, not 2"),
        ({"side_factors": (0, 5)}, "side_factors must be 2 finite numbers from 0 to 4"),
        ({"side_factors": (-0.5, 1)}, "side_factors"),
        ({"mono_stems": 0.6, "change_width": 0.5}, r"mono_stems \+ change_width is 1.1"),
        ({"same_place": 0.6, "hard_panned": 0.5}, r"same_place \+ hard_panned is 1.1"),
        ({"mono_mixtures": 0.9, "flip_channel": 0.2}, "flip_channel is 1.1: together they are 1"),
        ({"equaliser_db": 25}, "equaliser_db must be a finite number from 0 to 24, not 25"),
        (
            {"source_gains_db": (0, 61)},
            "source_gains_db must be a list of finite numbers from 0 to 60",
        ),
        ({"dull_sources": (0, -0.1)}, "dull_sources must be a list of finite numbers from 0 to 1"),
        (
            {"boomy_sources": (float("nan"),)},
            "boomy_sources must be a list of finite numbers from 0 to 1",
        ),
    ],
)
def test_augmentations_that_cannot_be(values, message):
    with pytest.raises(UsageError, match=message):
        Augmentation(**values)


def test_every_setting_can_be_set_by_its_name_and_is_described():
    fields = dataclasses.fields(Augmentation)
    names = {field.name for field in fields}
    for other in (TrainingSettings, *map(config_type, list_models())):
        assert not names & {field.name for field in dataclasses.fields(other)}, other
    recipe = load_recipe("accompaniment-stems")
    for field in fields:
        value = 0.25 if field.type == "float" else (0.5, 0.75)
        text = f"{field.name}={value if field.type == 'float' else '0.5,0.75'}"
        others = {"mono_mixtures": 0, "same_place": 0, "mono_stems": 0, "change_width": 0}
        others = [f"{name}=0" for name in others if name != field.name]
        changed = recipe.changed([*others, text])
        assert getattr(changed.augmentation, field.name) == value
        assert field.name in (Augmentation.__doc__ or "")


def test_sums_of_probabilities_forgive_rounding():
    Augmentation(mono_stems=0.7, change_width=0.3)
    Augmentation(mono_mixtures=0.1, narrow_mixtures=0.2, one_sided=0.3, flip_channel=0.4)


def test_values_by_source_are_as_many_as_sources():
    augmentation = Augmentation(dull_sources=(0, 0.5))
    augmentation.check_sources(["drums", "bass"])
    Augmentation().check_sources(["drums"])
    with pytest.raises(
        UsageError, match=r"2 values, but there are 1 sources \(bass\): `settings=dull_"
    ):
        augmentation.check_sources(["bass"])


def test_other_sources_take_values_by_source_away():
    recipe = load_recipe("accompaniment-stems")
    assert recipe.changed(["sources=vocals,drums,bass,other"]).augmentation == recipe.augmentation
    changed = recipe.changed(["sources=flute,drums", "dull_sources=0.5,0"]).augmentation
    assert (changed.dull_sources, changed.boomy_sources) == ((0.5, 0), ())
    changed.check_sources(["flute", "drums"])
