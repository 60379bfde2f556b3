"""Verdicts of the hypotheses, of figures that are written down."""

from pathlib import Path

import pytest

from partita.comparison.hypotheses import other_stems, summed_stems
from partita.comparison.paper.data import PaperData
from partita.comparison.verdicts import (
    AS_IS,
    BARE,
    EXACT,
    FILTERED,
    additive_verdict,
    beats_floors,
    sum_verdict,
)
from partita.datasets.tracks import StemFile, Track

FOUR = ("vocals", "drums", "bass", "other")


@pytest.mark.parametrize(
    ("sources", "stems"),
    [
        (FOUR, {"instruments": ("bass", "other"), "rest": ("vocals", "drums")}),
        (("drums", "guitar", "bass"), {"guitar": ("guitar",), "rest": ("drums", "bass")}),
        (("a", "b", "c"), {"instruments": ("c",), "rest": ("a", "b")}),
        (("vocals", "accompaniment"), None),
    ],
)
def test_other_stems(sources, stems):
    assert other_stems(sources) == stems


def paper_data(sources, scored, *, trains=True):
    def track(name, subset, stems):
        return Track(name, Path("x"), subset, {stem: StemFile(Path(stem)) for stem in stems})

    tracks = [track(f"song {n}", "test", stems) for n, stems in enumerate(scored)]
    tracks += [track("lesson", "train", sources)] if trains else []
    return PaperData(Path("x"), Path("x.csv"), tuple(tracks), "song 0", tuple(sources))


def test_summed_stems():
    assert summed_stems(paper_data(FOUR, [FOUR])) == ("drums", "bass")
    assert summed_stems(paper_data(FOUR, [("vocals", "drums", "other")])) == ("drums", "other")
    assert summed_stems(paper_data(FOUR, [("vocals",), ("bass", "drums")])) == ("drums", "bass")
    assert summed_stems(paper_data(FOUR, [("vocals",)])) is None
    assert summed_stems(paper_data(FOUR, [FOUR], trains=False)) is None
    assert summed_stems(paper_data(("a", "b"), [("a", "b")])) is None


def verdict_1(own, mixture, hpss):
    values = {"trained": own, "mixture": mixture, "hpss": hpss}
    return beats_floors(
        values, ["flute", "guitar"], "real", trained="trained", floors=("mixture", "hpss")
    )


def test_any_instruments():
    low, high = {"flute": 0.0, "guitar": 1.0}, {"flute": 3.0, "guitar": 2.0}
    assert verdict_1(high, low, low) == (
        "Hypothesis 1, real flute and guitar: holds. The network's mean SDR is 2.5 dB "
        "(mixture 0.5 dB, hpss 0.5 dB); it is above both floors for flute and guitar."
    )
    mixed = verdict_1(high, low, {"flute": 0.0, "guitar": 4.0})
    assert "holds on average" in mixed
    assert mixed.endswith("above both floors for flute.")
    lost = verdict_1(low, high, low)
    assert "does not hold with this budget" in lost
    assert lost.endswith("above both floors for none of them.")
    assert "not measured" in verdict_1({}, low, low)


def test_sums():
    parts = ("drums", "bass")
    text = sum_verdict(3.0, -1.0, [0.5, 0.6, 0.7, 0.5], parts)
    assert text.startswith("Hypothesis 2: holds: trained on drums + bass, the network has an SDR")
    assert "it is better: +0.6 dB (95 % interval +0.5 dB to" in text
    assert "it is worse" in sum_verdict(3.0, -1.0, [-0.5, -0.6, -0.7], parts)
    assert "it is neither better nor worse" in sum_verdict(3.0, -1.0, [-1.0, 1.0, 0.5], parts)
    assert "does not hold" in sum_verdict(-2.0, -1.0, [0.5, 0.6], parts)
    assert "too few windows" in sum_verdict(3.0, -1.0, [0.5], parts)
    assert "not measured" in sum_verdict(float("nan"), -1.0, [], parts)


def test_additivity():
    text = additive_verdict(
        {
            "a": {AS_IS: -60.0, BARE: -12.0, EXACT: -120.0},
            "b-c": {AS_IS: -10.0, FILTERED: -40.0, EXACT: -110.0},
            "c": {AS_IS: -90.0},
        }
    )
    assert text == (
        "Hypothesis 3: as they are, the estimates of 2 of 3 systems add up to within −30 dB of the "
        "mixture; not those of b-c −10.0 dB. A filter lowers what is left in 2 of 2; with "
        "sum_to_mix at most −110.0 dB are left."
    )
    assert "not measured" in additive_verdict({})
