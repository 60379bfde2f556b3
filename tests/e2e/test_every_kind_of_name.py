"""``partita models show``, ``fetch``, ``export`` and ``import`` with every kind of name."""

import json

import pytest

from common import small_checkpoint
from demucs4_files import FOUR, SMALL, random_state, write_bag, write_network
from demucs_files import write_package
from msst_files import small_model, write_msst


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Checkpoints and a bag in the current folder; no cache."""
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "cache"))
    write_msst(tmp_path, small_model(residual=True), "first")
    write_msst(tmp_path, small_model("mdx23c"), "second")
    small_checkpoint(tmp_path / "own.safetensors")
    for seed in range(2):
        write_network(tmp_path / f"bag/aaaa000{seed}.safetensors", seed=seed)
    write_bag(tmp_path / "bag/mine.yaml", ["aaaa0000", "aaaa0001"])
    return tmp_path


def shown(run, name):
    result = run("models", "show", name, "--json")
    assert result.status == 0, result.err
    assert run("models", "show", name).out.splitlines()[0].split() == ["name", name]
    return json.loads(result.out)


def test_show_a_checkpoint(run, files):
    facts = shown(run, "first.ckpt")
    assert (facts["model"], facts["sources"]) == ("bs-roformer", ["vocals", "other"])
    assert (facts["sample_rate"], facts["channels"]) == (44100, 2)
    assert (facts["licence"], facts["commercial_use"]) == ("unknown", None)
    assert facts["configuration"] == "first.yaml"
    own = shown(run, "own.safetensors")
    assert own["parameters"] > 0
    assert "licence" not in own  # it is its owner's to say
    (files / "first.yaml").rename(files / "other.yaml")
    assert shown(run, "first.ckpt@other.yaml")["configuration"] == "other.yaml"


@pytest.mark.slow
def test_show_chains_ensembles_and_bags(run, files):
    facts = shown(run, "first.ckpt:2,second.ckpt")
    assert facts["members"] == {"first.ckpt": [2.0], "second.ckpt": [1.0]}
    assert [part["model"] for part in facts["parts"]] == ["bs-roformer", "mdx23c"]
    facts = shown(run, "first.ckpt:other+hpss")
    assert facts["sources"] == ["vocals", "harmonic", "percussive", "residual"]
    assert [part["name"] for part in facts["parts"]] == ["first.ckpt", "hpss"]
    for name in ("bag", "bag/mine.yaml"):
        facts = shown(run, name)
        assert facts["sources"] == FOUR
        assert len(facts["members"]) == len(facts["parts"]) == 2


def test_signatures_of_demucs(run, files):
    assert shown_name(run, "955717e8") == "htdemucs"
    facts = json.loads(run("models", "show", "955717e8,umxhq:2", "--json").out)
    assert facts["members"] == {"htdemucs": [1.0], "umxhq": [2.0]}
    assert facts["commercial_use"] is False


def test_signatures_in_other_commands(run, files, tmp_path):
    free = ("--commercial-only",)
    for arguments in (
        ("benchmark", "--data", files, "--model", "955717e8"),
        ("train", "htdemucs-tiny", "--data", files, "--from", "955717e8", "-o", "run"),
        ("models", "export", "955717e8", "-o", "out"),
        ("models", "fetch", "955717e8"),
    ):
        result = run(*arguments, *free)
        assert (result.status, result.err.count("\n")) == (2, 1)
        assert "htdemucs is not clearly free for commercial use" in result.err


def shown_name(run, name):
    return json.loads(run("models", "show", name, "--json").out)["name"]


@pytest.mark.parametrize("command", [("show",), ("fetch",), ("export", "-o", "out")])
@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("nothere", 2, "'nothere'; partita models lists the known ones"),
        ("nothere.ckpt", 1, "nothere.ckpt: no such checkpoint"),
        ("nothere.safetensors", 1, "nothere.safetensors: no such checkpoint"),
        ("hpss:2", 2, "hpss:2: a model is missing behind :2"),
        ("hpss,nothere.th", 1, "nothere.th: no such checkpoint"),
    ],
)
def test_what_is_not_there(run, files, command, name, status, message):
    verb, *options = command
    result = run("models", verb, name, *options)
    if verb == "export" and "," in name:
        status, message = 2, "is an ensemble of models: name one of them, hpss or nothere.th"
    assert (result.status, result.err.count("\n"), result.out) == (status, 1, "")
    assert message in result.err
    assert not (files / "out").exists()


def test_fetch_checks_what_is_here(run, files):
    names = ("first.ckpt", "own.safetensors", "bag", "hpss,first.ckpt")
    result = run("models", "fetch", *names)
    assert result.status == 0, result.err
    assert sorted(line.split(": ")[1] for line in result.out.splitlines()) == [
        "bag/aaaa0000.safetensors",
        "bag/aaaa0001.safetensors",
        "first.ckpt",
        "has no weights",
        "own.safetensors",
    ]
    (files / "first.ckpt").write_bytes(b"damaged")
    assert run("models", "fetch", "first.ckpt").status == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bag", "bag is a bag of models: name one of them, bag/aaaa0000.safetensors@"),
        ("bag/mine.yaml", "bag/mine.yaml is a bag of models"),
        ("first.ckpt+hpss", "is a chain of models: name one of them, first.ckpt or hpss"),
        ("first.ckpt,second.ckpt", "is an ensemble of models: name one of them, first.ckpt or"),
    ],
)
def test_only_single_models_are_exported(run, files, name, message):
    result = run("models", "export", name, "-o", "out")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert message in result.err
    assert not (files / "out").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bag", "bag is a bag of models: name one of them"),
        ("bag/mine.yaml", "bag/mine.yaml is a bag of models: name one of them"),
        ("hf:a/b", "hf:a/b is not a local file: use it with --model"),
        ("https://a.org/b.ckpt", "https://a.org/b.ckpt is not a local file"),
        ("nothere.ckpt", "nothere.ckpt: no such checkpoint"),
    ],
)
def test_what_is_not_imported(run, files, name, message):
    result = run("models", "import", name, "--name", "mine")
    assert (result.status, result.err.count("\n")) == (1 if "nothere" in name else 2, 1)
    assert message in result.err
    assert not (files / "cache").exists()


@pytest.mark.slow
def test_checkpoints_in_one_folder(run, files, write_song, song):
    path = write_song("short.wav", song[:, :4410])
    for name in ("first.ckpt,second.ckpt:2", "first.ckpt:other+second.ckpt:vocals+hpss"):
        result = run("separate", path, "-n", name)
        assert result.status == 0, result.err
    config = ("--config", "second.yaml")
    result = run("separate", path, "-n", "first.ckpt,second.ckpt", *config)
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "write CHECKPOINT@FILE.yaml for each" in result.err
    result = run("separate", path, "-n", "first.ckpt@first.yaml,second.ckpt@second.yaml")
    assert result.status == 0, result.err


@pytest.mark.parametrize("command", [("models", "show"), ("models", "fetch"), ("separate",)])
def test_folders(run, files, write_song, song, command):
    (files / "none").mkdir()
    (files / "none/state.pt").touch()  # of a training that has no weights yet
    (files / "several").mkdir()
    for name in ("a.ckpt", "b.th"):
        (files / "several" / name).touch()
    songs = ["--model"] if command == ("separate",) else []
    path = [write_song("short.wav", song[:, :4410])] if songs else []
    for name, message in (
        ("none", "none: no checkpoint in this folder"),
        ("several", "several: several checkpoints in this folder (a.ckpt, b.th): name one of"),
        ("first.ckpt,none", "none: no checkpoint in this folder"),
    ):
        result = run(*command, *path, *songs, name)
        assert (result.status, result.err.count("\n")) == (1, 1)
        assert message in result.err
    (files / "several" / "a.ckpt").unlink()
    write_package(files / "several/b.th", "HTDemucs", kwargs=SMALL, state=random_state())
    assert run(*command, *path, *songs, "several").status == 0  # it describes itself
