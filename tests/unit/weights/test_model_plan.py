"""What names stand for: models, chains, ensembles, bags."""

import dataclasses

import pytest

from partita.errors import UnknownNameError, UsageError
from partita.weights import licences, store
from partita.weights.card import BagMember, Card
from partita.weights.cards import CARDS
from partita.weights.chain import Link
from partita.weights.identity import NamedModel
from partita.weights.plan import ChainPlan, EnsemblePlan, Member
from partita.weights.resolve import part_cards, resolve

FOUR = ("vocals", "drums", "bass", "other")
STEMS = {
    "one": ("vocals", "rest"),
    "two": ("rest", "vocals"),
    "six": ("vocals", "rest", "piano"),
    "cut": ("drums", "bass"),
}


@pytest.fixture(autouse=True)
def named(monkeypatch):
    """Cards of these names and stems."""
    for name, stems in STEMS.items():
        card = Card(name=name, summary="x", config={"sources": list(stems)})
        monkeypatch.setitem(CARDS, name, card)


def names_in(plan):
    return tuple(model.name for model in plan.models)


def members(name):
    plan = resolve(name).root
    assert isinstance(plan, EnsemblePlan)
    return [(member.plan, member.weights) for member in plan.members]


@pytest.fixture
def bag(monkeypatch):
    """A card called bag: each of two models for one stem, a third for both."""
    cards = [
        Card(
            name=name,
            summary="x",
            model="unet",
            config={"sources": ["vocals", "rest"]},
            licence=licence,
            commercial_use=use,
            remote=CARDS["spleeter-2stems"].remote,
            download_bytes=10,
        )
        for name, licence, use in [("m1", "MIT", True), ("m2", "odd", None), ("m3", "MIT", True)]
    ]
    bag = Card(
        name="bag",
        summary="x",
        config={"sources": ["vocals", "rest"]},
        members=(
            BagMember("m1", (1.0, 0.0)),
            BagMember("m2", (0.0, 2.0)),
            BagMember("m3", (3.0, 1.0)),
        ),
        licence="MIT AND odd",
        download_bytes=30,
    )
    for card in (*cards, bag):
        monkeypatch.setitem(CARDS, card.name, card)
    return bag


def test_models_and_chains():
    assert resolve("one").root == NamedModel("one")
    links = (Link("one"), Link("two", "rest"))
    assert resolve("one:rest+two").root == ChainPlan((NamedModel("one"), NamedModel("two")), links)


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("one,two", [1, 1]),
        ("one:2,two", [2, 1]),
        ("one:2,two:.5", [2, 0.5]),
        (" one:1.5 , two:3. ", [1.5, 3]),
        ("one:0,two:1", [0, 1]),
    ],
)
def test_ensembles(name, weights):
    expected = [(NamedModel(model), (w,)) for model, w in zip(["one", "two"], weights, strict=True)]
    assert members(name) == expected


def test_members_may_be_chains():
    (first, weight), second = members("one:rest+two:3,six")
    assert names_in(first) == ("one", "two")
    assert first.links[1] == Link("two", "rest")
    assert (weight, second) == ((3.0,), (NamedModel("six"), (1.0,)))


@pytest.mark.parametrize("name", ["one,", ",one", "one,,two", ",", " , "])
def test_a_missing_member_is_one_line(name):
    with pytest.raises(UsageError, match="a model is missing; ensembles are FIRST,SECOND"):
        resolve(name)


@pytest.mark.parametrize("name", ["one,one", "one:2,two,one", "one+cut,one+cut:2"])
def test_members_that_are_named_twice(name):
    with pytest.raises(UsageError, match=r"one(\+cut)? is named twice"):
        resolve(name)


@pytest.mark.parametrize("name", ["one:2", "one:x,two", "one:-1,two", "one,two:1:2", "one:,two"])
def test_what_is_no_weight(name):
    with pytest.raises(UsageError, match=r"is missing behind :.*weights, 0 or more, are"):
        resolve(name)


def test_paths_may_hold_anything(tmp_path):
    path = tmp_path / "a,b" / "c,d:2.safetensors"
    path.parent.mkdir()
    path.touch()
    model = NamedModel(str(path))
    assert resolve(str(path)).root == model
    assert members(f"one,{path}:3,two:2") == [
        (NamedModel("one"), (1.0,)),
        (model, (3.0,)),
        (NamedModel("two"), (2.0,)),
    ]
    assert resolve(f"{path}:3,hpss").label == "c,d:2-3,hpss"
    folder = tmp_path / "run:2"
    folder.mkdir()
    (folder / "model.safetensors").touch()
    assert members(f"{folder},one") == [
        (NamedModel(str(folder)), (1.0,)),
        (NamedModel("one"), (1.0,)),
    ]


def test_sources_are_the_first_members():
    assert resolve("one,two").sources == ("vocals", "rest")
    assert resolve("two,one").sources == ("rest", "vocals")


def test_other_stems_are_refused_and_those_in_common_named():
    with pytest.raises(UsageError, match=r"must give the same stems \(both give: vocals, rest\)"):
        _ = resolve("one,six").sources
    with pytest.raises(UsageError, match=r"both give: none") as info:
        _ = resolve("one,cut").sources
    assert "cut separates drums, bass, and one vocals, rest" in str(info.value)
    assert "\n" not in str(info.value)


def test_weights_that_are_all_zero():
    with pytest.raises(UsageError, match="no member has a weight for vocals"):
        _ = resolve("one:0,two:0").sources


def test_a_bag(bag):
    assert members("bag") == [
        (NamedModel("m1"), (1.0, 0.0)),
        (NamedModel("m2"), (0.0, 2.0)),
        (NamedModel("m3"), (3.0, 1.0)),
    ]
    assert resolve("bag").sources == ("vocals", "rest")
    assert names_in(resolve("bag:rest+cut").root) == ("m1", "m2", "m3", "cut")
    assert [card.name for card in part_cards(bag)] == ["m1", "m2", "m3"]
    assert resolve("bag").label == "bag"
    assert resolve("bag:2,one").label == "bag-2,one"


@pytest.mark.parametrize(
    ("name", "wanted", "models"),
    [
        ("bag", ["vocals"], ["m1", "m3"]),
        ("bag", ["rest"], ["m2", "m3"]),
        ("bag", ["vocals", "rest"], ["m1", "m2", "m3"]),
        ("one:0,two", ["vocals"], ["two"]),
        ("bag:rest+cut", ["drums"], ["m2", "m3", "cut"]),
        ("bag:rest+cut", ["vocals"], ["m1", "m2", "m3", "cut"]),
        ("bag,one", ["vocals"], ["m1", "m2", "m3", "one"]),
        ("one", ["vocals"], ["one"]),
    ],
)
def test_members_that_nothing_wanted_comes_from_are_left_out(bag, name, wanted, models):
    plan = resolve(name).root.needed(wanted)
    assert list(names_in(plan)) == models
    assert set(plan.sources) >= set(wanted)


def test_weights_stay_with_their_sources(bag):
    plan = resolve("bag").root.needed(["rest"])
    assert plan.sources == ("rest",)
    assert plan.members == (
        Member(NamedModel("m2"), (2.0,)),
        Member(NamedModel("m3"), (1.0,)),
    )


def test_only_ensembles_are_cut(bag):
    assert resolve("bag:rest+cut").root.has_ensemble
    assert resolve("one,two").root.has_ensemble
    assert not resolve("one:rest+cut").root.has_ensemble


def test_licences_are_those_of_all_members(bag):
    assert resolve("bag").licence == licences.Licence("MIT AND odd", None)
    found = resolve("m1,umxl").licence
    assert found == licences.Licence("MIT AND CC-BY-NC-SA-4.0", False)
    with pytest.raises(UsageError, match="m2 is not clearly free for commercial use"):
        resolve("bag").require_commercial_use()


def test_digests_know_members_and_weights(bag, monkeypatch):
    names = ["bag", "m1,m2", "m1:2,m2", "m1:2,m2:2", "m1", "m1:rest+m2"]
    before = [resolve(name).digest for name in names]
    assert len(set(before)) == len(names)
    more = (*bag.members[:2], BagMember("m3", (3.0, 2.0)))
    monkeypatch.setitem(CARDS, "bag", dataclasses.replace(bag, members=more))
    assert resolve("bag").digest != before[0]


def test_a_bag_is_no_model(bag):
    with pytest.raises(UsageError, match="bag is a bag of models: name one of them, m1 or m2"):
        store.load_model("bag")
    with pytest.raises(ValueError, match="needs no weights that could be fetched"):
        store.fetch(bag)


def test_unknown_members():
    with pytest.raises(UnknownNameError, match="unknown model 'umxhp'; did you mean umxhq"):
        _ = resolve("umxhq,umxhp").sources
