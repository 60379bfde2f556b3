"""The folder of a training."""

import contextlib
import errno
import os
import subprocess
import sys

import pytest
import torch

from common import little_room
from partita.errors import AudioWriteError, TrainingError, UsageError
from partita.training.run_folder import RunFolder, read_losses

RUN = {
    "recipe": "umx-tiny",
    "config": {"hidden": 8, "sources": ["vocals", "drums"]},
    "training": {"epochs": 2, "learning_rate": 0.001, "workers": 2},
    "train_tracks": [f"song {index}" for index in range(9)],
}


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "runs/mine")


@pytest.fixture
def begun(folder):
    folder.check(RUN, resume=False, overwrite=False)
    folder.path.mkdir(parents=True)
    folder.begin(RUN, resume=False)
    return folder


def changed(part, **values):
    return {**RUN, part: {**RUN[part], **values}}


def names(folder):
    return sorted(path.name for path in folder.path.iterdir())


def test_a_folder_is_made(begun):
    assert names(begun) == ["run.json"]
    assert begun.load_state() is None


@pytest.mark.parametrize("what", ["run.json", "model.safetensors"])
def test_a_training_that_is_there(folder, what):
    folder.path.mkdir(parents=True)
    (folder.path / what).write_text("{}")
    with pytest.raises(UsageError, match="there is a training already; `resume=True` goes on"):
        folder.check(RUN, resume=False, overwrite=False)
    folder.check(RUN, resume=False, overwrite=True)
    assert names(folder) == [what]  # so far, nothing is replaced
    folder.begin(RUN, resume=False)
    assert names(folder) == ["run.json"]


def test_beginning_anew_takes_away_what_was(begun):
    begun.save_state({"step": 3})
    begun.write_losses([{"epoch": 1, "train": 2.0}])
    begun.model.write_text("weights")
    begun.begin(RUN, resume=True)
    assert len(names(begun)) == 4
    begun.begin(RUN, resume=False)
    assert names(begun) == ["run.json"]


def test_going_on_where_nothing_is_begins_and_says_so(folder, caplog):
    folder.check(RUN, resume=True, overwrite=False)
    folder.path.mkdir(parents=True)
    folder.begin(RUN, resume=True)
    folder.check(RUN, resume=True, overwrite=False)  # ended before anything was kept
    said = f"{folder.path}: nothing to resume: begins with the first step"
    assert caplog.messages == [said, said]
    folder.save_state({"step": 1})
    folder.check(RUN, resume=True, overwrite=False)
    assert len(caplog.messages) == 2


def test_going_on_without_a_description(begun):
    begun.save_state({"step": 1})
    begun.description.unlink()
    with pytest.raises(UsageError, match=r"`resume=True` cannot go on, run\.json is missing: `ov"):
        begun.check(RUN, resume=True, overwrite=False)


def test_data_that_changed_under_their_names(folder):
    digests = {"track 0": "a", "track 1": "b", "track 2": "c"}
    folder.check_data(digests)  # nothing is known yet
    folder.path.mkdir(parents=True)
    folder.begin(RUN, resume=False, digests=digests)
    folder.check(RUN, resume=True, overwrite=False)
    folder.check_data(digests)
    with pytest.raises(UsageError) as caught:
        folder.check_data({"track 0": "a", "track 1": "x", "track 3": "c"})
    assert str(caught.value) == (
        f"{folder.path}: `resume=True` goes on with the same data; changed since: "
        "track 1, track 2, track 3; `overwrite=True` begins anew with them"
    )
    folder.begin(RUN, resume=True)  # as older versions wrote it
    folder.check_data({"track 0": "x"})


def test_one_training_at_a_time(folder):
    with folder.locked():
        expected = rf"another training \(process {os.getpid()}\) is writing to this folder"
        with pytest.raises(UsageError, match=expected), RunFolder(folder.path).locked():
            pytest.fail("two have the folder")
    with RunFolder(folder.path).locked():
        assert not folder.description.exists()


@pytest.mark.parametrize("name", [".lock", ".lock.pid"])
def test_links_in_the_place_of_locks_are_not_followed(begun, tmp_path, name):
    (tmp_path / "precious").write_text("mine")
    (begun.path / name).symlink_to(tmp_path / "precious")
    with contextlib.suppress(AudioWriteError), begun.locked():
        pass
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_lock_does_not_outlive_its_process(folder):
    held = (
        "import sys, time; from pathlib import Path; "
        "from partita.training.run_folder import RunFolder; "
        "held = RunFolder(Path(sys.argv[1])).locked(); held.__enter__(); "
        "print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", held, folder.path], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=rf"\(process {process.pid}\)"), folder.locked():
            pytest.fail("two have the folder")
    finally:
        process.kill()
        process.communicate()
    with folder.locked():
        pass


def test_what_may_change_when_a_training_goes_on(begun):
    for values in ({"epochs": 5}, {"workers": 1}):
        begun.check(changed("training", **values), resume=True, overwrite=False)


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (changed("training", learning_rate=0.1), "training.learning_rate: 0.001 → 0.1"),
        (changed("config", hidden=16, layers=2), "config.hidden: 8 → 16; config.layers: None → 2"),
        (changed("training", threads=2), "training.threads: None → 2"),
        (
            changed("config", sources=["flute", "drums"]),
            "config.sources: ['vocals', 'drums'] → ['flute', 'drums']",
        ),
        (
            {**RUN, "train_tracks": ["new", *RUN["train_tracks"][1:]]},
            "train_tracks: −song 0 +new",
        ),
        ({**RUN, "train_tracks": RUN["train_tracks"][8:]}, "−song 5, −2 more"),
        ({**RUN, "recipe": "a\nb"}, "recipe: umx-tiny → a\\nb"),
    ],
)
def test_differences_are_shown(begun, other, difference):
    with pytest.raises(UsageError) as caught:
        begun.check(other, resume=True, overwrite=False)
    assert "`resume=True` goes on with the same settings; different: " in str(caught.value)
    assert str(caught.value).endswith(difference)
    assert len(str(caught.value).splitlines()) == 1


def test_settings_that_an_older_version_lacked_had_their_defaults(begun):
    defaults = {"training": {"learning_rate": 5.0, "warmup": (1, 2)}}
    for warmup in ((1, 2), [1, 2]):
        grown = changed("training", warmup=warmup)
        begun.check(grown, resume=True, overwrite=False, defaults=defaults)
        with pytest.raises(UsageError, match="warmup: None → "):
            begun.check(grown, resume=True, overwrite=False)
    with pytest.raises(UsageError, match=r"warmup: \[1, 2\] → \[3, 4\]"):
        begun.check(
            changed("training", warmup=(3, 4)), resume=True, overwrite=False, defaults=defaults
        )


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, "\udcff"])
def test_descriptions_that_cannot_be_read(begun, text):
    begun.description.write_text(text, errors="surrogateescape")
    with pytest.raises(UsageError, match=r"run\.json: cannot be read; `overwrite=True` begins"):
        begun.check(RUN, resume=True, overwrite=False)


def test_states_come_back(begun):
    state = {"step": 3, "model": {"weight": torch.arange(5.0)}, "history": [{"train": 1.5}]}
    begun.save_state(state)
    found = begun.load_state()
    assert (found["step"], found["history"]) == (3, [{"train": 1.5}])
    assert torch.equal(found["model"]["weight"], torch.arange(5.0))
    assert names(begun) == ["run.json", "state.pt"]


def test_damaged_states(begun, caplog):
    begun.save_state({"step": 3, "weights": torch.zeros(1000)})
    whole = begun.state.read_bytes()
    for damaged in (b"", b"no state", whole[: len(whole) // 2], whole[:-9] + b"otherwise"):
        begun.state.write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"state\.pt: is .*; `overwrite=True` begins anew$"):
            begun.load_state()
    begun.state.write_bytes(whole)
    begun.save_state({"step": 4})
    assert begun.load_state()["step"] == 4
    assert not caplog.records
    begun.state.write_bytes(b"no state")
    assert begun.load_state()["step"] == 3  # the one before
    assert caplog.messages == [
        f"warning: {begun.state}: is no training state of this version of partita; "
        "goes on from state.previous.pt"
    ]
    begun.state.unlink()  # as when the power failed between two moves
    assert begun.load_state()["step"] == 3


def test_full_disks(begun):
    begun.save_state({"step": 1})
    before = begun.state.read_bytes()
    larger = r"the file would be larger than this system allows"
    with (
        pytest.raises(AudioWriteError, match=rf"cannot write .*state\.pt: {larger}") as it,
        little_room(4096),
    ):
        begun.save_state({"step": 2, "weights": torch.zeros(100_000)})
    assert len(str(it.value).splitlines()) == 1
    assert begun.state.read_bytes() == before
    assert names(begun) == ["run.json", "state.pt"]
    with (
        pytest.raises(AudioWriteError, match=rf"cannot write .*losses\.csv: {larger}"),
        little_room(4),
    ):
        begun.write_losses([{"epoch": 1, "train": 2.0}])
    assert names(begun) == ["run.json", "state.pt"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, OSError(errno.ENOSPC, "full")])
def test_whatever_happens_what_was_stays(begun, monkeypatch, stop):
    begun.save_state({"step": 1})

    def interrupted(state, file):
        file.write(b"half")
        raise stop

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", interrupted)
        with pytest.raises(AudioWriteError if isinstance(stop, OSError) else stop):
            begun.save_state({"step": 2})
    assert begun.load_state()["step"] == 1
    assert names(begun) == ["run.json", "state.pt"]


def test_folders_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file/below"):
        with (
            pytest.raises(AudioWriteError, match="a part of the path is a file"),
            RunFolder(path).locked(),
        ):
            pytest.fail("there is no folder")


def test_losses_come_back(begun):
    begun.write_losses([])
    assert names(begun) == ["run.json"]
    history = [{"epoch": 1, "train": 1.25, "valid": -3e-9}, {"epoch": 2, "train": 1, "valid": 0}]
    begun.write_losses(history)
    assert read_losses(begun.losses) == history
    assert begun.losses.read_text().splitlines()[1] == "1,1.25,-3e-09"
