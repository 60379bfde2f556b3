import dataclasses
import subprocess
import sys

import pytest

from partita.errors import UnknownNameError, UsageError
from partita.weights.card import Card
from partita.weights.cards import CARDS
from partita.weights.chain import (
    Link,
    chained_sources,
    parse_chain,
    taken_stem,
)
from partita.weights.resolve import resolve


@pytest.mark.parametrize(
    ("name", "links"),
    [
        ("hpss", [Link("hpss")]),
        ("hpss+repet", [Link("hpss"), Link("repet")]),
        ("hpss:harmonic+repet", [Link("hpss"), Link("repet", "harmonic")]),
        ("a+b:x+c", [Link("a"), Link("b"), Link("c", "x")]),
        ("in/a.safetensors:x+b", [Link("in/a.safetensors"), Link("b", "x")]),
        ("C:\\a.safetensors+b", [Link("C:\\a.safetensors"), Link("b")]),
        ("a+missing.safetensors", [Link("a"), Link("missing.safetensors")]),
        ("", [Link("")]),
    ],
)
def test_names(name, links):
    assert parse_chain(name) == tuple(links)


def test_paths_of_checkpoints_may_hold_anything(tmp_path):
    path = tmp_path / "a+b" / "c:d+e.safetensors"
    path.parent.mkdir()
    path.touch()
    assert parse_chain(str(path)) == (Link(str(path)),)
    assert parse_chain(f"hpss:residual+{path}:x+repet") == (
        Link("hpss"),
        Link(str(path), "residual"),
        Link("repet", "x"),
    )
    assert resolve(f"{path}:x+hpss").label == "c:d+e-x+hpss"


@pytest.mark.parametrize(
    "name", ["hpss:harmonic", "hpss+repet:vocals", "hpss:", "hpss+", "+hpss", "a++b", ":x+hpss"]
)
def test_a_missing_model_is_one_line(name):
    with pytest.raises(
        UsageError, match=r"a model is missing.*; chains are FIRST(:STEM)?\+SECOND"
    ) as info:
        parse_chain(name)
    assert "\n" not in str(info.value)


def test_which_stem_is_taken(monkeypatch):
    drums = dataclasses.replace(CARDS["hpss"], input_stem="drums")
    monkeypatch.setitem(CARDS, "kit", drums)
    sources = ("vocals", "drums", "accompaniment")
    assert taken_stem(Link("kit"), sources) == "drums"
    assert taken_stem(Link("kit", "vocals"), sources) == "vocals"
    with pytest.raises(UsageError, match=r"which stem should kit separate"):
        taken_stem(Link("kit"), ("vocals", "accompaniment"))  # it is not made for that
    assert taken_stem(Link("some.safetensors"), sources) == "accompaniment"
    with pytest.raises(UnknownNameError, match="unknown stem 'vocal'; did you mean vocals"):
        taken_stem(Link("hpss", "vocal"), sources)
    with pytest.raises(UnknownNameError, match="unknown stem ''"):
        taken_stem(Link("hpss", ""), sources)
    with pytest.raises(UsageError, match=r"FIRST:STEM\+kit; .* first: flute, voice"):
        taken_stem(Link("kit"), ("flute", "voice"))


def test_stems_of_a_chain(monkeypatch):
    assert chained_sources(("a", "b", "c"), "b", ("x", "c", "b")) == ("a", "c", "x", "b")
    stems = {"one": "vocals accompaniment", "two": "drums bass", "three": "low vocals"}
    for name, names in stems.items():
        card = Card(name=name, summary="x", config={"sources": names.split()})
        monkeypatch.setitem(CARDS, name, card)
    assert resolve("one").sources == ("vocals", "accompaniment")
    assert resolve("one+two:drums+three").sources == ("vocals", "bass", "low")
    with pytest.raises(UnknownNameError, match="unknown stem 'accompaniment'"):  # it is taken
        _ = resolve("one+two:accompaniment+three").sources


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("hpss", "hpss"),
        ("models/my.safetensors", "my"),
        ("spleeter-2stems:accompaniment+hpss", "spleeter-2stems-accompaniment+hpss"),
        ("/x/a.safetensors:vocals+y/b.safetensors+hpss", "a-vocals+b+hpss"),
    ],
)
def test_labels(name, label):
    assert resolve(name).label == label


def test_names_are_read_without_pytorch():
    code = (
        "import sys; from partita.weights.chain import parse_chain; parse_chain('a:b+c');"
        "import partita.cli.separate; print('torch' in sys.modules)"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert output.split() == ["False"]
