import pytest

from partita.comparison.paper.agreement import best_and_worst, of_change, of_losses, same_order
from partita.comparison.paper.numbers import DETAILS, OVERALL, SOURCES, TABLES, slips


def test_all_tables_have_all_rows():
    assert list(TABLES) == [6, 7, 8, 10, 11, 12]
    assert set(DETAILS.values()) == set(TABLES) - {6}
    for number in DETAILS.values():
        assert list(TABLES[number].rows) == [*SOURCES, OVERALL]


@pytest.mark.parametrize("number", [8, 10, 11, 12])
def test_overall_is_the_mean_of_the_sources(number):
    assert slips(TABLES[number]) == []


def test_slips_of_the_paper_are_found_in_its_figures():
    assert slips(TABLES[6]) == [
        "The paper's table 6 says an SDR of 1.990 dB for NMF, its table 7 −1.992."
    ]
    assert [line.partition(" says")[2] for line in slips(TABLES[7])] == [
        " an overall SDR of −1.992 dB; the mean of its four rows is −4.492.",
        " an overall SIR of 1.554 dB; the mean of its four rows is −0.225.",
        " an overall SAR of 4.006 dB; the mean of its four rows is 3.279.",
    ]


def test_order_is_that_of_the_figures():
    paper = {"vocals": 3.0, "drums": 2.0, "bass": 1.0}
    assert same_order(paper, {"vocals": 9, "drums": 8, "bass": 7}, noun="sources") == (
        "By SDR, 3 of 3 pairs of sources are in the paper's order."
    )
    assert same_order(paper, {"vocals": 1, "drums": 8, "bass": 7}, noun="sources") == (
        "By SDR, 1 of 3 pairs of sources are in the paper's order; not as in the paper: "
        "drums above vocals, bass above vocals."
    )
    nan = float("nan")
    assert "Nothing to order" in same_order(paper, {"vocals": 1, "bass": nan}, noun="sources")


def test_best_and_worst():
    paper = {"vocals": 3.0, "drums": 2.0, "bass": 1.0}
    assert best_and_worst(paper, {"vocals": 1, "drums": 8, "bass": 0}) == (
        "Best is drums (in the paper vocals); worst is bass, as in the paper."
    )
    assert best_and_worst(paper, {"vocals": 1}) == ""


def test_directions_of_a_change():
    before, after = (1.0, 5.0, 2.0), (1.5, 4.0, 3.0)
    text = of_change(before, after, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "This")
    assert text == (
        "This changes SDR +1.00 dB (paper +0.50), SIR +1.00 dB (paper −1.00), SAR +1.00 dB "
        "(paper +1.00); as in the paper: the direction of SDR and SAR."
    )
    text = of_change(before, after, (0.0, 0.0, 0.0), (-1.0, 1.0, -1.0), "This")
    assert text.endswith("; none has the paper's direction.")


def test_losses_name_the_hardest_source():
    rows = [
        {"epoch": 1, "train": 2.0, "train_vocals": 1.0, "train_drums": 3.0},
        {"epoch": 2, "train": 1.0, "train_vocals": 0.5, "train_drums": 1.5},
    ]
    assert of_losses(rows, "vocals") == (
        "Training loss from 2 to 1 in 2 epochs; at the end it is highest for drums, in the paper "
        "of vocals."
    )
    assert of_losses(rows, "drums").endswith("highest for drums, as in the paper.")
    assert of_losses([], "vocals") == ""
