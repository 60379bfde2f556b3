"""The picture of a training's losses."""

import numpy as np
import pytest
from PIL import Image

from partita.errors import AudioWriteError
from partita.reports.losses import draw_losses

FOUR = ("vocals", "drums", "bass", "other")


def history(epochs=30, sources=FOUR, parts=("train", "valid"), offset=0.0):
    rng = np.random.default_rng(0)
    rows = []
    for epoch in range(1, epochs + 1):
        row = {"epoch": epoch, "step": 100 * epoch, "seconds": 9.5 * epoch, "learning_rate": 1e-3}
        for part in parts:
            each = [
                (index + 1) * np.exp(-epoch / 10) + 0.3 + 0.1 * rng.uniform() + offset
                for index in range(len(sources))
            ]
            names = [f"{part}_{source}" for source in sources]
            row |= {part: float(np.mean(each)), **dict(zip(names, each, strict=True))}
        rows.append(row)
    return rows


def picture(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("L"))


def panels(pixels):
    """How many panels: long dark lines upright, two for each."""
    columns = np.flatnonzero((pixels < 60).mean(axis=0) > 0.6)
    return (1 + np.count_nonzero(np.diff(columns) > 5)) // 2 if len(columns) else 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, 2),
        ({"parts": ("train",)}, 1),
        ({"epochs": 1}, 2),
        ({"epochs": 1, "parts": ("train",), "sources": ("vocals",)}, 1),
        ({"epochs": 200}, 2),
        ({"offset": -5.0}, 2),
        ({"offset": -1.0}, 2),  # from above zero to below
        ({"sources": ("vocals",)}, 2),
        ({"sources": ("$x^", "_a_b", "琴", "rest")}, 2),
    ],
)
def test_panels(tmp_path, values, expected):
    draw_losses(history(**values), tmp_path / "losses.png", title="runs/mine")
    assert panels(picture(tmp_path / "losses.png")) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["losses.png"]


def test_losses_that_are_all_the_same(tmp_path):
    for value in (0.0, 1.0, -1.0):
        rows = [{"epoch": epoch, "train": value, "train_a": value} for epoch in (1, 2)]
        draw_losses(rows, tmp_path / "losses.png", title="")
        assert panels(picture(tmp_path / "losses.png")) == 1


def test_pictures_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AudioWriteError, match="a part of the path is a file"):
        draw_losses(history(2), tmp_path / "file/losses.png", title="")
