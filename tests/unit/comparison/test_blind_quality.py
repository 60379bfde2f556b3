"""Estimates without references beside the scores of a comparison."""

import re

import numpy as np
import pytest
import soundfile

from partita.comparison.blind_quality import quality_sections
from partita.comparison.results import Comparison, Entrant, EntrantResult
from partita.datasets import open_dataset
from partita.evaluation.scores import TargetScores, TrackScores
from partita.evaluation.scoring import ScoreOptions

RATE = 8000
MODELS = {"good": "four-stems", "bad": "umxhq"}


def write(folder, stems):
    folder.mkdir(parents=True)
    for name, samples in stems.items():
        soundfile.write(folder / f"{name}.wav", samples.T, RATE, subtype="FLOAT")
    return {name: folder / f"{name}.wav" for name in stems}


def scored(track, values):
    targets = {stem: TargetScores(stem, [], {"uSDR": value}) for stem, value in values.items()}
    return TrackScores(track, targets)


@pytest.fixture
def comparison(tmp_path):
    """Two songs, and two systems, one of which leaks more; and an oracle."""
    generator = np.random.default_rng(0)
    times = np.arange(RATE) / RATE
    results = {"good": 0.1, "bad": 0.4, "irm1": 0.0}
    stems, scores = {name: {} for name in results}, {name: {} for name in results}
    for song in ("one", "two"):
        noise = 0.1 * generator.standard_normal((2, RATE))
        tone = np.tile(0.1 * np.sin(2 * np.pi * 700 * times), (2, 1))
        write(tmp_path / "songs" / song, {"vocals": tone, "piano": noise})
        for name, leak in results.items():
            estimates = {
                "vocals": (1 - leak) * tone + leak * noise,
                "piano": (1 - leak) * noise + leak * tone,
            }
            stems[name][song] = write(tmp_path / "cache" / f"{name}-{song}", estimates)
            scores[name][song] = scored(song, {"vocals": 10 - 10 * leak, "piano": 9 - 10 * leak})
    found = [
        EntrantResult(Entrant(name, MODELS.get(name, name)), scores[name], stems[name])
        for name in results
    ]
    tracks = list(open_dataset(tmp_path / "songs"))
    return Comparison(tmp_path / "songs", tracks, found, ScoreOptions())


def test_a_row_for_each_stem_of_each_system(comparison, tmp_path):
    counted = []
    (section,) = quality_sections(
        comparison, tmp_path / "cache", progress=lambda done, total: counted.append((done, total))
    )
    assert counted == [(done, 4) for done in range(4)]
    verdict, table = section.blocks
    assert [row[:3] for row in table.rows] == [
        [system, song, stem]
        for system in ("good", "bad")  # no oracle
        for song in ("one", "two")
        for stem in ("vocals", "piano")
    ]
    estimates = {tuple(row[:3]): row[3] for row in table.rows}
    for song in ("one", "two"):
        for stem in ("vocals", "piano"):
            assert estimates["good", song, stem] > estimates["bad", song, stem]
    assert all(row[4] < row[3] < row[5] for row in table.rows)
    assert [row[7] for row in table.rows] == [*["yes", "no"] * 2, *["no"] * 4]
    assert [row[6] for row in table.rows[:2]] == pytest.approx([9.0, 8.0])
    assert "Data: songs, 2 tracks" in table.caption
    within = sum(row[4] <= row[6] <= row[5] for row in table.rows)
    said = re.fullmatch(
        r"Over 8 stems, the estimates have a rank correlation \(Spearman\) of (\S+) with the true "
        r"SDR, and (\d+) % of the 80 % intervals contain it\.",
        verdict.text,
    )
    assert float(said[1]) > 0.5
    assert int(said[2]) == round(100 * within / 8)


def test_what_was_measured_is_not_measured_again(comparison, tmp_path):
    cache = tmp_path / "cache"
    first = quality_sections(comparison, cache)
    for result in comparison.results:
        for files in result.stems.values():
            for path in files.values():
                path.unlink()
    assert quality_sections(comparison, cache) == first


def test_what_cannot_be_measured_is_a_note(comparison, tmp_path):
    path = comparison.results[1].stems["two"]["piano"]
    samples, _ = soundfile.read(path)
    soundfile.write(path, samples[:-100], RATE, subtype="FLOAT")
    (section,) = quality_sections(comparison, tmp_path / "cache")
    table = section.blocks[1]
    assert len(table.rows) == 6
    (note,) = table.notes
    assert note.startswith("bad, two: ")


def test_without_estimates_there_is_no_section(comparison, tmp_path):
    empty = Comparison(comparison.data, comparison.tracks, [], comparison.options)
    assert quality_sections(empty, tmp_path / "cache") == []


def test_few_stems_give_no_verdict(comparison, tmp_path):
    one = EntrantResult(comparison.results[0].entrant, {}, comparison.results[0].stems)
    alone = Comparison(comparison.data, comparison.tracks, [one], comparison.options)
    (section,) = quality_sections(alone, tmp_path / "cache")
    verdict, table = section.blocks
    assert "too few" in verdict.text
    assert [row[6] for row in table.rows] == [None] * 4
