import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.errors import UnknownNameError, UsageError
from partita.mixing.recipe import MIX, Recipe, load_recipe, recipe_names

FOUR = ["vocals", "drums", "bass", "other"]
GAINS = st.dictionaries(st.sampled_from([*FOUR, "no_vocals", "drums+bass"]), st.floats(-60, 12))
CHOICES = st.lists(st.sampled_from([*FOUR, "no_vocals", "drums+bass"]), max_size=2)


def test_nothing_changes_by_default():
    assert Recipe().balance(FOUR) == {MIX: dict.fromkeys(FOUR, 1.0)}
    assert not Recipe().changes_sound


@given(gains=GAINS)
def test_gains_of_a_stem_add_up(gains):
    found = Recipe(gain=gains).balance(FOUR)[MIX]
    for stem in FOUR:
        rest = gains.get("no_vocals", 0.0) if stem != "vocals" else 0.0
        both = gains.get("drums+bass", 0.0) if stem in ("drums", "bass") else 0.0
        db = gains.get(stem, 0.0) + rest + both
        assert found[stem] == pytest.approx(10 ** (db / 20))


@given(gains=GAINS, mute=CHOICES, solo=CHOICES)
def test_mute_is_minus_infinity_and_beats_solo(gains, mute, solo):
    recipe = Recipe(gain=gains, mute=tuple(mute), solo=tuple(solo))
    members = {"no_vocals": FOUR[1:], "drums+bass": FOUR[1:3]}
    silent = {each for name in mute for each in members.get(name, [name])}
    heard = {each for name in solo for each in members.get(name, [name])} or {*FOUR}
    if not heard - silent:
        with pytest.raises(UsageError, match="would be silent"):
            recipe.balance(FOUR)
        return
    found = recipe.balance(FOUR)[MIX]
    assert {stem for stem in FOUR if found[stem] == 0} == {*FOUR} - (heard - silent)


def test_tracks_follow_gains_but_not_mute():
    recipe = Recipe(
        gain={"drums": -6.0206}, mute=("vocals",), tracks={"a": "vocals+drums"}, stems=("*",)
    )
    found = recipe.balance(FOUR)
    assert list(found) == [MIX, "a", *FOUR]
    assert found["a"] == pytest.approx({"vocals": 1, "drums": 0.5, "bass": 0, "other": 0})
    assert found["drums"] == pytest.approx({"vocals": 0, "drums": 0.5, "bass": 0, "other": 0})


def test_practice_tracks():
    found = Recipe(practice=("*", "bass"), practice_db=-20.0).balance(["drums", "bass"])
    assert list(found) == [MIX, "practice_drums", "practice_bass"]
    assert found["practice_bass"] == pytest.approx({"drums": 1.0, "bass": 0.1})


def test_a_click_is_one_more_stem():
    recipe = Recipe(practice=("bass",), stems=("drums",), click=True, click_db=-20.0)
    found = recipe.balance(["drums", "bass"])
    assert list(found) == [MIX, "drums", "practice_bass", "click"]
    assert [track["click"] for track in found.values()] == pytest.approx(
        [0.1, 0.0, 0.1, 10 ** (-6 / 20)]
    )
    assert found["click"]["drums"] == found["click"]["bass"] == 0.0
    apart = Recipe(click=True).balance(["drums"])
    assert apart[MIX] == {"drums": 1.0, "click": 0.0}
    with pytest.raises(UsageError, match="stem of the song is called 'click'"):
        recipe.balance(["drums", "bass", "click"])
    assert list(Recipe(mix=False, click=True).balance(["drums"])) == [MIX, "click"]


def test_pans():
    recipe = Recipe(pan={"no_vocals": 0.5, "bass": -1.0})
    assert recipe.pans(FOUR) == {"drums": 0.5, "bass": -1.0, "other": 0.5}


@pytest.mark.parametrize("setting", ["gain", "pan"])
def test_stems_that_are_not_there(setting):
    recipe = Recipe(**{setting: {"flute": 0.5}})
    with pytest.raises(UsageError, match="no stem 'flute'; there are vocals, drums, bass, other"):
        recipe.balance(FOUR) if setting == "gain" else recipe.pans(FOUR)


def test_names_in_capitals():
    assert Recipe(mute=("Vocals",)).balance(FOUR)[MIX]["vocals"] == 0
    assert Recipe(mute=("Vocals",)).balance(["Vocals", "Drums"])[MIX]["Vocals"] == 0


def test_two_tracks_of_one_name():
    with pytest.raises(UsageError, match="two tracks would be called 'bass'"):
        Recipe(tracks={"bass": "bass"}, stems=("bass",)).balance(FOUR)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"speed": 0.4}, "speed must be a finite number from 0.5 to 1.5, not 0.4"),
        ({"speed": float("nan")}, "speed must be"),
        ({"pitch": 13}, "pitch must be a finite number within ±12"),
        ({"gain": {"drums": float("inf")}}, "gain of drums must be"),
        ({"gain": {"drums": "loud"}}, "gain of drums must be"),
        ({"pan": {"bass": 1.5}}, "pan of bass must be a finite number"),
        ({"loudness": 0.0}, "loudness must be"),
        ({"mix": False}, "nothing would be written"),
        ({"mute": ("",)}, "the name of a stem is empty"),
        ({"mute": (3,)}, "mute must be a list of texts"),
    ],
)
def test_values_out_of_range(settings, message):
    with pytest.raises(UsageError, match=message):
        Recipe(**settings)


def test_changed():
    recipe = Recipe(gain={"drums": -3.0, "bass": 1.0}, mute=("vocals",), speed=0.8)
    changed = recipe.changed(gain={"drums": 2.0}, mute=["other"], speed=None, pitch=1.0)
    assert changed.gain == {"drums": 2.0, "bass": 1.0}
    assert changed.mute == ("vocals", "other")
    assert (changed.speed, changed.pitch) == (0.8, 1.0)
    assert recipe.changed(solo="bass").solo == ("bass",)
    with pytest.raises(UnknownNameError, match="did you mean gain"):
        recipe.changed(gains={})


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_read(name):
    recipe = load_recipe(name.replace("STEM", "bass"))
    assert recipe.name == name.replace("STEM", "bass")
    assert recipe.summary
    assert "STEM" not in str(recipe)
    assert recipe.balance(FOUR)


def test_recipes_for_any_stem():
    assert load_recipe("practice-bass").gain == {"bass": -12}
    pack = load_recipe("practice-pack")
    assert (pack.practice, pack.stems, pack.click) == (("*",), ("*",), True)
    assert load_recipe("minus-drums+bass").mute == ("drums+bass",)
    assert load_recipe("practice-STEM").gain == {"STEM": -12}  # so that it can be described


@pytest.mark.parametrize("name", ["practice", "practice-", "karaoke2", "", "dj"])
def test_unknown_recipes(name):
    with pytest.raises(UnknownNameError, match="unknown recipe"):
        load_recipe(name)


def test_own_recipes(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('solo = ["bass"]\npitch = -2\n[gain]\n"drums+bass" = 3\n[pan]\nbass = -0.5\n')
    recipe = load_recipe(str(path))
    assert (recipe.name, recipe.solo, recipe.pitch) == ("mine", ("bass",), -2)
    assert (recipe.gain, recipe.pan) == ({"drums+bass": 3}, {"bass": -0.5})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gain = 3", "mine.toml: gain is a table"),
        ("speeds = 3", "unknown setting in mine.toml 'speeds'; did you mean speed"),
        ('name = "x"', "unknown setting in mine.toml 'name'"),
        ("speed = true", "mine.toml: speed must be"),
        ("[gain]\ndrums = true", "mine.toml: gain of drums must be"),
        ("[tracks]\na = 3", "mine.toml: track a must be"),
        ("speed = ", "mine.toml: is not TOML"),
    ],
)
def test_broken_recipes(tmp_path, text, message):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        load_recipe(str(tmp_path / "mine.toml"))


def test_missing_recipes(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        load_recipe(str(tmp_path / "none.toml"))
