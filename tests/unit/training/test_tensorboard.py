"""Losses for TensorBoard."""

import threading

import pytest

from common import little_room
from partita.training.tensorboard import TensorBoardLog

pytest.importorskip("tensorboard", reason="needs the extra 'train'")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROW = {"epoch": 1, "step": 4, "learning_rate": 0.5, "train": 2.0, "train_a": 1.5, "valid": 3.0}


def scalars(folder):
    found = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def test_tensorboard_reads_it(tmp_path):
    log = TensorBoardLog(tmp_path / "board", 0)
    log.add(ROW)
    expected = {
        "learning_rate": [(4, 0.5)],
        "train/all": [(4, 2.0)],
        "train/a": [(4, 1.5)],
        "valid/all": [(4, 3.0)],
    }
    assert scalars(tmp_path / "board") == expected  # at once, before the file is closed
    log.close()
    log.add(ROW)
    assert scalars(tmp_path / "board") == expected


def test_going_on_takes_the_place_of_later_steps(tmp_path):
    first = TensorBoardLog(tmp_path, 0)
    for step in (4, 8, 12):
        first.add({"step": step, "train": step})
    first.close()
    second = TensorBoardLog(tmp_path, 8)
    second.add({"step": 12, "train": -1})
    second.close()
    assert scalars(tmp_path) == {"train/all": [(4, 4.0), (8, 8.0), (12, -1.0)]}


def test_nothing_runs_beside_it(tmp_path):
    """What runs beside it may keep a program from ending."""
    before = threading.active_count()
    log = TensorBoardLog(tmp_path, 0)
    log.add(ROW)
    assert threading.active_count() == before
    log.close()


def test_a_folder_that_cannot_be_costs_no_training(tmp_path, caplog):
    (tmp_path / "file").touch()
    log = TensorBoardLog(tmp_path / "file", 0)
    log.add(ROW)
    log.close()
    assert caplog.messages == ["warning: no more losses for TensorBoard: File exists"]


def test_a_full_disk_costs_no_training(tmp_path, caplog):
    log = TensorBoardLog(tmp_path, 0)
    with little_room(40):
        log.add(ROW)
        log.add(ROW)
        log.close()
    assert caplog.messages == ["warning: no more losses for TensorBoard: File too large"]
