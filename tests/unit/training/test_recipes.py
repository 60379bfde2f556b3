"""Recipes."""

import dataclasses

import pytest
import torch

from partita.errors import ModelError, UnknownNameError, UsageError
from partita.models import create_model
from partita.training.augmentation import BY_SOURCE
from partita.training.recipes import (
    DICTIONARIES,
    Recipe,
    TrainingSettings,
    load_recipe,
    recipe_facts,
    recipe_names,
)

LOOPED = [name for name in recipe_names() if name != DICTIONARIES]
WHOLE = """
summary = "mine"
model = "open-unmix"
[model_config]
hidden = 8
sources = ["flute", "guitar"]
[training]
epochs = 3
[augmentation]
gains = [1, 1.5]
"""


@pytest.fixture
def written(tmp_path):
    def write(text, name="mine.toml"):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize("name", LOOPED)
def test_recipes_build_their_models(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.summary
    assert recipe.paper
    small = recipe.changed(["sources=flute,guitar", "epochs=1"])
    model = create_model(small.model, small.config, initialise=False)
    assert model.sources == ("flute", "guitar")
    assert small.training == dataclasses.replace(recipe.training, epochs=1)
    by_source = dict.fromkeys(BY_SOURCE, ())
    assert small.augmentation == dataclasses.replace(recipe.augmentation, **by_source)
    assert recipe_facts(name)["training"]["epochs"] == recipe.training.epochs


def test_table_4():
    recipe = load_recipe("umx-paper")
    config = create_model(recipe.model, {**recipe.config, "sources": ["vocals"]}).config
    assert (config.fft_samples, config.hop_samples, config.hidden) == (4096, 1024, 512)
    assert (config.bandwidth_hz, config.channels, config.sample_rate) == (16000, 2, 44100)
    training = recipe.training
    assert (training.epochs, training.batch_size, training.optimiser) == (1000, 16, "adam")
    assert (training.learning_rate, training.weight_decay) == (1e-3, 1e-5)
    assert (training.decay_factor, training.decay_patience) == (0.3, 80)
    assert training.stop_patience == 140
    assert training.loss == "magnitude"


@pytest.mark.parametrize("name", ["umx-realtime", "umx-crosstalk"])
def test_table_9(name):
    recipe = load_recipe(name)
    config = create_model(recipe.model, {**recipe.config, "sources": ["vocals"]}).config
    assert (config.fft_samples, config.hop_samples, config.hidden) == (2048, 1024, 512)
    assert (config.bandwidth_hz, config.channels) == (16000, 1)
    training = recipe.training
    assert (training.epochs, training.batch_size, training.optimiser) == (50, 8, "rmsprop")
    assert (training.learning_rate, training.weight_decay) == (1e-3, 1e-5)


def test_x_umx():
    recipe = load_recipe("x-umx")
    assert recipe.model == "crosstalk-unmix"
    assert (recipe.training.loss, recipe.training.combinations) == ("multi-domain", True)
    assert recipe.config["joins"] == "average"


@pytest.mark.parametrize(
    ("name", "sources", "millions"),
    [("bs-roformer", 1, 72.2), ("mel-band-roformer", 1, 84.2), ("htdemucs", 4, 42.0)],
)
def test_the_papers_numbers_of_weights(name, sources, millions):
    recipe = load_recipe(name)
    names = [f"source_{index}" for index in range(sources)]
    with torch.device("meta"):
        model = create_model(recipe.model, {**recipe.config, "sources": names})
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


def test_htdemucs_is_trained_as_in_its_paper():
    training, augmentation = load_recipe("htdemucs").training, load_recipe("htdemucs").augmentation
    assert (training.epochs, training.steps_per_epoch, training.batch_size) == (1200, 800, 32)
    assert (training.optimiser, training.learning_rate, training.weight_decay) == ("adam", 3e-4, 0)
    assert (training.loss, training.excerpt_s, training.clip_norm) == ("l1", 7.8, 0)
    assert (augmentation.remix, augmentation.gains) == (1, (0.25, 1.25))


def test_bs_roformer_is_trained_as_in_its_paper():
    recipe = load_recipe("bs-roformer")
    training = recipe.training
    assert (training.batch_size, training.excerpt_s, training.ema_decay) == (64, 8, 0.999)
    assert (training.optimiser, training.learning_rate) == ("adamw", 5e-4)
    assert training.decay_patience * training.steps_per_epoch == 40_000
    assert training.decay_factor == 0.9
    assert (recipe.augmentation.gains_db, recipe.augmentation.leave_out) == ((-3, 3), 0.1)


def test_files_of_ones_own(written):
    recipe = load_recipe(written(WHOLE))
    assert (recipe.name, recipe.model) == ("mine", "open-unmix")
    assert recipe.training == TrainingSettings(epochs=3)
    assert recipe.augmentation.gains == (1, 1.5)
    assert recipe.config == {"hidden": 8, "sources": ["flute", "guitar"]}
    least = load_recipe(written('summary = "mine"\nmodel = "unet"\n'))
    assert least == Recipe("mine", "mine", "unet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[training]", "[trainin]"), "unknown setting in mine.toml 'trainin'; did you mean train"),
        (("[model_config]", "[config]"), "unknown setting in mine.toml 'config'; did you mean"),
        (("summary", 'name = "x"\nsummary'), "unknown setting in mine.toml 'name'"),
        (("epochs", "epoch"), "unknown setting in mine.toml 'epoch'; did you mean epochs"),
        (("gains", "gain"), "unknown setting in mine.toml 'gain'; did you mean gains"),
        (("hidden", "hiden"), "unknown setting in mine.toml 'hiden'; did you mean hidden"),
        (('"open-unmix"', '"open-unmx"'), "unknown model 'open-unmx'; did you mean open-unmix"),
        (('"open-unmix"', "3"), "mine.toml: model must be text, not 3"),
        (
            ("epochs = 3", "epochs = 3.0"),
            "mine.toml: epochs must be a whole number of 1 or more, not 3.0",
        ),
        (
            ("epochs = 3", "epochs = true"),
            "mine.toml: epochs must be a whole number of 1 or more, not True",
        ),
        (
            ("epochs = 3", "loss = 3"),
            "mine.toml: loss must be one of magnitude, l1, l2",
        ),
        (
            ("epochs = 3", 'loss = "l3"'),
            "loss must be one of magnitude, l1, l2, multi-domain, not 'l3'",
        ),
        (("epochs = 3", "learning_rate = inf"), "learning_rate must be a finite number, not inf"),
        (
            ("epochs = 3", "weight_decay = nan"),
            "weight_decay must be a finite number of 0 or more, not nan",
        ),
        (("epochs = 3", "combinations = 1"), "combinations must be true or false, not 1"),
        (("epochs = 3", "epochs = 0"), "mine.toml: epochs must be a whole number of 1 or more"),
        (("[1, 1.5]", '"loud"'), "gains must be 2 finite numbers of 0 or more, not 'loud'"),
        (("[1, 1.5]", '["a", "b"]'), "gains must be 2 finite numbers of 0 or more, not ['a', 'b']"),
        (("[1, 1.5]", "[2, 1]"), "gains must be the lower one first, not 2,1"),
        (("hidden = 8", 'hidden = "many"'), "mine.toml: hidden must be a whole number, not 'many'"),
        (("hidden = 8", "hidden = 7"), "mine.toml: UnmixConfig: hidden must be even"),
        (('["flute", "guitar"]', "[1, 2]"), "sources must be a list of texts, not [1, 2]"),
        (("[training]\nepochs = 3", ""), None),
        (('summary = "mine"', ""), "mine.toml: lacks summary"),
        (('model = "open-unmix"', ""), "mine.toml: lacks model"),
        (('summary = "mine"', "summary = "), "mine.toml: is not TOML"),
        (('summary = "mine"', 'summary = "mine"\npaper = ["x"]'), "paper must be text"),
        (('summary = "mine"', "[summary]\nx = 1"), "summary is text"),
    ],
)
def test_mistakes_in_files(written, change, message):
    assert change[0] in WHOLE
    path = written(WHOLE.replace(*change, 1))
    if message is None:
        load_recipe(path)
        return
    with pytest.raises(UsageError) as caught:
        load_recipe(path)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_tables_that_are_none(written):
    with pytest.raises(UsageError, match=r"mine\.toml: training is a table"):
        load_recipe(written('summary = "mine"\nmodel = "unet"\ntraining = 3\n'))


def test_files_that_cannot_be_read(written, tmp_path):
    with pytest.raises(UsageError, match=r"none\.toml: cannot be read: No such file"):
        load_recipe(str(tmp_path / "none.toml"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"bytes\.toml: is not TOML"):
        load_recipe(str(tmp_path / "bytes.toml"))
    (tmp_path / "huge.toml").write_bytes(b"\n" * ((1 << 24) + 1))
    with pytest.raises(UsageError, match=r"huge\.toml: is larger than any"):
        load_recipe(str(tmp_path / "huge.toml"))
    (tmp_path / "deep.toml").write_text("a = " + "[" * 100_000)
    with pytest.raises(UsageError, match=r"deep\.toml: is not TOML"):
        load_recipe(str(tmp_path / "deep.toml"))
    with pytest.raises(UnknownNameError, match="unknown recipe 'umx-papr'; did you mean umx-paper"):
        load_recipe("umx-papr")


def test_changes_reach_their_parts():
    recipe = load_recipe("umx-tiny")
    changed = recipe.changed(["batch_size=4", "gains=1,1", "hidden=8", "layers=2", "silence=1"])
    assert changed.training.batch_size == 4
    assert (changed.augmentation.gains, changed.augmentation.silence) == ((1, 1), 1)
    assert (changed.config["hidden"], changed.config["layers"]) == (8, 2)
    assert changed.config["fft_samples"] == recipe.config["fft_samples"]
    assert recipe.changed([]) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch=3", "unknown setting 'epoch'; did you mean epochs"),
        ("hiden=3", "unknown setting 'hiden'; did you mean hidden"),
        ("widths=3", "unknown setting 'widths'"),  # another model's
        ("epochs=0", "epochs must be a whole number of 1 or more, not 0"),
        ("batch_size=-1", "batch_size must be a whole number of 1 or more"),
        ("workers=100000", "workers must be a whole number from 1 to 256"),
        ("threads=100000", "threads must be a whole number from 0 to 256"),
        ("threads=-1", "threads must be a whole number from 0 to 256, not -1"),
        ("valid_excerpts=0", "valid_excerpts must be a whole number of 1 or more"),
        ("epochs=many", "epochs must be a whole number of 1 or more, not 'many'"),
        ("learning_rate=0", "learning_rate must be positive"),
        ("weight_decay=-1", "weight_decay must be a finite number of 0 or more, not -1"),
        ("ema_decay=1", "ema_decay must be 0 or more and below 1"),
        ("decay_factor=0", "decay_factor must be between 0 and 1"),
        ("excerpt_s=0", "excerpt_s must be a finite number from 0.1 to 600, not 0"),
        ("accumulate=3", "accumulate=3 does not divide batch_size=8: set accumulate=1 as well"),
        (f"seed={1 << 63}", "seed must be a whole number from 0 to 9,223,372,036,854,775,807"),
        ("seed=-1", "seed must be a whole number from 0 to"),
        ("optimiser=adams", "optimiser must be one of adam, adamw, rmsprop, not 'adams'"),
        ("precision=half", "precision must be one of float32, bfloat16, float16, not 'half'"),
        ("gains=loud", "gains must be 2 finite numbers of 0 or more, not ('loud',)"),
        ("gains=a,b", "gains must be 2 finite numbers of 0 or more, not ('a', 'b')"),
        ("remix=2", "remix must be a finite number from 0 to 1, not 2"),
        (
            "wiener_iterations=many",
            "wiener_iterations must be a whole number within ±100 or null, not 'many'",
        ),
        ("training=3", "unknown setting 'training'"),
    ],
)
def test_mistakes_on_the_command_line(text, message):
    with pytest.raises(UsageError) as caught:
        load_recipe("umx-tiny").changed([text])
    assert message in str(caught.value)


def test_values_of_models_are_checked_when_they_are_built():
    recipe = load_recipe("umx-tiny").changed(["hidden=7"])
    with pytest.raises(ModelError, match="hidden must be even"):
        create_model(recipe.model, recipe.config)
