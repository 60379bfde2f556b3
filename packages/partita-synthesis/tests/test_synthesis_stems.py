"""Which instruments belong to which stem."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.errors import UnknownNameError, UsageError
from partita_synthesis.instruments import instruments
from partita_synthesis.score import ROLES
from partita_synthesis.stems import RESIDUALS, StemPlan, stem_words


def test_table():
    table = instruments()
    for name, instrument in table.items():
        assert instrument.name == name
        assert 0 <= instrument.lowest < instrument.highest <= 127
        assert instrument.roles
        assert set(instrument.roles) <= set(ROLES)
        assert (instrument.program == -1) == (instrument.synthesis == "voice")
    programs = [(each.is_drums, each.program) for each in table.values() if each.program >= 0]
    assert len(set(programs)) == len(programs)
    melodic = {program for is_drums, program in programs if not is_drums}
    # sound effects, and melodic percussion that nobody plays, are left out
    assert set(range(96)) <= melodic <= set(range(128))


def test_usual_stems():
    plan = StemPlan(["vocals", "drums", "bass", "other"])
    assert plan.owners["tenor"] == "vocals"
    assert plan.owners["drum_machine"] == "drums"
    assert plan.owners["saw_bass"] == "bass"
    assert plan.owners["distortion_guitar"] == "other"
    assert len(plan.owners) == len(instruments())


def test_only_what_is_asked_for():
    plan = StemPlan(["flute", "guitar"])
    assert set(plan.owners.values()) == {"flute", "guitar"}
    assert plan.instruments_of("flute")[0] == "piccolo"
    assert "grand_piano" not in plan.owners


def test_narrower_stem_wins():
    for names in (["strings", "violin"], ["violin", "strings"]):
        plan = StemPlan(names)
        assert plan.instruments_of("violin") == ["violin", "fiddle"]
        assert "cello" in plan.instruments_of("strings")


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ([], "no stems were named"),
        (["drums", "drums"], "named twice"),
        (["rest", "other"], "name one"),
        (["organ", "drawbar_organ", "percussive_organ", "rock_organ", "church_organ",
          "reed_organ"], "'organ' is empty"),
    ],
)  # fmt: skip
def test_impossible(names, what):
    with pytest.raises(UsageError, match=what):
        StemPlan(names)


def test_unknown_stem_suggests():
    with pytest.raises(UnknownNameError, match="did you mean guitar"):
        StemPlan(["gitar"])


def test_what_nothing_can_play():
    plan = StemPlan(["flute", "drums"])
    plan.require({"concert_flute", "standard_kit"}, "")
    with pytest.raises(UsageError, match="stem 'flute': buy one"):
        plan.require({"standard_kit"}, "buy one")


@given(st.lists(st.sampled_from(stem_words()), min_size=1, max_size=5, unique=True))
def test_every_instrument_has_at_most_one_stem(names):
    try:
        plan = StemPlan(names)
    except UsageError:
        residuals = [name for name in names if name in RESIDUALS]
        assert len(residuals) > 1 or len(names) > 1
        return
    held = [plan.instruments_of(stem) for stem in plan.names]
    assert all(held)
    for one, other in itertools.combinations(held, 2):
        assert not set(one) & set(other)
    if any(name in RESIDUALS for name in names):
        assert sum(map(len, held)) == len(instruments())
