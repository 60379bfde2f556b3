"""One validator for recipes, configurations of models and files of other programs."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

import pytest

from partita.errors import UnknownNameError
from partita.validation import STRICT, Limits, bounded, check_keys, find_fault, shown, value_fault


@dataclass(frozen=True)
class Room:
    chairs: int = bounded(4, least=1, most=12)
    width_m: float = bounded(3.0, least=0.5)
    doors: int = 1
    light: Literal["warm", "cold"] = "warm"
    size: tuple[float, float] | None = None
    names: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"chairs": 12, "width_m": 3, "size": [1, 2], "names": ["a"]}, None),
        ({"doors": 10**400, "size": None}, None),
        ({"chairs": 13}, "chairs must be a whole number from 1 to 12, not 13"),
        ({"chairs": True}, "chairs must be a whole number from 1 to 12, not True"),
        ({"width_m": 0.25}, "width_m must be a finite number of 0.5 or more, not 0.25"),
        ({"width_m": math.nan}, "width_m must be a finite number of 0.5 or more, not nan"),
        ({"width_m": 10**400}, "width_m must be .*, not a number of many digits"),
        ({"doors": 1.0}, "doors must be a whole number, not 1.0"),
        ({"light": "blue"}, "light must be one of warm, cold, not 'blue'"),
        ({"size": [1]}, r"size must be 2 finite numbers or null, not \[1\]"),
        ({"names": {"a"}}, "names must be a list of texts, not {'a'}"),
    ],
)
def test_types_and_bounds_come_from_fields(values, fault):
    found = find_fault(Room, values)
    assert re.fullmatch(fault, found) if fault else found is None


def test_strict_limits_bound_what_fields_do_not():
    for value, hint in [
        (1_000_001, int),
        (-1e10, float),
        ("x" * 201, str),
        ([0] * 65, tuple[int, ...]),
    ]:
        assert value_fault("it", value, hint) is None
        assert value_fault("it", value, hint, limits=STRICT)
    assert value_fault("it", 9, int, limits=Limits(whole=8)) == (
        "it must be a whole number within ±8, not 9"
    )


def test_hostile_values_are_shown_in_one_short_line():
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    fault = value_fault("it", nested, tuple[int, ...])
    assert fault is not None
    assert len(fault) < 200
    assert len(shown("x\n" * 10_000)) < 100
    assert "\n" not in shown("x\ny")
    while nested:  # else Python's own release of it recurses
        nested = nested.pop()  # type: ignore[assignment]


def test_unknown_keys_get_the_near_ones():
    check_keys(["chairs", "light"], Room, "key")
    with pytest.raises(UnknownNameError, match="unknown key 'chair'; did you mean chairs"):
        check_keys(["chair"], Room, "key")


def test_it_is_quick_to_import():
    code = "import sys, partita.validation; print({'torch', 'numpy'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
