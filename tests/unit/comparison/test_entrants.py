"""Entrants from names, recipes and files."""

import pytest

from partita.comparison.entrants import (
    check_entrants,
    named_entrants,
    read_entrants,
    trained_entrants,
)
from partita.comparison.results import Entrant, TrainingPlan
from partita.errors import UsageError

FILE = """
[[entrant]]
model = "hpss"

[[entrant]]
name = "with filter"
model = "spleeter:2stems"
wiener = 1
segment_s = 4

[[entrant]]
name = "small"
recipe = "unet"
set = { epochs = 2, sources = ["vocals", "drums"], combinations = true, loss = "l1" }
seeds = [0, 1]
subset = "valid"
"""


def write(tmp_path, text):
    path = tmp_path / "entrants.toml"
    path.write_text(text)
    return path


def test_a_file_has_models_with_settings_and_recipes_with_seeds(tmp_path):
    found = read_entrants(write(tmp_path, FILE))
    assert [each.name for each in found] == ["hpss", "with filter", "small seed 0", "small seed 1"]
    assert found[1] == Entrant(
        "with filter", "spleeter-2stems", settings={"wiener": 1, "segment_s": 4}
    )
    texts = ("epochs=2", "sources=vocals,drums", "combinations=true", "loss=l1", "seed=1")
    assert found[3].training == TrainingPlan("unet", texts, "valid")
    check_entrants(found)


def test_names_may_be_files_chains_and_ensembles(tmp_path):
    path = write(tmp_path, FILE)
    found = named_entrants(["mixture", str(path), "spleeter-2stems+hpss", "htdemucs,hdemucs_mmi"])
    names = [each.name for each in found]
    assert names[0] == "mixture"
    assert names[-2:] == ["spleeter-2stems+hpss", "htdemucs,hdemucs_mmi"]
    check_entrants(found)


def test_a_recipe_of_several_seeds_is_several_entrants():
    (one,) = trained_entrants(["unet"], ["epochs=1"])
    assert one == Entrant("unet", training=TrainingPlan("unet", ("epochs=1", "seed=0")))
    several = trained_entrants(["unet"], seeds=[3, 4])
    assert [each.name for each in several] == ["unet seed 3", "unet seed 4"]
    check_entrants([one, *several])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "entrants.toml: names no entrants; write a table"),
        ("[entrants]", "unknown table in entrants.toml 'entrants'; did you mean entrant?"),
        ('[[entrant]]\nmodle = "hpss"', "unknown setting in entrants.toml, entrant 1 'modle'"),
        ("[[entrant]]\nwiener = 1", "has either a model or a recipe"),
        ('[[entrant]]\nmodel = "hpss"\nrecipe = "unet"', "has either a model or a recipe"),
        ('[[entrant]]\nmodel = "hpss"\nseeds = [1]', "seeds goes with a recipe"),
        ('[[entrant]]\nmodel = "hpss"\nwiener = -1', "wiener must be a whole number of 0 or more"),
        ('[[entrant]]\nrecipe = "unet"\nset = 3', "set is a table"),
        ('[[entrant]]\nrecipe = "unet"\nseeds = [1, 1]', "name a seed twice"),
        ('[[entrant]]\nmodel = "hps"', "unknown model 'hps'; did you mean hpss?"),
        ("[[entrant]", "entrants.toml: is not TOML"),
        ("entrant = 3", "names no entrants"),
        ("entrant = [3]", "entrant 1: is no table"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, text, said):
    with pytest.raises(UsageError) as error:
        check_entrants(read_entrants(write(tmp_path, text)))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("entrants", "said"),
    [
        ([], "a comparison needs `entrants`"),
        ([Entrant("a", "hpss"), Entrant("a", "repet")], "two entrants of one name, a:"),
        ([Entrant("a", "hpss"), Entrant("A", "repet")], "two entrants of one name, a and A:"),
        ([Entrant("a", "hpss", settings={"wienr": 1})], "unknown setting in a 'wienr'"),
        ([Entrant("a", "irm1", settings={"wiener": 1})], "a: an oracle has no settings"),
        ([Entrant("a", "irm3")], "unknown entrant 'irm3'; did you mean irm1 or irm2?"),
        ([Entrant("a", training=TrainingPlan("unett"))], "unknown recipe 'unett'"),
        ([Entrant("a", training=TrainingPlan("unet", ("epoch=1",)))], "did you mean epochs"),
        ([Entrant("a", training=TrainingPlan("nmfd", ("epoch=1",)))], "unknown setting 'epoch'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_computed(entrants, said):
    with pytest.raises(UsageError) as error:
        check_entrants(entrants)
    assert said in str(error.value)


def test_a_missing_checkpoint_is_no_reason_to_stop_the_others(tmp_path):
    check_entrants([Entrant("a", str(tmp_path / "gone.safetensors"))])


def test_an_ensemble_that_was_meant_as_two_is_explained():
    with pytest.raises(UsageError, match="a comma makes an ensemble: repeat `entrants`"):
        check_entrants(named_entrants(["hpss,repet"]))


@pytest.mark.parametrize("setting", ["seed=7", "training.seed=7"])
def test_a_seed_among_the_settings_stays(setting):
    (entrant,) = trained_entrants(["umx-tiny"], [setting])
    assert entrant.training.seed == "7"
    assert entrant.training.settings == (setting,)
    with pytest.raises(UsageError, match="seed is given twice"):
        trained_entrants(["umx-tiny"], [setting], [0, 1])
