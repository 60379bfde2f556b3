import pytest

from partita.errors import UsageError
from partita.evaluation.targets import match_available, match_targets

FOUR = ["vocals", "drums", "bass", "other"]


@pytest.mark.parametrize(
    ("references", "estimates", "targets", "expected"),
    [
        (FOUR, FOUR, [], FOUR),
        (FOUR, ["vocals", "accompaniment"], [], ["vocals", "accompaniment"]),
        (FOUR, ["vocals", "no_vocals"], [], ["vocals", "no_vocals"]),
        (FOUR, ["drums+bass", "vocals", "other"], [], ["drums+bass", "vocals", "other"]),
        # museval scores these in two sets; here a set is a set, and sums are left out of it
        (FOUR, [*FOUR, "accompaniment"], [], FOUR),
        ([*FOUR, "accompaniment"], FOUR, [], FOUR),
        (["vocals", "accompaniment"], ["vocals", "accompaniment"], [], ["vocals", "accompaniment"]),
        (FOUR, FOUR, ["vocals", "drums"], ["vocals", "drums"]),
        (FOUR, ["mixture", *FOUR], [], FOUR),
        (["flute", "rest"], ["rest", "flute"], [], ["rest", "flute"]),
    ],
)
def test_what_is_scored(references, estimates, targets, expected):
    assert list(match_targets(references, estimates, targets)) == expected


@pytest.mark.parametrize(
    ("references", "estimates", "targets", "message"),
    [
        (FOUR, ["vocals"], [], "no estimate of drums, bass, other"),
        (FOUR, [*FOUR, "flute"], [], "target 'flute' is not on both sides; references: bass"),
        (FOUR, FOUR, ["flute"], "target 'flute'"),
        (FOUR, ["drums+bass", "bass+other", "vocals"], [], "estimates overlap"),
        (FOUR, [], [], "no estimate"),
    ],
)
def test_names_that_do_not_fit_list_both_sides(references, estimates, targets, message):
    with pytest.raises(UsageError, match=message) as info:
        match_targets(references, estimates, targets)
    assert "references: " in str(info.value)
    assert "estimates: " in str(info.value)


@pytest.mark.parametrize(
    ("references", "estimates", "targets", "scored", "left_out"),
    [
        (FOUR, FOUR, [], FOUR, {}),
        (["vocals", "drums", "other"], FOUR, [], ["vocals", "drums", "other"],
         {"bass": "references"}),
        ([*FOUR, "guitar"], FOUR, [], FOUR, {"guitar": "estimates"}),
        ([*FOUR[:3], "guitar"], FOUR, [], FOUR, {}),
        (FOUR, ["vocals", "rest"], [], ["vocals"],
         {"rest": "references", "drums": "estimates", "bass": "estimates", "other": "estimates"}),
        (["vocals", "accompaniment"], FOUR, [], ["vocals", "accompaniment"],
         {"drums": "references", "bass": "references", "other": "references"}),
        (["vocals", "drums"], FOUR, ["vocals", "bass"], ["vocals"], {"bass": "references"}),
    ],
)  # fmt: skip
def test_what_is_there_is_scored(references, estimates, targets, scored, left_out):
    match = match_available(references, estimates, targets, all_references=False)
    assert list(match.targets) == scored
    assert match.left_out == left_out


def test_estimates_of_a_song_are_complete():
    assert match_available(["vocals", "drums"], FOUR).left_out == dict.fromkeys(
        ["bass", "other"], "references"
    )
    with pytest.raises(UsageError, match="no estimate of bass, other"):
        match_available(FOUR, ["vocals", "drums"])
    with pytest.raises(UsageError, match="target 'flute' is not on both sides"):
        match_available(FOUR, ["flute"], all_references=False)


def test_other_is_what_no_other_estimate_covers():
    match = match_available(["vocals", "drums", "guitar", "piano"], FOUR)
    assert match.targets["other"] == (("guitar", "piano"), ("other",))
    assert match.left_out == {"bass": "references"}
    assert match.remarks == ("other is taken to be guitar+piano",)
    assert match_available(["vocals", "guitar", "other"], FOUR, all_references=False).remarks == ()


@pytest.mark.parametrize("targets", [[], ["vocals", "accompaniment"], ["accompaniment"]])
def test_songs_without_vocals_are_all_accompaniment(targets):
    two = ["vocals", "accompaniment"]
    match = match_available(FOUR[1:], two, targets, all_references=False)
    assert match.targets == {"accompaniment": (("drums", "bass", "other"), ("accompaniment",))}
    assert match.remarks == ("accompaniment is taken to be drums+bass+other",)
    assert match.left_out == ({} if targets == ["accompaniment"] else {"vocals": "references"})


def test_where_everything_else_is_nothing_it_is_not_scored():
    with pytest.raises(UsageError, match="target 'other' is not on both sides"):
        match_available(["vocals", "drums"], FOUR, ["other"], all_references=False)
