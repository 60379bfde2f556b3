"""``partita train`` for networks."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
import torch

import partita.training.song_sources
from partita.training.run_folder import RunFolder, read_losses
from partita.weights.checkpoint import load_checkpoint

RATE = 8000
SMALL = {
    "sources": "vocals,drums",
    "sample_rate": RATE,
    "fft_samples": 256,
    "hop_samples": 64,
    "bins": 0,
    "frames": 32,
    "overlap_frames": 8,
    "hidden": 8,
    "layers": 2,
    "excerpt_s": 0.25,
    "batch_size": 4,
    "steps_per_epoch": 3,
    "epochs": 2,
    "valid_excerpts": 4,
}


def settings(**values):
    merged = {**SMALL, **values}
    return [flag for key, value in merged.items() for flag in ("--set", f"{key}={value}")]


def tone(seed, seconds=2.0):
    times = np.arange(round(seconds * RATE)) / RATE
    return 0.3 * np.sin(2 * np.pi * (300 + 100 * seed) * times)


def noise(seed, seconds=2.0):
    return 0.05 * np.random.default_rng(seed).normal(size=round(seconds * RATE))


@pytest.fixture
def album(tmp_path, monkeypatch):
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of other processes
    for index in range(3):
        folder = tmp_path / "album" / f"track {index}"
        folder.mkdir(parents=True)
        for stem, make in (("vocals", tone), ("drums", noise)):
            soundfile.write(folder / f"{stem}.wav", make(index), RATE)
    return tmp_path / "album"


@pytest.fixture
def train(run, album):
    before = torch.get_num_threads()
    torch.set_num_threads(1)

    def train_cli(*arguments, data=album, recipe="umx-tiny", **values):
        return run("train", recipe, "--data", data, *settings(**values), *arguments)

    yield train_cli
    torch.set_num_threads(before)


@pytest.fixture
def started(album, tmp_path):
    """Start a training in a process of its own."""
    running = []

    def start(*arguments, launcher=("-m", "partita"), **values):
        command = [sys.executable, "-W", "error", *launcher, "train", "umx-tiny", "--data", album]
        process = subprocess.Popen(
            [*command, *settings(**values), *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def wait_for(condition, process):
    for _ in range(6000):
        if condition():
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    pytest.fail("nothing happened within a minute")


def changed_at(path):
    return path.stat().st_mtime_ns if path.exists() else 0


def weights(folder):
    return RunFolder(folder).load_state()["model"]


def assert_equal(first, second, **tolerance):
    assert first.keys() == second.keys()
    for key, value in first.items():
        if tolerance:
            assert torch.allclose(value, second[key], **tolerance), key
        else:
            assert torch.equal(value, second[key]), key


def losses(folder):
    rows = read_losses(folder / "losses.csv")
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def refused(result, status, *texts):
    assert result.status == status, result.err
    for text in texts:
        assert text in result.err
    assert len(result.err.splitlines()) == 1
    assert result.out == ""


def test_from_a_data_set_to_stems(run, train, tmp_path):
    result = train()
    assert result.status == 0, result.err
    epoch, best = result.err.splitlines()[0], result.out.splitlines()
    assert epoch.startswith("epoch 1 · train ")
    assert "(vocals " in epoch
    assert " · valid " in epoch
    assert epoch.endswith(" left")
    assert best[0].startswith("runs/umx-tiny/model.safetensors: epoch ")
    assert best[1].startswith("  2 epochs in 0:0")
    assert best[2] == "  use it: partita separate SONG --model runs/umx-tiny"
    folder = tmp_path / "runs/umx-tiny"
    assert {path.name for path in folder.iterdir() if path.name[0] != "."} == {
        *("model.safetensors", "run.json", "losses.csv", "losses.png", "tensorboard"),
        *("state.pt", "state.previous.pt"),
    }
    assert list((folder / "tensorboard").glob("events*"))
    assert len(losses(folder)) == 2
    described = json.loads((folder / "run.json").read_text())
    assert (described["recipe"], described["model"]) == ("umx-tiny", "open-unmix")
    assert described["training"]["epochs"] == 2
    assert described["config"]["hidden"] == 8
    assert len(described["train_tracks"]) == 2
    assert len(described["valid_tracks"]) == 1
    assert load_checkpoint(folder / "model.safetensors").sources == ("vocals", "drums")
    soundfile.write(tmp_path / "song.wav", tone(1) + noise(1), RATE)
    result = run("separate", "song.wav", "--model", "runs/umx-tiny", "--json")
    assert result.status == 0, result.err
    stems = json.loads(result.out)["stems"]
    assert stems == {name: f"separated/umx-tiny/song/{name}.wav" for name in ("vocals", "drums")}


def test_quiet(train, tmp_path):
    result = train("--quiet", "--out", "mine")
    assert (result.status, result.out, result.err) == (0, "", "")
    assert (tmp_path / "mine/losses.png").exists()


def test_a_training_that_is_there(train, tmp_path):
    assert train("-q", "--out", "mine").status == 0
    before = weights(tmp_path / "mine")
    refused(train("--out", "mine"), 2, "partita: mine: there is a training already; --resume goes")
    refused(train("--out", "mine", "--resume", learning_rate=0.5), 2,
            "different: training.learning_rate: 0.002 → 0.5")  # fmt: skip
    refused(train("--out", "mine", "--resume", hidden=10), 2, "config.hidden: 8 → 10")
    refused(train("--out", "mine", "--resume", "--overwrite"), 2, "exclude each other")
    assert_equal(before, weights(tmp_path / "mine"))
    assert train("--out", "mine", "--resume", epochs=3).status == 0
    assert [row["epoch"] for row in losses(tmp_path / "mine")] == [1, 2, 3]
    assert train("-q", "--out", "whole", epochs=3).status == 0
    assert_equal(weights(tmp_path / "mine"), weights(tmp_path / "whole"))
    assert losses(tmp_path / "mine") == losses(tmp_path / "whole")
    assert train("--out", "mine", "--overwrite", epochs=1).status == 0
    assert len(losses(tmp_path / "mine")) == 1


def test_what_happened_to_a_training_meanwhile(train, album, tmp_path):
    result = train("--out", "mine", "--resume", epochs=1)
    assert (result.status, result.err.splitlines()[0]) == (
        0, "partita: mine: nothing to resume: begins with the first step"
    )  # fmt: skip
    state, table = tmp_path / "mine/state.pt", tmp_path / "mine/losses.csv"
    table.unlink()
    result = train("--out", "mine", "--resume", epochs=1)
    assert (result.status, result.err) == (0, "")
    assert len(losses(tmp_path / "mine")) == 1
    assert train("-q", "--out", "mine", "--resume").status == 0
    damaged = bytearray(state.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    state.write_bytes(damaged)
    result = train("--out", "mine", "--resume")
    assert result.status == 0, result.err
    assert result.err.splitlines()[0] == (
        "partita: warning: mine/state.pt: is damaged, its checksum does not fit; "
        "goes on from state.previous.pt"
    )
    assert train("-q", "--out", "whole").status == 0
    assert_equal(weights(tmp_path / "mine"), weights(tmp_path / "whole"))
    for path in (state, tmp_path / "mine/state.previous.pt"):
        path.write_bytes(b"PK")
    refused(train("--out", "mine", "--resume"), 1, "is no training state of this version", "--over")
    RunFolder(tmp_path / "mine").save_state({"step": 3})
    refused(train("--out", "mine", "--resume"), 1, "mine/state.pt: is the state of another train")


def test_data_that_changed_under_their_names(train, album, tmp_path):
    assert train("-q", "--out", "mine").status == 0
    before = weights(tmp_path / "mine")
    path = album / "track 1/drums.wav"
    soundfile.write(path, noise(1), RATE)  # the same again, at another time
    assert train("-q", "--out", "mine", "--resume").status == 0
    soundfile.write(path, noise(7), RATE)
    message = "mine: --resume goes on with the same data; changed since: track 1; --overwrite"
    refused(train("--out", "mine", "--resume", epochs=3), 2, message)
    assert_equal(before, weights(tmp_path / "mine"))
    assert train("-q", "--out", "mine", "--overwrite").status == 0
    assert not torch.equal(
        before["networks.drums.fc1.weight"], weights(tmp_path / "mine")["networks.drums.fc1.weight"]
    )


def test_one_training_at_a_time(train, tmp_path):
    with RunFolder(tmp_path / "mine").locked():
        message = f"mine: another training (process {os.getpid()}) is writing to this folder"
        for flag in ("--quiet", "--resume", "--overwrite"):
            refused(train("--out", "mine", flag), 2, message)
    assert train("-q", "--out", "mine").status == 0


def test_other_sources_from_weights(train, album, tmp_path):
    assert train("-q", "--out", "first").status == 0
    for folder in album.iterdir():
        (folder / "vocals.wav").rename(folder / "flute.wav")
        (folder / "drums.wav").rename(folder / "guitar.wav")
    start = ["--from", "first"]
    result = train(*start, "--out", "second", sources="flute,guitar")
    assert result.status == 0, result.err
    old, new = (load_checkpoint(tmp_path / f"{n}/model.safetensors") for n in ("first", "second"))
    assert new.sources == ("flute", "guitar")
    first, own, other = (
        model.networks[source].fc1.weight
        for model, source in ((old, "vocals"), (new, "flute"), (new, "guitar"))
    )
    assert (first - own).norm() < (first - other).norm() / 5
    refused(train("--from", "first/none.safetensors", sources="flute"), 1, "no such checkpoint")
    refused(train("--from", "album", sources="flute"), 1, "album: no checkpoint in this folder")
    refused(train(*start, recipe="umx-crosstalk", sources="flute,guitar"), 2,
            "holds weights of open-unmix, recipe 'umx-crosstalk' trains crosstalk-")  # fmt: skip


def test_sources_have_a_flag_of_their_own(run, train, album):
    flags = [f for f in settings(epochs=1) if f != "sources=vocals,drums"]
    flags.remove("--set")
    result = run("train", "umx-tiny", "--data", album, *flags, "--sources", "drums", "-o", "mine")
    assert result.status == 0, result.err
    assert list(losses(album.parent / "mine")[0])[3:] == [
        *("train", "train_drums", "valid", "valid_drums")
    ]


@pytest.mark.parametrize(
    ("flags", "values", "status", "message"),
    [
        (["--set", "epoch=3"], {}, 2, "unknown setting 'epoch'; did you mean epochs"),
        ([], {"epochs": 0}, 2, "epochs must be a whole number of 1 or more"),
        ([], {"hidden": 7}, 2, "hidden must be even"),
        (["--set", "lr=1"], {}, 2, "unknown setting 'lr'; did you mean learning_rate?"),
        (["--set", "n_fft=512"], {}, 2, "unknown setting 'n_fft'; it is called fft_samples"),
        ([], {"accumulate": 6}, 2, "accumulate=6 does not divide batch_size=4: set accumulate=2 "),
        ([], {"precision": "float16"}, 2, "precision float16 needs a GPU"),
        ([], {"sources": "vocal,drums"}, 2, "unknown stem 'vocal'; did you mean vocals?"),
        ([], {"sources": "vocals,piano"}, 2, "album: has no stem 'piano': --sources vocals,drums "),
        (["--device", "cuda:7"], {}, 2, "device 'cuda:7' is not there"),
        (["--subset", "train"], {}, 2, "has no tracks of subset 'train'"),
        (["--out", "file"], {}, 1, "cannot write file: a part of the path is a file"),
        (["--out", "file/below"], {}, 1, "a part of the path is a file"),
    ],
)
def test_mistakes_before_the_first_step(train, tmp_path, flags, values, status, message):
    (tmp_path / "file").touch()
    refused(train(*flags, **values), status, message)
    assert not (tmp_path / "runs/umx-tiny/run.json").exists()


def test_data_that_are_not_there(run, train, tmp_path):
    refused(train(data=tmp_path / "none"), 2, "no such folder")
    assert "Missing option '--data'" in run("train", "umx-tiny").err


def damage(album, kind):
    folder = album / "track 1"
    if kind == "NaN":
        broken = tone(1)
        broken[7000] = np.nan
        soundfile.write(folder / "vocals.wav", broken, RATE, "FLOAT")
        return 1, "track 1: ", "NaN or infinite samples from 0.875 s on"
    if kind == "missing stem":
        soundfile.write(folder / "mixture.wav", tone(1) + noise(1), RATE)
        (folder / "drums.wav").unlink()
        return 1, "track 1: has no stem 'drums' and its mixture is not the sum"
    if kind == "silence":
        for path in album.rglob("drums.wav"):
            soundfile.write(path, np.zeros(2 * RATE), RATE)
        return 2, "the stem 'drums' is silent in every track"
    (folder / "vocals.wav").write_bytes(b"RIFF, but no more")
    return 1, "vocals.wav"


def test_stems_that_the_recipe_does_not_name(run, train, album):
    for folder in album.iterdir():
        (folder / "vocals.wav").rename(folder / "flute.wav")
        (folder / "drums.wav").rename(folder / "acoustic guitar.wav")
        soundfile.write(folder / "guitar.wav", noise(9), RATE)
    result = run("train", "umx-tiny", "--data", album)
    refused(result, 2, "has no stem 'vocals' and no 'drums' and no 'bass' and no 'other': "
            "--sources flute,guitar trains on those it has")  # fmt: skip
    assert train("-q", sources="flute,guitar", epochs=1).status == 0


@pytest.mark.parametrize("epochs", [1, 2])
def test_weights_that_were_removed_come_back(train, tmp_path, epochs):
    assert train("-q", "-o", "mine", epochs=1).status == 0
    (tmp_path / "mine/model.safetensors").unlink()
    result = train("-o", "mine", "--resume", epochs=epochs)
    assert result.status == 0
    assert "mine/model.safetensors is missing: the newest weights take" in result.err
    assert load_checkpoint(tmp_path / "mine/model.safetensors").sources == ("vocals", "drums")


def test_a_data_set_without_a_track_says_what_is_wrong(run, album):
    for path in album.rglob("*.wav"):
        path.rename(path.with_name("mix.wav"))
    result = run("train", "umx-tiny", "--data", album)
    refused(result, 2, "has no track to train on: ")
    assert "has a mixture but no stems, left out (and " in result.err


def test_smaller_batches_than_a_recipe_has_parts(run, album, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text('summary = "x"\nmodel = "open-unmix"\n[training]\naccumulate = 2\n')
    result = run("train", recipe, "--data", album, "--set", "batch_size=1")
    refused(result, 2, "accumulate=2 does not divide batch_size=1: set accumulate=1 as well")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="libgomp tells it on Linux")
@pytest.mark.parametrize(
    ("chosen", "expected"), [({}, "'1000'"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "'0'")]
)
def test_threads_that_wait_leave_their_core_to_others(started, monkeypatch, chosen, expected):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**chosen, "OMP_DISPLAY_ENV": "VERBOSE"}.items():
        monkeypatch.setenv(name, value)
    _, err = started("--set", "seed=-1").communicate(timeout=60)
    assert "seed must be a whole number from 0" in err
    if "GOMP_SPINCOUNT" not in err:
        pytest.skip("PyTorch brings another OpenMP here")
    assert f"GOMP_SPINCOUNT = {expected}" in err


@pytest.mark.parametrize("kind", ["NaN", "missing stem", "silence", "no audio"])
def test_data_problems_come_before_the_first_step(train, album, tmp_path, kind, monkeypatch):
    assert train("-q", "--out", "old").status == 0
    before = weights(tmp_path / "old")
    status, *texts = damage(album, kind)
    with monkeypatch.context() as patch:
        patch.setattr(partita.training.run, "Training", None)
        refused(train(), status, *texts)
        refused(train("--out", "old", "--overwrite"), status, *texts)
    assert_equal(before, weights(tmp_path / "old"))  # nothing is lost
    for index in range(3):
        soundfile.write(album / f"track {index}/vocals.wav", tone(index), RATE)
        soundfile.write(album / f"track {index}/drums.wav", noise(index), RATE)
        (album / f"track {index}/mixture.wav").unlink(missing_ok=True)
    assert train().status == 0  # the same command, once the data are in order


def test_a_stem_that_only_some_tracks_have(train, album):
    """Whichever track is held out."""
    (album / "track 1/drums.wav").unlink()
    for seed in range(3):
        result = train("--out", f"{seed}", seed=seed, epochs=1)
        assert result.status == 0, result.err
        assert "warning: track 1: no drums, counts as silence" in result.err
    (album / "track 0/drums.wav").unlink()
    results = [train("--out", f"{seed}", "--overwrite", seed=seed, epochs=1) for seed in range(6)]
    assert {result.status for result in results} == {0, 2}  # 2: drums in the held-out track only
    for result in results:
        assert result.status == 0 or "'drums' is silent in every track to train on" in result.err


def test_tracks_shorter_than_an_excerpt_and_of_other_rates(train, album, tmp_path):
    soundfile.write(album / "track 0/vocals.wav", tone(0, 0.2), RATE)
    soundfile.write(album / "track 0/drums.wav", noise(0, 0.1), RATE)
    soundfile.write(album / "track 1/drums.wav", noise(1), 11025)
    result = train(excerpt_s=1.5, epochs=1)
    assert result.status == 0, result.err
    assert np.isfinite([*losses(tmp_path / "runs/umx-tiny")[0].values()]).all()


def test_one_track_alone(train, album, tmp_path):
    result = train(data=album / "track 0")
    assert result.status == 0, result.err
    assert "warning: nothing is held out, there are too few tracks (1)" in result.err
    assert "valid" not in losses(tmp_path / "runs/umx-tiny")[0]


def test_ctrl_c_before_the_first_step(run, train, tmp_path, monkeypatch):
    def reads(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
        pytest.fail("went on")

    with monkeypatch.context() as patch:
        patch.setattr(partita.training.song_sources, "decode_dataset", reads)
        result = train()
    assert (result.status, result.err) == (130, "partita: interrupted\n")
    assert train().status == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_keep_the_state(started, train, tmp_path, number):
    many = {"epochs": 1000, "steps_per_epoch": 10, "checkpoint_minutes": 60}
    process = started("--out", "mine", **many)
    wait_for((tmp_path / "mine/losses.csv").exists, process)
    process.send_signal(number)
    sent = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - sent < 15
    assert process.returncode == (130 if number == signal.SIGINT else 143)
    said = ["mine: state saved; --resume continues from it", "partita: interrupted"]
    said = said[: 2 if number == signal.SIGINT else 1]
    assert err.splitlines()[-len(said) :] == said
    step = RunFolder(tmp_path / "mine").load_state()["step"]
    epochs = step // 10 + 1
    assert train("-q", "--out", "mine", "--resume", **{**many, "epochs": epochs}).status == 0
    if number == signal.SIGINT:
        assert train("-q", "--out", "whole", **{**many, "epochs": epochs}).status == 0
        assert_equal(weights(tmp_path / "mine"), weights(tmp_path / "whole"))
        assert losses(tmp_path / "mine") == losses(tmp_path / "whole")


@pytest.mark.slow
def test_a_second_signal_ends_at_once(started, tmp_path):
    process = started("--out", "mine", epochs=1000)
    wait_for((tmp_path / "mine/state.pt").exists, process)
    for _ in range(20):  # in the middle of whatever the first one began
        process.send_signal(signal.SIGTERM)
        time.sleep(0.002)
    _, err = process.communicate(timeout=15)
    assert process.returncode in (143, -signal.SIGTERM), err
    assert "Traceback" not in err
    assert RunFolder(tmp_path / "mine").load_state()["step"] >= 3


@pytest.mark.slow
def test_killed_at_any_moment(started, train, tmp_path):
    sizes = {"epochs": 6, "steps_per_epoch": 20, "checkpoint_minutes": 0, "ema_decay": 0.9}
    assert train("-q", "--out", "whole", **sizes).status == 0
    state = tmp_path / "mine/state.pt"
    for delay_s in (0.05, 0.2):
        process = started("--out", "mine", "--resume", **sizes)
        old = changed_at(state)
        wait_for(lambda old=old: changed_at(state) > old, process)
        time.sleep(delay_s)
        process.kill()
        process.communicate()
    result = train("-q", "--out", "mine", "--resume", **sizes)
    assert result.status == 0, result.err
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "mine"))
    assert losses(tmp_path / "mine") == losses(tmp_path / "whole")
    whole, mine = (load_checkpoint(tmp_path / f"{n}/model.safetensors") for n in ("whole", "mine"))
    assert_equal(whole.state_dict(), mine.state_dict())


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def two_processes():
    torchrun = ("-m", "torch.distributed.run", "--nproc-per-node", "2")
    return (*torchrun, "--master-port", str(free_port()), "-m", "partita")


@pytest.mark.slow
def test_two_processes_are_one_with_their_batches_together(started, train, tmp_path):
    sizes = {"dropout": 0, "clip_norm": 1.0, "ema_decay": 0.9}
    assert train("-q", "--out", "one", **sizes).status == 0
    process = started("--out", "two", launcher=two_processes(), **{**sizes, "epochs": 1})
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.splitlines()[0].startswith("two/model.safetensors: epoch 1, valid loss ")
    assert len(out.splitlines()) == 3  # one process speaks for both
    assert len(err.splitlines()) == 1
    process = started("--out", "two", "--resume", launcher=two_processes(), **sizes)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert_equal(weights(tmp_path / "one"), weights(tmp_path / "two"), rtol=1e-4, atol=1e-5)
    for first, second in zip(losses(tmp_path / "one"), losses(tmp_path / "two"), strict=True):
        assert second == pytest.approx(first, rel=1e-4)


def test_what_training_needs(train, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    refused(train(), 2, 'training needs Lightning Fabric: pip install "partita[train]"')


@pytest.fixture
def sources(album, tmp_path):
    """A folder a source, with files that make no songs."""
    for source, make, count in (("vocals", tone, 3), ("drums", noise, 2)):
        (tmp_path / "own" / source).mkdir(parents=True)
        for seed in range(count):
            path = tmp_path / "own" / source / f"{source[0]}{seed}.wav"
            soundfile.write(path, make(seed, 1.0 + seed), RATE)
    return tmp_path / "own"


def test_unrelated_files_of_each_source_are_mixed_at_random(train, sources, tmp_path):
    result = train(data=sources, valid_tracks=1)
    assert result.status == 0
    assert "each folder is a source with unrelated files" in result.err
    assert "silence" not in result.err
    told = json.loads((tmp_path / "runs/umx-tiny/run.json").read_text())
    assert "random song 1" in json.dumps(told)
    rows = read_losses(tmp_path / "runs/umx-tiny/losses.csv")
    assert all(row["valid"] > 0 for row in rows)
    refused = train("--overwrite", data=sources, remix=0.5)
    assert refused.status == 2
    assert "--set remix=1" in refused.err


def test_the_layout_can_be_named(train, sources, tmp_path):
    for old, new in (("vocals", "theremin"), ("drums", "kazoo")):
        (sources / old).rename(sources / new)
    result = train("--layout", "unaligned", data=sources, sources="theremin,kazoo", valid_tracks=0)
    assert result.status == 0
    assert train("--layout", "none", data=sources).status == 2
