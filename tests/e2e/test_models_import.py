"""``partita models import``: other programs' checkpoints become names of one's own."""

import json

import pytest
import torch
from safetensors.torch import load_file

from common import little_room, small_checkpoint
from demucs4_files import write_network
from demucs_files import QUANTISED
from msst_files import SMALL, msst_config, msst_state, small_model, write_msst, write_yaml
from partita.separation.separator import Separator
from partita.weights.cards import CARDS
from partita.weights.store import load_model


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """A cache of one's own."""
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "imported"


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint of MSST's, its YAML file beside it; 20 kB."""
    return write_msst(tmp_path, small_model(), "their model")


def test_a_checkpoint_gets_a_name(run, checkpoint, write_song, tmp_path, cache):
    result = run("models", "import", checkpoint, "--name", "Mine", "--licence", "MIT")
    assert result.status == 0, result.err
    first, second = result.out.replace("\n    ", " ").splitlines()
    assert first == f"Mine: bs-roformer (vocals, other), {cache / 'Mine.safetensors'}"
    assert second == "licence: MIT"
    expected = load_model(str(checkpoint))
    checkpoint.unlink()
    found = load_model("Mine")
    assert found.config == expected.config
    for name, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name
    assert Separator("Mine").sources == ("vocals", "other")
    separated = run("separate", "--model", "Mine", "--commercial-only", write_song("song.wav"))
    assert separated.status == 0, separated.err
    assert (tmp_path / "separated" / "Mine" / "song" / "vocals.wav").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("family", SMALL)
def test_every_family(run, tmp_path, family):
    model = small_model(family)
    torch.save(msst_state(model), tmp_path / "a.ckpt")
    write_yaml(tmp_path / "other place.yaml", msst_config(model))
    (tmp_path / "several").mkdir()
    (tmp_path / "a.ckpt").rename(tmp_path / "several" / "a.ckpt")
    files = ("other place.yaml", "several/a.ckpt")
    assert run("models", "import", *files, "--name", "mine").status == 0
    found, expected = load_model("mine").state_dict(), model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_it_is_listed_shown_and_removed(run, checkpoint, cache):
    facts = json.loads(run("models", "import", checkpoint, "--name", "mine", "--json").out)
    assert facts["name"] == "mine"
    assert facts["licence"] == "unknown"
    assert facts["commercial_use"] is None
    assert list(facts["made_from"]) == ["their model.ckpt", "their model.yaml"]
    listed = {each.get("name"): each for each in json.loads(run("models", "list", "--json").out)}
    assert listed["mine"] == facts == json.loads(run("models", "show", "mine", "--json").out)
    _, _, table = run("models").out.partition("imported by you")
    assert table.splitlines()[1].split() == ["mine", "vocals,", "other", "unknown", "unknown"]
    shown = run("models", "show", "mine").out.splitlines()
    assert ["imported", "yes"] in [line.split() for line in shown]
    assert run("models", "fetch", "mine").out == f"mine: {cache / 'mine.safetensors'}\n"
    assert "did you mean mine?" in run("models", "show", "mime").err
    assert run("models", "remove", "mine").out == f"mine: removed {cache / 'mine.safetensors'}\n"
    assert "imported by you" not in run("models").out
    gone = run("models", "remove", "mine")
    assert (gone.status, gone.err) == (
        2,
        "partita: unknown imported model 'mine'; none are known\n",
    )


def test_what_partita_wrote_itself(run, tmp_path):
    """Licences stay what they were; a name that was imported can be imported again."""
    small_checkpoint(tmp_path / "own.safetensors")
    assert run("models", "import", "own.safetensors", "--name", "one").status == 0
    assert run("models", "import", "one", "--name", "two", "--licence", "CC0-1.0").status == 0
    assert run("models", "import", "two", "--name", "three").status == 0
    run("models", "export", "two", "--out", "folder")
    files = ("folder/model.safetensors", "folder/config.json")
    assert run("models", "import", *files, "--name", "four").status == 0
    assert load_model("four").sources == ("a", "b")
    names = ("one", "two", "three", "four")
    facts = [json.loads(run("models", "show", name, "--json").out) for name in names]
    assert [each["licence"] for each in facts] == ["unknown", *["CC0-1.0"] * 3]
    assert list(facts[2]["made_from"]) == ["own.safetensors"]


@pytest.mark.parametrize("without", [[], [".json"]])
def test_files_of_demucs(run, tmp_path, without):
    """Its 4.1.0 keeps JSON beside safetensors, older ones are packages."""
    path = write_network(tmp_path / "955717e8.safetensors")
    files = [each for each in (path, path.with_suffix(".json")) if each.suffix not in without]
    assert run("models", "import", *files, "--name", "one").status == 0
    assert load_model("one").registry_name == "htdemucs"
    quantised = run("models", "import", QUANTISED[0], "--name", "two")
    assert quantised.status == 0, quantised.err
    expected = load_file(QUANTISED[0].with_suffix(".safetensors"))
    found = load_model("two").state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(("licence", "use"), [("", None), ("Apache-2.0", True)])
def test_commercial_only(run, checkpoint, monkeypatch, write_song, licence, use):
    stated = ("--licence", licence) if licence else ()
    monkeypatch.setenv("PARTITA_COMMERCIAL_ONLY", "1")
    assert run("models", "import", checkpoint, "--name", "mine", *stated).status == 0
    result = run("separate", "--model", "mine", write_song())
    assert result.status == (0 if use else 2)
    if not use:
        assert "mine is not clearly free for commercial use: its licence is unknown" in result.err


@pytest.mark.parametrize("name", ["../up", "x.CKPT"])
def test_names_that_cannot_be(run, checkpoint, name, cache):
    result = run("models", "import", checkpoint, f"--name={name}")
    assert result.status == 2
    (line,) = result.err.splitlines()
    assert "a name has up to 64 letters" in line
    assert not cache.exists()


@pytest.mark.parametrize("name", ["Four-Stems", "UMX-paper", "MINE"])
def test_names_that_are_taken(run, checkpoint, name, cache):
    assert run("models", "import", checkpoint, "--name", "Mine").status == 0
    whole = (cache / "Mine.safetensors").read_bytes()
    result = run("models", "import", checkpoint, "--name", name)
    assert result.status == 2
    assert ("is imported already" if name.lower() == "mine" else "is taken") in result.err
    assert len(result.err.splitlines()) == 1
    assert (cache / "Mine.safetensors").read_bytes() == whole
    assert not {each.name for each in cache.iterdir()} - {"Mine.safetensors", ".lock"}


def test_folders_of_that_name_do_not_matter(run, checkpoint, tmp_path):
    """Be they of a training, a checkpoint with its YAML file, or a bag."""
    run("models", "import", checkpoint, "--name", "mine")
    for kind in ("training", "checkpoint", "bag"):
        folder = tmp_path / kind
        folder.mkdir()
        small_checkpoint(folder / "model.safetensors")
        if kind == "checkpoint":
            write_msst(folder, small_model("mdx23c"))
        if kind == "bag":
            (folder / "bag.yaml").write_text("models: [model]")
        folder.rename(tmp_path / "mine")
        assert Separator("mine").sources == ("vocals", "other"), kind
        assert load_model("mine").registry_name == "bs-roformer", kind
        (tmp_path / "mine").rename(tmp_path / f"no {kind}")


def test_a_card_that_came_later_wins(run, checkpoint, monkeypatch):
    run("models", "import", checkpoint, "--name", "mine")
    monkeypatch.setitem(CARDS, "mine", CARDS["hpss"])
    assert load_model("mine").registry_name == "hpss"
    assert "mine (hidden by a card)" in run("models").out
    assert run("models", "remove", "mine").status == 0


FILES = {
    "nothing there": (["no.ckpt"], 1, "no such checkpoint"),
    "a card": (["umxhq"], 2, "umxhq is not a file: it is the name"),
    "two": (["their model.ckpt", "their model.ckpt"], 2, "2 checkpoints and 0 configurations"),
    "a YAML file alone": (["their model.yaml"], 2, "0 checkpoints and 1 configurations"),
    "a folder of two": (["."], 1, "several checkpoints in this folder (text.ckpt, their"),
    "a song": (["song.wav"], 1, "no such checkpoint"),
    "not what it says": (["text.ckpt"], 1, "not a file of tensors"),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_that_are_none(run, checkpoint, write_song, tmp_path, kind, cache):
    files, status, fault = FILES[kind]
    write_song("song.wav")
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    result = run("models", "import", *files, "--name", "mine")
    assert result.status == status
    (line,) = result.err.splitlines()
    assert fault in line
    assert not cache.exists()


def test_weights_that_are_nan(run, tmp_path, cache):
    state = msst_state(small_model())
    next(iter(state.values()))[:] = torch.nan
    checkpoint = write_msst(tmp_path, small_model(), state=state)
    result = run("models", "import", checkpoint, "--name", "mine")
    assert result.status == 1
    assert "are NaN or infinite" in result.err
    assert not cache.exists()


def test_a_full_disk(run, checkpoint, cache):
    """A limit on the size of files acts like one."""
    with little_room(10_000):
        result = run("models", "import", checkpoint, "--name", "mine")
    assert result.status == 1
    (line,) = result.err.splitlines()
    assert "cannot be written" in line
    assert "PARTITA_HOME" in line
    assert [each.name for each in cache.iterdir()] == [".lock"]
    assert run("models", "import", checkpoint, "--name", "mine").status == 0


def test_licences_that_are_none(run, checkpoint):
    for licence in (" ", "x" * 201, "a\x1b[31mb"):
        result = run("models", "import", checkpoint, "--name", "mine", "--licence", licence)
        assert result.status == 2
        assert "licence" in result.err.lower()


def test_damaged_ones_are_listed_and_can_be_removed(run, checkpoint, cache):
    run("models", "import", checkpoint, "--name", "mine")
    (cache / "mine.safetensors").write_bytes(b"damaged")
    assert "the file is damaged" in run("models").out.replace("\n", " ")
    assert run("models", "list", "--json").status == 0
    assert run("models", "remove", "mine").status == 0
