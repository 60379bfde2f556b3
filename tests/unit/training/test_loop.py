"""The training loop."""

import errno
import threading
import time

import numpy as np
import pytest
import soundfile
import torch

from partita.datasets import open_dataset
from partita.errors import AudioWriteError, TrainingError, UsageError
from partita.models import create_model
from partita.training.augmentation import Augmentation
from partita.training.cache.decode_dataset import decode_dataset
from partita.training.fabric import make_fabric
from partita.training.loop import Training
from partita.training.recipes import Recipe, TrainingSettings
from partita.training.run_folder import RunFolder, read_losses
from partita.training.song_sources import TrainingData
from partita.weights.checkpoint import load_checkpoint

pytestmark = pytest.mark.slow

RATE = 8000
SMALL = {
    "sources": ["tone", "noise"],
    "sample_rate": RATE,
    "channels": 1,
    "fft_samples": 256,
    "hop_samples": 64,
    "frames": 32,
    "overlap_frames": 8,
}
UNMIX = {**SMALL, "hidden": 8, "layers": 2}
UNET = {**SMALL, "bins": 128, "widths": [4, 8]}
X_UMX = {**UNMIX, "crosses": "both", "joins": "average", "before_lstm": True}
SHORT = {
    "epochs": 3,
    "steps_per_epoch": 4,
    "batch_size": 4,
    "excerpt_s": 0.25,
    "valid_excerpts": 5,
    "checkpoint_minutes": 60,
}


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small only wait for each other's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    """Three tracks of two sources that are easy to tell apart."""
    root = tmp_path_factory.mktemp("loop")
    times = np.arange(2 * RATE) / RATE
    for index in range(3):
        folder = root / "album" / f"track {index}"
        folder.mkdir(parents=True)
        tone = 0.3 * np.sin(2 * np.pi * (300 + 100 * index) * times)
        noise = 0.05 * np.random.default_rng(index).normal(size=len(times))
        soundfile.write(folder / "tone.wav", tone, RATE)
        soundfile.write(folder / "noise.wav", noise, RATE)
    dataset = open_dataset(root / "album", layout="tracks")
    return [
        decode_dataset(
            type(dataset)(dataset.root, dataset.layout, chosen),
            SMALL["sources"],
            sample_rate=RATE,
            channels=1,
            folder=root / "ready",
        )
        for chosen in (dataset.tracks[:2], dataset.tracks[2:], dataset.tracks[:1])
    ]


class Watch:
    """An observer that remembers, and may interrupt."""

    def __init__(self, stop_at=None):
        self.steps, self.rows = [], []
        self.stop_at, self.cancel = stop_at, threading.Event()

    def step(self, step, steps, loss):
        self.steps.append((step, steps, loss))
        if step == self.stop_at:
            self.cancel.set()

    def epoch(self, row):
        self.rows.append(dict(row))


@pytest.fixture
def begin(tracks, tmp_path):
    def make(out="run", name="open-unmix", config=UNMIX, *, valid=True, fresh=True, watch=None,
             augmentation=None, **values):  # fmt: skip
        settings = TrainingSettings(**{**SHORT, **values})
        torch.manual_seed(settings.seed)
        (tmp_path / out).mkdir(exist_ok=True)
        fabric = make_fabric(torch.device("cpu"), settings.precision)
        return Training(
            create_model(name, config),
            Recipe(
                "mine", "", name, training=settings, augmentation=augmentation or Augmentation()
            ),
            TrainingData(tracks[0], tracks[1] if valid else None),
            RunFolder(tmp_path / out),
            fabric,
            watch or Watch(),
            fresh=fresh,
        )

    return make


def flat(value, prefix=""):
    """All leaves of a state: ``place: value``."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return {prefix: value}
    return {k: v for key, each in items for k, v in flat(each, f"{prefix}/{key}").items()}


def assert_same(first, second):
    """Bit for bit."""
    first, second = flat(first), flat(second)
    assert first.keys() == second.keys()
    for key, value in first.items():
        if "seconds" in key or "elapsed" in key:
            continue
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, second[key]), key
        else:
            assert value == second[key], key


def test_a_training(begin, tmp_path):
    watch = Watch()
    training = begin(watch=watch)
    assert not training.done
    training.run()
    assert training.done
    assert [step[:2] for step in watch.steps] == [(n, 12) for n in range(1, 13)]
    assert [row["epoch"] for row in watch.rows] == [1, 2, 3]
    rows = read_losses(tmp_path / "run/losses.csv")
    assert list(rows[0]) == [
        *("epoch", "step", "seconds", "learning_rate"),
        *("train", "train_tone", "train_noise", "valid", "valid_tone", "valid_noise"),
    ]
    for row in rows:
        for part in ("train", "valid"):
            mean = (row[f"{part}_tone"] + row[f"{part}_noise"]) / 2
            assert row[part] == pytest.approx(mean, rel=1e-5)
    assert rows[-1]["valid"] < rows[0]["valid"]
    assert watch.steps[3][2] == pytest.approx(rows[0]["train"], rel=1e-6)  # the mean so far
    assert load_checkpoint(tmp_path / "run/model.safetensors").sources == ("tone", "noise")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        *("losses.csv", "model.safetensors", "state.pt", "state.previous.pt", "tensorboard")
    }


@pytest.mark.parametrize(
    ("name", "config", "values"),
    [
        ("open-unmix", UNMIX, {"ema_decay": 0.9, "clip_norm": 1.0, "weight_decay": 1e-3}),
        ("open-unmix", UNMIX, {"optimiser": "rmsprop", "accumulate": 2}),
        ("unet", UNET, {"loss": "l1", "optimiser": "adamw", "precision": "bfloat16"}),
    ],
)
@pytest.mark.parametrize("stop_at", [4, 6])  # the end and the middle of an epoch
def test_resumed_runs_end_with_the_same_weights(begin, tmp_path, name, config, values, stop_at):
    begin("whole", name, config, **values).run()
    watch = Watch(stop_at)
    first = begin("parts", name, config, watch=watch, **values)
    with pytest.raises(InterruptedError):
        first.run(watch.cancel)
    assert RunFolder(tmp_path / "parts").load_state()["step"] == stop_at
    second = begin("parts", name, config, **values)
    second.run()
    whole, parts = (RunFolder(tmp_path / out) for out in ("whole", "parts"))
    assert_same(whole.load_state(), parts.load_state())
    assert_same(read_losses(whole.losses), read_losses(parts.losses))
    assert_same(*(load_checkpoint(each.model).state_dict() for each in (whole, parts)))
    if stop_at == 6:
        assert second.history[0]["seconds"] == first.history[0]["seconds"]


@pytest.mark.parametrize("stop_at", [4, 12])  # and in the last epoch
def test_a_validation_that_is_interrupted_is_done_again(begin, tmp_path, stop_at):
    begin("whole").run()
    watch = Watch()
    first = begin("parts", watch=watch)
    validate = first._validate

    def interrupted(valid):
        if watch.steps[-1][0] == stop_at:
            watch.cancel.set()
        return validate(valid)

    first._validate = interrupted
    with pytest.raises(InterruptedError):
        first.run(watch.cancel)
    state = RunFolder(tmp_path / "parts").load_state()
    assert (state["step"], len(state["history"])) == (stop_at, stop_at // 4 - 1)
    begin("parts").run()
    whole, parts = (RunFolder(tmp_path / out) for out in ("whole", "parts"))
    assert_same(whole.load_state(), parts.load_state())
    assert_same(read_losses(whole.losses), read_losses(parts.losses))
    assert_same(*(load_checkpoint(each.model).state_dict() for each in (whole, parts)))


def test_the_state_is_kept_after_every_epoch(begin, tmp_path):
    kept = []
    watch = Watch()
    training = begin(watch=watch, checkpoint_minutes=60)
    step = watch.step

    def look(*facts):
        step(*facts)
        state = RunFolder(tmp_path / "run").load_state()
        kept.append(state and state["step"])

    watch.step = look
    training.run()
    assert kept == [None] * 4 + [4] * 4 + [8] * 4


def test_states_of_other_trainings(begin, tmp_path):
    begin("run").run()
    for values in ({"name": "unet", "config": UNET}, {"config": {**UNMIX, "hidden": 10}}):
        with pytest.raises(TrainingError, match=r"run/state\.pt: is the state of another training"):
            begin("run", **values)
    RunFolder(tmp_path / "run").save_state({"step": "many"})
    with pytest.raises(TrainingError, match=r"of another training \('elapsed_s'\); `overwrite"):
        begin("run")


def test_a_training_that_is_done_stays_as_it_is(begin, tmp_path):
    begin().run()
    before = RunFolder(tmp_path / "run").load_state()
    watch = Watch()
    again = begin(watch=watch)
    assert again.done
    again.run()
    assert watch.steps == []
    assert_same(before, RunFolder(tmp_path / "run").load_state())
    begin(epochs=4, watch=watch).run()
    assert [step for step, *_ in watch.steps] == [13, 14, 15, 16]


def test_the_seed_decides(begin):
    histories = []
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        training = begin(out, seed=seed, epochs=1)
        training.run()
        histories.append({k: v for k, v in training.history[0].items() if k != "seconds"})
    assert histories[0] == histories[1] != histories[2]


def test_the_learning_rate_shrinks_on_a_plateau(begin, monkeypatch):
    monkeypatch.setattr(Training, "_validate", lambda *_: [1.0, 1.0, 1.0])
    training = begin(epochs=5, steps_per_epoch=1, decay_patience=1, decay_factor=0.5)
    training.run()
    rates = [row["learning_rate"] for row in training.history]
    assert rates == pytest.approx([1e-3] * 3 + [5e-4] * 2)


def test_the_learning_rate_rises_and_falls_along_a_cosine(begin):
    training = begin(
        epochs=5, steps_per_epoch=1, schedule="cosine", warmup_steps=1, learning_rate=0.1
    )
    training.run()
    rates = [row["learning_rate"] for row in training.history]
    cosine = [0.1 * (1 + np.cos(np.pi * step / 5)) / 2 for step in range(5)]
    assert rates == pytest.approx([cosine[0] / 2, *cosine[1:]])


def test_minutes_instead_of_epochs(begin, tmp_path):
    values = {"epochs": 1, "steps_per_epoch": 100_000, "schedule": "cosine", "learning_rate": 0.1}
    training = begin(minutes=1.5 / 60, watch=(watch := Watch()), **values)
    started = time.monotonic()
    training.run()
    assert 1.5 <= time.monotonic() - started < 10
    assert training.done
    (row,) = training.history  # the epoch ends where the time does
    assert row["step"] == len(watch.steps) > 3
    assert 1.4 < row["seconds"] < 3
    assert row["learning_rate"] < 0.03  # of the cosine over the time
    assert row["train"] == pytest.approx(watch.steps[-1][2], rel=1e-6)
    load_checkpoint(tmp_path / "run/model.safetensors")
    # Another sitting goes on along the longer curve, and its epochs begin where the last one ended.
    again = begin(minutes=2.5 / 60, watch=(more := Watch()), **values)
    assert not again.done
    again.run()
    assert more.steps[0][0] == row["step"] + 1
    assert [each["epoch"] for each in again.history] == [1, 2]
    assert again.history[-1]["train"] == pytest.approx(more.steps[-1][2], rel=1e-6)


def test_training_stops_when_nothing_gets_better(begin, monkeypatch, tmp_path):
    losses = iter([3.0, 2.0, 2.5, 2.0, 9.0])
    kept = []
    monkeypatch.setattr(Training, "_validate", lambda *_: [next(losses)] * 3)
    monkeypatch.setattr(RunFolder, "save_model", lambda *_: kept.append(1))
    training = begin(epochs=9, steps_per_epoch=1, stop_patience=2)
    training.run()
    assert [row["valid"] for row in training.history] == [3, 2, 2.5, 2]
    assert len(kept) == 2
    assert begin(epochs=9, steps_per_epoch=1, stop_patience=2).done


def test_the_average_is_what_is_kept(begin, tmp_path):
    training = begin(ema_decay=0.5, epochs=1, valid=False)
    training.run()
    state = RunFolder(tmp_path / "run").load_state()
    kept = load_checkpoint(tmp_path / "run/model.safetensors").state_dict()
    for key, value in kept.items():
        assert torch.equal(value, state["average"][f"module.{key}"])
    moved = [key for key in kept if not torch.equal(kept[key], state["model"][key])]
    assert len(moved) > len(kept) / 2


def test_averages(begin):
    """With a decay of a half, against the sum by hand."""
    training = begin(ema_decay=0.5, epochs=3, steps_per_epoch=1, valid=False)
    place = "networks.tone.fc1.weight"
    seen = []
    update = training._optimisation.average.update_parameters

    def follow(model):
        seen.append(model.state_dict()[place].clone())
        update(model)

    training._optimisation.average.update_parameters = follow
    training.run()
    expected = seen[0]
    for value in seen[1:]:
        expected = (expected + value) / 2
    assert torch.allclose(training.kept.state_dict()[place], expected, atol=1e-7)


def test_parts_of_a_batch_add_up(begin, tmp_path):
    """Where no normalisation sees a batch; that of a U-Net without its own."""
    quiet = {"epochs": 1, "valid": False, "loss": "l2", "optimiser": "rmsprop"}
    weights = []
    for out, accumulate in (("a", 1), ("b", 2), ("c", 4)):
        training = begin(out, "unet", {**UNET, "dropout": 0}, accumulate=accumulate, **quiet)
        for module in training._model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.train = lambda _mode=True, module=module: module  # stays as it is
                module.training = False
        training.run()
        weights.append(training._model.state_dict())
    for other in weights[1:]:
        for key, value in weights[0].items():
            assert torch.allclose(value, other[key], atol=1e-5), key


def test_gradients_are_clipped(begin):
    training = begin(clip_norm=1e-3, epochs=1, steps_per_epoch=1)
    training.run()
    gradients = [parameter.grad for parameter in training._model.parameters()]
    assert float(torch.nn.utils.get_total_norm(gradients)) == pytest.approx(1e-3, rel=1e-2)


def test_half_precision(begin, tmp_path):
    with pytest.raises(UsageError, match="precision float16 needs a GPU"):
        begin(precision="float16")
    training = begin(precision="bfloat16", loss="multi-domain", combinations=True)
    training.run()
    assert training.history[-1]["valid"] < training.history[0]["valid"]
    model = load_checkpoint(tmp_path / "run/model.safetensors")
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_statistics_are_learned_unless_weights_are_given(begin):
    means = [
        begin(out, fresh=fresh)._model.networks["tone"].input_mean for out, fresh in
        (("a", True), ("b", False))
    ]  # fmt: skip
    assert (means[0] < 0).all()
    assert not means[1].any()


def test_losses_that_are_no_numbers(begin, tmp_path):
    watch = Watch()
    training = begin(watch=watch, checkpoint_minutes=0)
    step = watch.step

    def spoil(count, *rest):
        step(count, *rest)
        if count == 6:  # as a gradient that explodes would
            training._model.networks["tone"].fc3.weight.data.fill_(torch.inf)

    watch.step = spoil
    with pytest.raises(TrainingError) as caught:
        training.run()
    # The weights are looked at before they are kept.
    assert RunFolder(tmp_path / "run").load_state()["step"] == 5
    assert "the loss is NaN or infinite at step 7" in str(caught.value)
    assert "tone: track " in str(caught.value)
    assert "run/state.pt; a smaller learning_rate" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_batch_that_is_no_number_is_named(begin, tmp_path, monkeypatch):
    training = begin(checkpoint_minutes=0)
    draw = training._draw
    monkeypatch.setattr(training, "_draw", lambda index: spoiled(draw(index), index))
    names = {}

    def spoiled(excerpt, index):
        if index // 4 == 6:
            excerpt.sources[0, 0, 5] = torch.nan
            names[index] = excerpt.places
        return excerpt

    with pytest.raises(TrainingError, match="NaN or infinite at step 7") as caught:
        training.run()
    for index in range(24, 28):
        assert "; ".join(names[index]) in str(caught.value)
    assert RunFolder(tmp_path / "run").load_state()["step"] == 6


def test_gradients_that_are_no_numbers(begin, monkeypatch, tmp_path):
    training = begin(checkpoint_minutes=0)
    count = []

    def spoil(gradient):
        count.append(1)
        return gradient * torch.nan if len(count) == 3 else gradient

    training._model.networks["noise"].output_mean.register_hook(spoil)
    with pytest.raises(TrainingError, match="the gradient is NaN or infinite at step 3, of"):
        training.run()
    assert RunFolder(tmp_path / "run").load_state()["step"] == 2


def test_full_disks(begin, monkeypatch, tmp_path):
    training = begin(checkpoint_minutes=0)
    save, count = torch.save, []

    def fails_later(state, file):
        count.append(1)
        if len(count) == 3:
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(state, file)

    monkeypatch.setattr(torch, "save", fails_later)
    with pytest.raises(AudioWriteError, match=r"cannot write .*run/state\.pt: the disk is full"):
        training.run()
    assert RunFolder(tmp_path / "run").load_state()["step"] == 2
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"state.pt", "state.previous.pt", "tensorboard"}
    assert not [each for each in threading.enumerate() if "partita" in each.name]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), TrainingError),
        (torch.OutOfMemoryError("CUDA"), TrainingError),
        (MemoryError(), TrainingError),
        (RuntimeError("a mistake"), RuntimeError),
    ],
)
def test_not_enough_memory(begin, monkeypatch, error, expected):
    training = begin()

    def fails(*_):
        raise error

    monkeypatch.setattr(training, "_update", fails)
    message = "not enough memory for 4 excerpts" if expected is TrainingError else "a mistake"
    with pytest.raises(expected, match=message):
        training.run()


def test_batches_that_cannot_be_shared(begin):
    training = begin()
    fabric = training._fabric

    class Three:
        world_size = 3

        def __getattr__(self, name):
            return getattr(fabric, name)

    with pytest.raises(
        UsageError, match="batch_size 4 cannot be shared among 3 processes: make it a mu"
    ):
        Training(training._model, Recipe("", "", "open-unmix", training=training._settings),
                 training._data, training._folder, Three(), Watch())  # fmt: skip


@pytest.mark.parametrize(
    ("name", "config", "values", "factor"),
    [
        ("open-unmix", UNMIX, {}, 0.2),
        ("crosstalk-unmix", UNMIX, {}, 0.2),
        ("crosstalk-unmix", X_UMX, {"loss": "multi-domain", "combinations": True}, None),
        ("unet", UNET, {}, 0.2),
        ("unet", UNET, {"loss": "l1"}, 0.5),
    ],
)
def test_networks_learn_one_track_by_heart(begin, tracks, name, config, values, factor):
    """So that gradients reach every parameter."""
    still = Augmentation(remix=0, gains=(1, 1), swap_channels=0)
    settings = {"steps_per_epoch": 10, "epochs": 12, "learning_rate": 1e-2, "weight_decay": 0}
    if "dropout" not in config:
        config = {**config, "dropout": 0}
    training = begin("run", name, config, augmentation=still, valid=False, **settings, **values)
    training._data = TrainingData(tracks[2], None)
    before = {name: p.detach().clone() for name, p in training._model.named_parameters()}
    training.run()
    for key, parameter in training._model.named_parameters():
        assert not torch.equal(before[key], parameter), key
    losses = [row["train"] for row in training.history]
    if factor is None:  # from -10 to 10, beside the magnitudes' error
        assert losses[-1] < -9
    else:
        assert losses[-1] < factor * losses[0]
