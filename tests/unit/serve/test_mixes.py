import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.errors import UnknownNameError, UsageError
from partita.mixing.recipe import Recipe
from partita.serve.mixes import recipe_of, recipes_for

STEMS = ["vocals", "drums", "bass", "other"]


def test_recipes_that_fit_the_stems():
    names = [name for name, _ in recipes_for(STEMS)]
    assert {"karaoke", "dj-pack", "practice-pack", "minus-drums", "practice-bass"} <= {*names}
    assert not [name for name in names if "STEM" in name]
    assert "karaoke" not in [name for name, _ in recipes_for(["harmonic", "percussive"])]


def test_a_balance_becomes_a_recipe():
    wish = {"gain": {"drums": -6}, "pan": {"bass": 0.5}, "mute": ["vocals"], "speed": 0.8}
    recipe = recipe_of({**wish, "format": "mp3", "loudness": None}, STEMS)
    assert recipe == Recipe(
        gain={"drums": -6.0}, pan={"bass": 0.5}, mute=("vocals",), solo=(), speed=0.8
    )
    assert recipe_of({"recipe": "karaoke", "pitch": -2}, STEMS).pitch == -2


@pytest.mark.parametrize("name", ["nothing", "x.toml", "/etc/passwd.toml", "minus-x", ["a"], 3])
def test_only_recipes_of_the_list_are_taken(name):
    with pytest.raises(UnknownNameError, match="unknown recipe"):
        recipe_of({"recipe": name}, STEMS)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.sampled_from(STEMS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
_KEYS = st.sampled_from(
    ["recipe", "gain", "pan", "mute", "solo", "speed", "pitch", "loudness", "tracks", "name"]
)


@given(st.dictionaries(_KEYS, _JSON | st.dictionaries(st.sampled_from(STEMS), _JSON)))
def test_any_wish_is_a_recipe_or_one_sentence(wish):
    with contextlib.suppress(UsageError):
        assert recipe_of(wish, STEMS).balance(STEMS)
