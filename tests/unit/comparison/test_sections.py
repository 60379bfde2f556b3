"""Tables and plots of a comparison, of scores that are written down and of a real benchmark."""

import csv
import io
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from partita.comparison.conditions import conditions
from partita.comparison.results import Comparison, Costs, Entrant, EntrantResult, TrainingPlan
from partita.comparison.sections import standard_sections
from partita.datasets import open_dataset
from partita.datasets.tracks import Track
from partita.evaluation.runs import read_published
from partita.evaluation.scores import METRICS, WHOLE_TRACK_METRICS, TargetScores, TrackScores
from partita.evaluation.scoring import ScoreOptions
from partita.reports.content import BoxPlot, LineChart, PairedPlot, Table, Text
from partita.reports.table_files import as_csv, as_latex, as_markdown

FOUR = ("vocals", "drums", "bass", "other")


def scored(track, sdr, targets=FOUR):
    figures = dict.fromkeys(WHOLE_TRACK_METRICS, 1.0)
    return TrackScores(
        track,
        {
            name: TargetScores(name, [dict.fromkeys(METRICS, sdr)], figures, targets)
            for name in targets
        },
        settings={"samples": 441000, "sample_rate": 44100},
    )


def result(name, sdr, model=None, targets=FOUR, **options):
    entrant = options.pop("entrant", Entrant(name, model or name))
    scores = {f"song {index}": scored(f"song {index}", value, targets)
              for index, value in enumerate(sdr)}  # fmt: skip
    return EntrantResult(entrant, scores, **options)


def compared(*results, tracks=None):
    count = tracks or max(len(each.scores) for each in results)
    songs = [Track(f"song {index}", Path("x"), "test", {}) for index in range(count)]
    return Comparison(Path("/data/album"), songs, results, ScoreOptions(), subset="test")


def blocks_of(comparison):
    """Return title → blocks."""
    return {section.title: section.blocks for section in standard_sections(comparison)}


def tables_of(comparison):
    """Return name → rows as csv has them, a mapping of a column's name to its cell for each."""
    found = {}
    for block in (block for blocks in blocks_of(comparison).values() for block in blocks):
        if isinstance(block, Table):
            names = [column.name for column in block.columns]
            _, *rows = csv.reader(io.StringIO(as_csv(block), newline=""))
            found[block.name] = [dict(zip(names, row, strict=True)) for row in rows]
    return found


@pytest.fixture
def usual():
    trained = Entrant("small", "", TrainingPlan("open-unmix", ("training.minutes=2",
                                                               "training.seed=7")))  # fmt: skip
    return compared(
        result("mixture", [-5.0] * 7),
        result("umx", [5.0, 6, 7, 8, 9, 10, 11], costs=Costs(8_900_000, "MIT", True, 12.3, 812),
               null_depth_db={"song 0": -20.0, "song 1": -30.0, "song 2": -25.0}),
        result("small", [4.0, 4, 4, 4, 4], entrant=trained,
               costs=Costs(100_000, training_s=125.0),
               failures={"song 5": "no space left", "song 6": "no space left"},
               losses=[{"epoch": 1, "step": 10, "train": 5.0, "valid": 6.0, "train_bass": 1.0},
                       {"epoch": 2, "step": 20, "train": 0.5, "valid": 0.7, "train_bass": 1.0}]),
        result("two", [6.0] * 7, targets=("vocals", "accompaniment")),
        EntrantResult(Entrant("gone", "umxl"), failures={"": "weights cannot be had"}),
    )  # fmt: skip


def test_all_captions_say_what_figures_hold_for(usual):
    captions = [
        block.caption for blocks in blocks_of(usual).values() for block in blocks
        if not isinstance(block, Text)
    ]  # fmt: skip
    assert len(captions) == 14  # tables of five targets among them
    for text in captions:
        assert "Data: album (test), 7 tracks of 10 s." in text
        assert "BSS Eval v4, windows of 1 s every 1 s, median over windows, then over" in text
        assert "intervals: 95 % bootstrap over tracks, seed 0." in text
        assert (
            "Scored together: vocals, drums, bass, other (mixture, umx, small); "
            "vocals, accompaniment (two)." in text
        )
        assert "Trained here: small (20 steps, seed 7)." in text


def test_captions_say_what_was_drawn_and_learned():
    entrant = Entrant("mine", "", TrainingPlan("unet"), {"shifts": 2})
    comparison = replace(
        compared(result("mine", [1.0, 2.0], entrant=entrant)),
        subset=None, seconds=10.0, seed=3, trained_on=("x", "y"), is_drawn=True,
        options=ScoreOptions("v3", math.inf),
    )  # fmt: skip
    assert conditions(comparison) == [
        "Data: album, 2 tracks, 10 s from the middle of each, drawn with seed 3.",
        "SDR, ISR, SIR, SAR: BSS Eval v3, one window for each track, median over tracks; "
        "intervals: 95 % bootstrap over tracks, seed 3.",
        "Scored together: vocals, drums, bass, other.",
        "Trained here on 2 other tracks: mine (seed 0).",
        "Separated with settings: mine (shifts=2).",
    ]


def test_summary(usual):
    rows = {row["system"]: row for row in tables_of(usual)["summary"]}
    assert list(rows) == ["mixture", "umx", "small", "two", "gone"]
    assert (rows["umx"]["vocals"], rows["umx"]["mean"]) == ("8.0", "8.0")
    assert rows["umx"]["vocals 95 %"] == "6.00 … 10.00"
    assert (rows["umx"]["parameters"], rows["umx"]["licence"]) == ("8.9", "MIT")
    assert (rows["two"]["drums"], rows["two"]["mean"], rows["two"]["accompaniment"]) == (
        "", "", "6.0"
    )  # fmt: skip
    assert (rows["gone"]["vocals"], rows["gone"]["tracks"]) == ("", "0")
    (table,) = blocks_of(usual)["Summary"]
    assert table.notes == [
        "small: vocals, drums, bass, other: 5 of 7 tracks have an SDR.",
        "Medians of different tracks do not compare; paired differences do.",
        "small failed on 2 of 7 tracks: no space left",
        "gone failed: weights cannot be had",
    ]
    names = [column.name for column in table.columns]
    assert table.best[names.index("vocals")] == [1]  # no oracle, whatever it has
    assert names.index("vocals 95 %") not in table.best


def test_best_of_each_target_and_no_oracle():
    comparison = compared(
        result("irm1", [20.0] * 3), result("a", [1.004] * 3), result("b", [1.001] * 3),
        result("c", [0.5] * 3),
    )  # fmt: skip
    (table,) = blocks_of(comparison)["All metrics"]
    sdr = [column.name for column in table.columns].index("SDR")
    assert [row[1] for row in table.rows[:4]] == ["irm1", "a", "b", "c"]
    assert table.best[sdr] == [1, 2, 5, 6, 9, 10, 13, 14]  # equal as they are shown
    assert (
        "the mixture and oracles are left out"
        in blocks_of(comparison)["Paired differences"][0].caption
    )


def test_paired_table_and_plot(usual):
    blocks = blocks_of(usual)["Paired differences"]
    rows = tables_of(usual)["paired"]
    assert [(row["target"], row["first"], row["second"]) for row in rows[:3]] == [
        ("vocals", "umx", "small"), ("vocals", "umx", "two"), ("vocals", "small", "two")
    ]  # fmt: skip
    assert (rows[0]["tracks"], rows[0]["median"], rows[0]["mean"]) == ("5", "3.0", "3.0")
    assert float(rows[0]["p"]) == pytest.approx(2 / 32)
    assert float(rows[0]["p (Holm)"]) > float(rows[0]["p"])
    assert "5 tracks: p is at least 0.0625, never below 0.05" in blocks[0].notes
    assert blocks[0].notes[-1].endswith("changes figures too: small − two, umx − two.")
    plot = blocks[1]
    assert isinstance(plot, PairedPlot)
    assert plot.differences["umx − small"]["vocals"]["song 4"] == 5.0
    assert plot.intervals["umx − small"]["drums"][0] == 3.0
    assert set(plot.differences) == {"umx − small", "umx − two", "small − two"}


def test_many_systems_are_plotted_against_the_best():
    names = ["a", "b", "best", "c", "d"]
    comparison = compared(*(result(name, [1.0, 1.5 + (name == "best"), 3.0]) for name in names))
    table, plot = blocks_of(comparison)["Paired differences"]
    assert list(plot.differences) == ["a − best", "b − best", "best − c", "best − d"]
    assert "pairs with best, whose median" in plot.caption
    assert len(table.rows) == 10 * 4
    assert any("3 tracks" in note for note in table.notes)


def test_tests_that_many_pairs_make_impossible():
    names = ["a", "b", "c", "d"]
    comparison = compared(*(result(name, range(6)) for name in names))
    table = blocks_of(comparison)["Paired differences"][0]
    assert "With 6 tracks and 24 tests, p (Holm) is at least 0.75" in table.notes[0]


def test_one_track_has_neither_intervals_nor_tests():
    comparison = compared(result("a", [1.0]), result("b", [2.0]))
    blocks = blocks_of(comparison)
    assert "Distributions" not in blocks
    (summary,) = blocks["Summary"]
    assert "one track: no intervals, no tests" in summary.caption
    assert not any("95 %" in column.name for column in summary.columns)
    (table,) = blocks["Paired differences"]
    assert table.notes == ["one track: no interval, no test"]
    assert table.rows[0][4:] == [-1.0, None, None, -1.0, None, None, None, None]


def test_plots(usual):
    blocks = blocks_of(usual)
    (boxes,) = blocks["Distributions"]
    assert isinstance(boxes, BoxPlot)
    assert boxes.groups["vocals"]["umx"]["song 6"] == 11.0
    assert set(boxes.groups["accompaniment"]) == {"two"}
    table, chart = blocks["Trainings"]
    settings = "training.minutes=2, training.seed=7"
    assert table.rows == [["small", "open-unmix", settings, 20, 125 / 60]]
    assert isinstance(chart, LineChart)
    assert chart.curves == {"training": [(1, 5.0), (2, 0.5)], "validation": [(1, 6.0), (2, 0.7)]}
    assert chart.log_y


def test_costs_and_failures(usual):
    tables = tables_of(usual)
    rows = {row["system"]: row for row in tables["costs"]}
    assert rows["umx"]["null depth"] == "-25.0"
    assert (rows["umx"]["commercial use"], rows["small"]["commercial use"]) == ("yes", "unknown")
    assert float(rows["small"]["training"]) == pytest.approx(125 / 60)
    assert [(row["system"], row["track"], row["reason"]) for row in tables["failures"]] == [
        ("small", "song 5", "no space left"),
        ("small", "song 6", "no space left"),
        ("gone", "all tracks", "weights cannot be had"),
    ]


def test_nothing_but_failures():
    comparison = compared(EntrantResult(Entrant("a", "a"), failures={"": "no"}), tracks=2)
    blocks = blocks_of(comparison)
    assert list(blocks) == ["Summary", "Costs", "Failures"]
    assert blocks["Summary"][0].text == "No entrant has scores: see the failures."


def test_scores_of_others_without_whole_track_figures(usual):
    bare = TrackScores("song 0", {"vocals": TargetScores("vocals", [dict.fromkeys(METRICS, 1.0)])})
    comparison = compared(EntrantResult(Entrant("theirs", "x"), {"song 0": bare}))
    (table,) = blocks_of(comparison)["All metrics"]
    assert [column.name for column in table.columns][2:8] == [
        "SDR", "SDR low", "SDR high", "ISR", "SIR", "SAR"
    ]  # fmt: skip
    assert "SI-SAR" not in {column.name for column in table.columns}


@pytest.mark.slow
def test_figures_are_those_of_a_benchmark(run, tmp_path):
    """What the command prints, csv has and sections show is the same to the last digit."""
    for index, name in enumerate(("One", "Two, & co.", "Three_3")):
        rng = np.random.default_rng(index)
        folder = tmp_path / "true" / name
        folder.mkdir(parents=True)
        for level, stem in zip((0.1, 0.05, 0.2, 0.1), FOUR, strict=True):
            noise = level * rng.standard_normal((16000, 2))
            soundfile.write(folder / f"{stem}.wav", noise, 8000, subtype="FLOAT")
    printed = run("benchmark", "--data", "true", "-n", "mixture", "-n", "irm2", "--out", "scores",
                  "--csv", "all.csv").out  # fmt: skip
    systems = {
        name: {each.track: each.scores for each in read_published(tmp_path / "scores" / name)}
        for name in ("mixture", "irm2")
    }
    results = [EntrantResult(Entrant(name, name), scores) for name, scores in systems.items()]
    tracks = open_dataset(tmp_path / "true").tracks
    comparison = Comparison(tmp_path / "true", tracks, results, ScoreOptions())
    (table,) = blocks_of(comparison)["All metrics"]
    tables = tables_of(comparison)
    lines = iter(printed.splitlines()[1:])
    for row, (target, system) in zip(tables["metrics"], _cells(printed), strict=True):
        assert (row["target"], row["system"]) == (target, system)
        line = next(lines)
        for metric in ("SDR", "SIR", "SAR", "ISR", "uSDR", "SI-SDR", "SI-SAR"):
            assert f"{float(row[metric]):.2f}" in line
        assert f"{float(row['SDR low']):.2f} … {float(row['SDR high']):.2f}" in line
    summary = {row["system"]: row for row in tables["summary"]}
    for row in tables["metrics"]:
        assert summary[row["system"]][row["target"]] == row["SDR"]
    with (tmp_path / "all.csv").open(newline="") as file:
        medians = {
            (row["system"], row["track"], row["target"]): row["value_db"]
            for row in csv.DictReader(file) if row["metric"] == "SDR"
        }  # fmt: skip
    for target in FOUR:
        for row in tables[f"tracks-{target}"]:
            for system in systems:
                assert f"{float(row[system]):.5f}" == medians[system, row["track"], target]
    for text in (as_markdown(table), as_latex(table)):
        assert all(f"{row[2]:.2f}".replace("-", "") in text for row in table.rows)


def _cells(printed):
    """Return target and system of each line of a table on the terminal."""
    target, found = "", []
    for line in printed.splitlines()[1:]:
        names = re.match(r"(\S+)?\s+(mixture|irm2)\s", line)
        if names:
            target = names[1] or target
            found.append((target, names[2]))
    return found


def test_infinite_and_missing_figures_are_left_out_of_plots():
    comparison = compared(result("a", [1.0, math.inf, math.nan]), result("b", [1.0, 2.0, 3.0]))
    (boxes,) = blocks_of(comparison)["Distributions"]
    assert boxes.groups["vocals"]["a"] == {"song 0": 1.0}
    table, plot = blocks_of(comparison)["Paired differences"]
    assert plot.differences["a − b"]["vocals"] == {"song 0": 0.0}
    assert "Up to 2 tracks are left out, where one of two has no SDR." in table.notes


def test_null_depths_are_medians_of_tracks_everywhere():
    found = result("umx", [1.0] * 4, null_depth_db={"a": -10.0, "b": -20.0, "c": -40.0, "d": -50.0})
    assert found.median_null_depth_db == -30.0
    assert tables_of(compared(found))["costs"][0]["null depth"] == "-30.0"
    assert result("umx", [1.0]).median_null_depth_db is None
