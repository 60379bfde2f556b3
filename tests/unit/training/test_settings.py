from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.errors import UnknownNameError, UsageError
from partita.training.settings import parse_settings


@dataclass
class Paint:
    colours: tuple[str, ...] = ()
    coats: int = 1
    shine: float = 0.5
    is_dry: bool = True
    name: str = ""
    size: tuple[float, float] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Brush:
    width: int = 3
    coats: float = 1.5


@given(
    coats=st.integers(), shine=st.floats(allow_nan=False, allow_infinity=False), dry=st.booleans()
)
def test_numbers_and_truths_come_back(coats, shine, dry):
    texts = [f"coats={coats}", f"shine={shine!r}", f"is_dry={str(dry).lower()}"]
    values = parse_settings(texts, Paint)
    assert values == {"coats": coats, "shine": shine, "is_dry": dry}
    assert [type(value) for value in values.values()] == [int, float, bool]


@given(st.lists(st.text(st.characters(exclude_characters=",")).map(str.strip).filter(bool)))
def test_tuples_of_text_are_taken_as_they_stand(colours):
    values = parse_settings([f"colours={','.join(colours)}"], Paint)
    assert values == {"colours": tuple(colours)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("colours=red", ("red",)),
        ("colours= red , dark blue,", ("red", "dark blue")),
        ("colours=1,true,0.5", ("1", "true", "0.5")),
        ("colours=", ()),
        ("size=1,2.5", (1, 2.5)),
        ("shine=2", 2),
        ("shine=1e-3", 1e-3),
        ("name=a=b", "a=b"),
        ("name=[1]", "[1]"),
        ("name={}", "{}"),
        ("name=two words", "two words"),
    ],
)
def test_values(text, expected):
    (value,) = parse_settings([text], Paint).values()
    assert value == expected


def test_only_what_is_named_is_set():
    assert parse_settings([], Paint, Brush) == {}
    assert parse_settings(iter(["width=4", "name=x"]), Paint, Brush) == {"width": 4, "name": "x"}


def test_of_a_name_that_several_have_the_first_counts():
    assert parse_settings(["coats=1.5"], Brush, Paint) == {"coats": 1.5}
    with pytest.raises(UsageError, match="whole number"):
        parse_settings(["coats=1.5"], Paint, Brush)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["coats"], "'coats' is not of the form key=value"),
        ([""], "'' is not of the form key=value"),
        (["coats=1", "coats=2"], "name 'coats' twice"),
        (["coats=1.0"], "coats must be a whole number, not 1.0"),
        (["coats=true"], "coats must be a whole number, not True"),
        (["coats=many"], "coats must be a whole number, not 'many'"),
        (["coats="], "coats must be a whole number, not ''"),
        (["coats=[1]"], "coats must be a whole number, not '[1]'"),
        (["shine=much"], "shine must be a finite number, not 'much'"),
        (["shine=false"], "shine must be a finite number, not False"),
        (["shine=NaN"], "shine must be a finite number, not 'NaN'"),
        (["shine=Infinity"], "shine must be a finite number, not 'Infinity'"),
        (["shine=-1e999"], "shine must be a finite number, not '-1e999'"),
        (["shine=null"], "shine must be a finite number, not 'null'"),
        (["is_dry=1"], "is_dry must be true or false, not 1"),
        (["is_dry=True"], "is_dry must be true or false, not 'True'"),
    ],
)
def test_what_cannot_be(texts, message):
    with pytest.raises(UsageError, match=message.replace("[", r"\[")) as caught:
        parse_settings(texts, Paint)
    assert "\n" not in str(caught.value)


def test_unknown_keys_get_suggestions():
    with pytest.raises(UnknownNameError, match="unknown setting 'colour'; did you mean colours"):
        parse_settings(["colour=red"], Paint)
    with pytest.raises(UnknownNameError, match="unknown setting 'with'; did you mean width"):
        parse_settings(["with=3"], Paint, Brush)


def test_mappings_cannot_be_set():
    with pytest.raises(UnknownNameError, match="unknown setting 'extra'; known: coats, colours"):
        parse_settings(["extra=x"], Paint)
