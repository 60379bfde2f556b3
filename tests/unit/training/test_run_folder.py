"""The folder of a training."""

import contextlib
import errno
import resource

import pytest
import torch

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
    with pytest.raises(UsageError, match="there is a training already; --resume goes on with it"):
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


def test_going_on_where_nothing_is_begins(folder):
    folder.check(RUN, resume=True, overwrite=False)


def test_what_may_change_when_a_training_goes_on(begun):
    for values in ({"epochs": 5}, {"workers": 1}):
        begun.check(changed("training", **values), resume=True, overwrite=False)


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (changed("training", learning_rate=0.1), "training.learning_rate: 0.001 → 0.1"),
        (changed("config", hidden=16, layers=2), "config.hidden: 8 → 16; config.layers: None → 2"),
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
    assert "--resume goes on with the same settings; different: " in str(caught.value)
    assert str(caught.value).endswith(difference)
    assert len(str(caught.value).splitlines()) == 1


def test_descriptions_that_cannot_be_read(begun):
    begun.description.write_text("{")
    with pytest.raises(UsageError, match=r"run\.json: cannot be read"):
        begun.check(RUN, resume=True, overwrite=False)


def test_states_come_back(begun):
    state = {"step": 3, "model": {"weight": torch.arange(5.0)}, "history": [{"train": 1.5}]}
    begun.save_state(state)
    found = begun.load_state()
    assert (found["step"], found["history"]) == (3, [{"train": 1.5}])
    assert torch.equal(found["model"]["weight"], torch.arange(5.0))
    assert names(begun) == ["run.json", "state.pt"]


def test_damaged_states(begun):
    begun.save_state({"step": 3, "weights": torch.zeros(1000)})
    whole = begun.state.read_bytes()
    for damaged in (b"", b"no state", whole[: len(whole) // 2]):
        begun.state.write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"state\.pt: cannot be read; --overwrite begins"):
            begun.load_state()


def test_states_of_other_versions(begun):
    begun.save_state({"format": 2, "step": 3})
    with pytest.raises(TrainingError, match=r"state\.pt: is of another version of partita"):
        begun.load_state()


@contextlib.contextmanager
def little_room(size):
    """Let no file of this process grow beyond that many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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
        with pytest.raises(AudioWriteError, match="a part of the path is a file"):
            RunFolder(path).check(RUN, resume=False, overwrite=False)


def test_losses_come_back(begun):
    begun.write_losses([])
    assert names(begun) == ["run.json"]
    history = [{"epoch": 1, "train": 1.25, "valid": -3e-9}, {"epoch": 2, "train": 1, "valid": 0}]
    begun.write_losses(history)
    assert read_losses(begun.losses) == history
    assert begun.losses.read_text().splitlines()[1] == "1,1.25,-3e-09"
