"""Answers of listeners: reading files of unknown origin, screening, intervals, tables."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listening_answers import ITEMS, KEY, NAMES, PLAIN, comparison, mushra, preference
from partita.comparison.listening import (
    collect_answers,
    compare_pairs,
    listening_sections,
    post_screen,
    rate_systems,
    ratings_of,
    read_answers,
)
from partita.comparison.results import Comparison
from partita.errors import ScoresError
from partita.evaluation.scoring import ScoreOptions
from partita.reports.content import BoxPlot, Table, Text
from partita.reports.listening import KEY_FILE, ListeningKey, Trial


@pytest.fixture
def folder(tmp_path):
    KEY.save(tmp_path / KEY_FILE)
    return tmp_path


def save(folder, *contents):
    paths = []
    for number, content in enumerate(contents):
        paths.append(folder / f"answers-{number}.json")
        paths[-1].write_text(json.dumps(content))
    return paths


def collected(folder, *contents):
    found = collect_answers(save(folder, *contents), folder)
    assert not found.problems
    return found


# ---- reading


def test_answers_are_read_back(folder):
    (path,) = save(folder, mushra(first={**PLAIN, "e0": 77.5}))
    answers = read_answers(path, {KEY.page: KEY})
    assert (answers.listener, answers.form, answers.key) == ("Anna", "mushra", KEY)
    assert answers.ratings == {"t0": {**PLAIN, "e0": 77.5}, "t1": PLAIN}


def trial(**changes):
    return [{**mushra()["trials"][0], **changes}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "not a partita-listening-answers file"),
        ({"format": "partita"}, "not a partita-listening-answers file"),
        (mushra(version=2), "of another version than 1"),
        (mushra(version=True), "of another version than 1"),
        (mushra(form="abx"), "form must be one of mushra, preference, not 'abx'"),
        (mushra(page="fedcba"), r"answers to another test \(page 'fedcba'\)"),
        (mushra(page=7), "page must be text of at most 100 characters, not 7"),
        (mushra(listener="  "), "the listener has no name"),
        (mushra(listener="x" * 101), "listener must be text of at most 100 characters"),
        (mushra(trials={}), "holds no answers"),
        (mushra(trials=[]), "holds no answers"),
        (mushra(trials=[3]), "trial '' is not in the test"),
        (mushra(trials=trial(trial="p01")), "trial 'p01' is not in the test"),
        (mushra(trials=2 * trial()), "trial 't0' is answered twice"),
        (mushra(trials=trial(ratings=None)), "does not rate its 6 sounds once each"),
        (mushra(trials=trial(ratings={"e0": 3})), "does not rate its 6 sounds once each"),
        (mushra(first={**PLAIN, "delta": 5}), "does not rate its 6 sounds once each"),
        (
            mushra(first={**PLAIN, "e1": 101}),
            "rating must be a finite number from 0 to 100, not 101",
        ),
        (mushra(first={**PLAIN, "e1": -1}), "rating must be .* not -1"),
        (mushra(first={**PLAIN, "e1": True}), "rating must be .* not True"),
        (mushra(first={**PLAIN, "e1": "9"}), "rating must be .* not '9'"),
        (mushra(first={**PLAIN, "e1": math.nan}), "rating must be .* not nan"),
        (preference("Anna", ("p01", "e2")), "pair 'p01': 'e2' is neither of its two sounds"),
        (preference("Anna", ("p01", None)), "pair 'p01': None is neither of its two sounds"),
        (preference("Anna", ("t0", "e0")), "trial 't0' is not in the test"),
    ],
)
def test_wrong_answers_are_refused_in_one_line(folder, content, message):
    (path,) = save(folder, content)
    with pytest.raises(ScoresError, match=message) as error:
        read_answers(path, {KEY.page: KEY})
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[" * 100_000, b"{" + b" " * 10_000_000])
def test_files_that_are_no_json_are_refused(tmp_path, data):
    (tmp_path / "answers.json").write_bytes(data)
    with pytest.raises(ScoresError, match=r"not a JSON file|larger than any"):
        read_answers(tmp_path / "answers.json", {KEY.page: KEY})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
PLACES = st.sampled_from(
    [
        ("form",), ("page",), ("listener",), ("saved",), ("trials",), ("trials", 0),
        ("trials", 0, "trial"), ("trials", 0, "ratings"), ("trials", 1, "ratings", "e0"),
    ]
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=60)
@given(place=PLACES, value=JSON)
def test_anything_in_any_place_is_read_or_refused(tmp_path_factory, place, value):
    content = json.loads(json.dumps(mushra()))
    spot = content
    for step in place[:-1]:
        spot = spot[step]
    spot[place[-1]] = value
    path = tmp_path_factory.getbasetemp() / "anything.json"
    path.write_text(json.dumps(content))
    found = collect_answers([path], _key_folder(tmp_path_factory))
    assert len(found.answers) + len(found.problems) == 1
    assert all(problem.isprintable() for problem in found.problems)
    for answers in found.answers:
        for ratings in answers.ratings.values():
            assert set(ratings) == set(PLAIN)
            assert all(0 <= rating <= 100 for rating in ratings.values())


def _key_folder(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "key"
    folder.mkdir(exist_ok=True)
    KEY.save(folder / KEY_FILE)
    return folder


def test_bad_files_do_not_keep_the_others_out(folder):
    paths = save(folder, mushra("Anna"), {"format": "x"}, mushra("Ben"))
    found = collect_answers([*paths, folder / "absent.json"], folder)
    assert [each.listener for each in found.answers] == ["Anna", "Ben"]
    assert len(found.problems) == 2
    assert "absent.json: No such file" in found.problems[1]


def test_the_last_answers_of_a_listener_count(folder):
    late = mushra("Anna", first={**PLAIN, "e0": 1}, saved="2026-01-01T12:00:00.000Z")
    found = collected(folder, late, mushra("Anna"), mushra("Ben"))
    assert [each.listener for each in found.answers] == ["Anna", "Ben"]
    assert found.answers[0].ratings["t0"]["e0"] == 1
    (note,) = found.notes
    assert note == (
        f"{folder}/answers-1.json: Anna has later answers in {folder}/answers-0.json: those count"
    )


def test_answers_to_an_earlier_test_count_with_its_key(folder):
    other = ListeningKey("fedcba", 1, KEY.trials[:1], ())
    other.save(folder / "listening-key-fedcba.json")
    one = mushra("Anna", page="fedcba")
    one["trials"] = one["trials"][:1]
    found = collected(folder, one, mushra("Anna"))
    assert [each.key.page for each in found.answers] == ["fedcba", KEY.page]
    assert {rating.listener for rating in ratings_of(found.answers)} == {"Anna"}


def test_without_a_key_nothing_can_be_read(tmp_path):
    with pytest.raises(ScoresError, match=f"has no {KEY_FILE}"):
        collect_answers(save(tmp_path, mushra()), tmp_path)


# ---- screening and intervals


def test_who_misses_the_hidden_reference_too_often_is_left_out(folder):
    """One of two trials is 50 %; of seven, one is 14.3 % and two are 28.6 %."""
    bad = {**PLAIN, "ref": 89}
    trials = tuple(Trial(f"u{n}", "song", "vocals", 0, 1, "k", ITEMS) for n in range(7))
    ListeningKey("long", 0, trials, ()).save(folder / "listening-key-long.json")

    def answers(listener, missed):
        said = [bad] * missed + [PLAIN] * (7 - missed)
        told = [{"trial": f"u{n}", "ratings": ratings} for n, ratings in enumerate(said)]
        return mushra(listener, page="long", trials=told)

    found = collected(
        folder, answers("once", 1), answers("twice", 2), mushra("half", first=bad), mushra("never")
    )
    screened = {each.listener: each for each in post_screen(ratings_of(found.answers))}
    assert {name: each.kept for name, each in screened.items()} == {
        "once": True, "twice": False, "half": False, "never": True
    }  # fmt: skip
    assert (screened["twice"].missed, screened["twice"].trials) == (2, 7)
    edge = mushra("edge", first={**PLAIN, "ref": 90}, second={**PLAIN, "ref": 90})
    assert post_screen(ratings_of(collected(folder, edge).answers))[0].kept


def test_means_and_intervals_by_hand(folder):
    """Listeners' means of alpha: 70, 75, 86; t(0.975, 2) = 4.302653."""
    found = collected(
        folder,
        mushra("a", first={**PLAIN, "e0": 60}),
        mushra("b", first={**PLAIN, "e0": 70}),
        mushra("c", first={**PLAIN, "e0": 92}),
    )
    heard = {
        each.item.entrant or each.item.kind: each
        for each in rate_systems(ratings_of(found.answers))
    }
    alpha = heard["alpha"]
    assert alpha.means == [70, 75, 86]
    assert alpha.mean == 77
    half = 4.302653 * math.sqrt((49 + 4 + 81) / 2) / math.sqrt(3)
    assert alpha.t_interval == pytest.approx((77 - half, 77 + half), abs=1e-4)
    low, high = alpha.bootstrap
    assert 70 <= low < 75
    assert 80 < high <= 86
    assert alpha.quartiles == (72.5, 80, 80)
    assert alpha.ratings == 6
    assert heard["reference"].mean == 100
    assert heard["reference"].t_interval == (100, 100)


def test_one_listener_has_no_interval(folder):
    heard = rate_systems(ratings_of(collected(folder, mushra("a")).answers))
    assert all(math.isnan(bound) for bound in (*heard[0].t_interval, *heard[0].bootstrap))


def test_preferences_and_wilson_intervals_by_hand(folder):
    """8 of 10: Wilson's centre and half width with z = 1.959964."""
    choices = ["e0"] * 8 + ["e1"] * 2 + [""] * 3
    found = collected(
        folder, *(preference(f"l{n}", ("p01", choice)) for n, choice in enumerate(choices))
    )
    (pair,) = compare_pairs(found.answers, NAMES)
    assert (pair.first, pair.second, pair.wins, pair.losses, pair.ties, pair.listeners) == (
        "alpha", "beta", 8, 2, 3, 13
    )  # fmt: skip
    assert pair.share == 0.8
    z, n = 1.959964, 10
    centre = (0.8 + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(0.8 * 0.2 / n + z**2 / (4 * n**2))
    assert pair.interval == pytest.approx((centre - half, centre + half), abs=1e-6)
    assert pair.p == pytest.approx(2 * (1 + 10 + 45) / 1024)
    reverse = compare_pairs(found.answers, ["beta", "alpha"])[0]
    assert (reverse.first, reverse.wins, reverse.losses) == ("beta", 2, 8)
    (tie,) = compare_pairs(collected(folder, preference("l", ("p12", ""))).answers, NAMES)
    assert (tie.share, tie.interval, tie.p) == (None, None, None)


# ---- sections


def blocks(sections):
    """Tables and box plots by name, and all texts."""
    found = [block for section in sections for block in section.blocks]
    tables = {block.name: block for block in found if isinstance(block, (Table, BoxPlot))}
    return tables, [block.text for block in found if isinstance(block, Text)]


def test_ratings_stand_beside_the_scores(folder):
    found = collected(
        folder,
        mushra("Anna"),
        mushra("Ben", first={**PLAIN, "e1": 66}),
        mushra("Cleo", first={**PLAIN, "ref": 10}),
    )
    tables, texts = blocks(listening_sections(comparison(), found))
    summary = tables["listening"]
    names = [column.name for column in summary.columns]
    rows = {row[0]: dict(zip(names, row, strict=True)) for row in summary.rows}
    assert list(rows) == [
        *NAMES, "hidden reference", "low anchor (3.5 kHz)", "interference anchor"
    ]  # fmt: skip
    assert rows["beta"]["mean"] == 61.5
    assert rows["alpha"]["SDR heard"] == 9
    assert rows["alpha"]["SDR song"] == -11
    assert rows["hidden reference"]["SDR heard"] is None
    assert summary.best == {1: [0]}
    assert "2 listeners (1 left out), 2 excerpts, 24 ratings" in summary.caption
    assert all("BSS Eval v4" in table.caption for table in tables.values())
    assert [row[-1] for row in tables["listeners"].rows] == ["yes", "yes", "left out"]
    assert tables["listening-ratings"].groups["vocals"]["beta"] == {
        "Anna · song": 60, "Ben · song": 66
    }  # fmt: skip
    stems = tables["listening-stems"]
    assert [column.name for column in stems.columns[1:]] == ["vocals", "vocals ±", "bass", "bass ±"]
    assert stems.rows[1][1:3] == [
        63,
        pytest.approx(12.7062 * 3, abs=1e-3),
    ]  # t(0.975, 1), sd/√2 = 3
    assert texts[0].startswith("Listeners rate alpha highest: 80.0 of 100")
    assert "beta is 18.5 lower" in texts[0]
    rows = tables["listening-correlation"].rows
    assert [row[:2] for row in rows] == [
        ["entrants, SDR heard", 3],
        ["entrants, SDR of songs", 3],
        ["single excerpts, SDR heard", 6],
    ]
    assert all(row[-1] == pytest.approx(1, abs=0.1) for row in rows)
    assert rows[0][3:5] == [None, None]


def test_an_open_order_is_said_to_be_open(folder):
    found = collected(
        folder,
        mushra("Anna", first={**PLAIN, "e1": 90}, second={**PLAIN, "e1": 81}),
        mushra("Ben", first={**PLAIN, "e1": 80}, second={**PLAIN, "e1": 71}),
    )
    _, texts = blocks(listening_sections(comparison(), found))
    assert texts[0].startswith("Listeners rate beta highest: 80.5 of 100")
    assert texts[0].endswith("the interval includes 0, so the order of the two is open.")


def test_preferences_of_three_entrants_have_a_table_of_their_own(folder):
    found = collected(
        folder,
        preference("Anna", ("p01", "e0"), ("p02", "e0"), ("p12", "")),
        preference("Ben", ("p01", "e0"), ("p02", ""), ("p12", "e2")),
    )
    tables, _ = blocks(listening_sections(comparison(), found))
    assert [row[:5] for row in tables["preferences"].rows] == [
        ["alpha", "beta", 2, 0, 0],
        ["alpha", "gamma", 1, 0, 1],
        ["beta", "gamma", 0, 1, 1],
    ]
    assert tables["preferences-entrants"].rows == [
        ["alpha", 3, 0, 1, 87.5],
        ["beta", 0, 3, 1, 12.5],
        ["gamma", 1, 1, 2, 50.0],
    ]


def test_problems_are_shown_and_entrants_without_scores_stay(folder):
    paths = save(folder, mushra("Anna", first={**PLAIN, "ref": 0}), {"format": "x"})
    few = Comparison(Path("data"), [], [], ScoreOptions())
    tables, texts = blocks(listening_sections(few, collect_answers(paths, folder)))
    assert texts[0] == "Post-screening leaves no listener: there is no result."
    assert "answers-1.json: not a partita-listening-answers file" in texts[1]
    tables, texts = blocks(listening_sections(few, collected(folder, mushra("Anna"))))
    assert [row[0] for row in tables["listening"].rows][:3] == list(NAMES)
    assert tables["listening"].rows[0][2:6] == [None] * 4
    assert "listening-correlation" not in tables
    assert "That is one listener" in texts[0]
