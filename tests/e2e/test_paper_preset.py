"""The paper's experiment from a data set to sections, in small."""

import dataclasses

import numpy as np
import pytest
import soundfile

from partita.comparison.options import CompareOptions
from partita.comparison.paper.budgets import BUDGETS
from partita.comparison.paper.entrants import FLOOR, REALTIME
from partita.comparison.paper.experiment import run_paper
from partita.comparison.run import compare
from partita.evaluation.scoring import ScoreOptions
from partita.reports.content import LineChart, Table, Text

RATE = 8000
SMALL = (
    *("epochs=2", "steps_per_epoch=1", "batch_size=1", "excerpt_s=0.3", "valid_tracks=0"),
    *("hidden=4", "layers=1", "fft_samples=512", "hop_samples=256", f"sample_rate={RATE}"),
)


@pytest.fixture
def tiny():
    return dataclasses.replace(
        BUDGETS["minutes"],
        open_unmix=SMALL,
        small=SMALL,
        excerpt_s=2.0,
        train_excerpt_s=2.0,
        synthetic_songs=0,
    )


@pytest.fixture
def album(tmp_path):
    """Three songs of noises and tones, the last of which is scored."""
    rng = np.random.default_rng(0)
    times = np.arange(3 * RATE) / RATE
    for name in ("a", "b", "c"):
        folder = tmp_path / "album" / name
        folder.mkdir(parents=True)
        for pitch_hz, stem in ((220, "vocals"), (0, "drums"), (55, "bass"), (880, "other")):
            tone = (
                np.sin(2 * np.pi * pitch_hz * times)
                if pitch_hz
                else rng.standard_normal(len(times))
            )
            samples = 0.1 * tone[:, None] * rng.uniform(0.5, 1, 2)
            soundfile.write(folder / f"{stem}.wav", samples, RATE)
    return tmp_path / "album"


@pytest.mark.slow
def test_the_experiment_goes_on_where_it_was_and_ends_alike(tmp_path, album, tiny):
    pytest.importorskip("lightning_fabric")
    asked = []

    def compare_some(dataset, entrants, *, targets=()):
        """Leave out most systems: each takes a process or two."""
        small = (REALTIME, "trained on the sum", "sum of")
        kept = [each for each in entrants if each.name.startswith((FLOOR, *small))]
        asked.append([each.name for each in kept])
        options = CompareOptions(score=ScoreOptions(targets=targets))
        return compare(dataset, kept, options, cache=tmp_path / "cache")

    found = run_paper(album, tiny, tmp_path / "out", compare_some)
    assert [section.title.partition(":")[0] for section in found.sections[-3:]] == [
        f"Hypothesis {number}" for number in (1, 2, 3)
    ]
    assert [track.name for track in found.comparison.tracks] == ["c"]
    assert asked[0] == [REALTIME, FLOOR]
    assert asked[-1] == [f"{REALTIME}, no filter", f"{REALTIME}, exact sums"]
    blocks = [block for section in found.sections for block in section.blocks]
    names = {block.name for block in blocks if isinstance(block, Table | LineChart)}
    assert names >= {"table-6", "table-10", "figure-9", "sums", "additivity"}
    verdicts = [block.text for block in blocks if isinstance(block, Text) and block.verdict]
    assert any(text.startswith("Hypothesis 2: holds") for text in verdicts) or any(
        text.startswith("Hypothesis 2: does not hold") for text in verdicts
    )
    assert any("A filter lowers what is left in" in text for text in verdicts)
    assert run_paper(album, tiny, tmp_path / "out", compare_some).sections == found.sections
