"""Entry points: commands and song sources of other distributions."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from partita.cli.flags import _flags, with_flags
from partita.errors import UsageError
from partita.models import create_model
from partita.training.recipes import load_recipe
from partita.training.song_sources import open_song_source

ROOT = Path(__file__).resolve().parents[2]
MODULE = '''
def greet(name: str = "you") -> int:
    """Greet somebody."""
    print("hello", name)
    return 0


def songs(path, recipe, model):
    return path.name, recipe.model, model.sources
'''


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A distribution with two commands and a song source, one of whose commands is broken."""
    site = tmp_path / "site"
    info = site / "mine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[partita.commands]\ngreet = mine_plugin:greet\ndata.greet = mine_plugin:greet\n"
        "models.broken = mine_plugin:missing\n[partita.song_sources]\nmine = mine_plugin:songs\n"
    )
    (site / "mine_plugin.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "mine_plugin", raising=False)


@pytest.mark.usefixtures("plugin")
def test_commands_of_plugins_are_commands_like_others(run):
    for words in (["greet"], ["data", "greet"]):
        assert run(*words, "--name", "all").out == "hello all\n"
        listed = run(*words[:-1], "--help").out
        assert any(line.split() == ["greet", "Greet", "somebody."] for line in listed.splitlines())
    assert run("data", "greet", "--nme", "all").err.startswith("partita: No such option: --nme")
    assert "unknown command 'data.greet'" in run("data.greet").err


@pytest.mark.usefixtures("plugin")
def test_a_plugin_that_cannot_be_imported_is_one_line(run):
    result = run("models", "broken")
    assert result.status == 2
    assert result.err.startswith("partita: models broken: mine cannot be imported: ")
    assert len(result.err.splitlines()) == 1
    _flags.cache_clear()
    assert with_flags("`segment_s` of `nothing`") == "--segment of `nothing`"
    _flags.cache_clear()


@pytest.mark.usefixtures("plugin")
def test_songs_of_plugins(tmp_path):
    recipe = load_recipe("umx-tiny")
    model = create_model(recipe.model, {**recipe.config, "sources": ["a", "b"]})
    path = tmp_path / "some.mine"
    assert open_song_source(path, None, recipe, model) == ("some.mine", recipe.model, ("a", "b"))
    with pytest.raises(UsageError, match="has no subset 'test'"):
        open_song_source(path, "test", recipe, model)
    with pytest.raises(UsageError, match="has no layout 'csv'"):
        open_song_source(path, None, recipe, model, layout="csv")


@pytest.mark.slow
def test_without_partita_synthesis_one_line_says_how_to_get_it(tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(("partita_synthesis", "_editable_impl_partita_synthesis")):
            (site / path.name).symlink_to(path)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{site}"}

    def partita(*words):
        command = [sys.executable, "-S", "-m", "partita", *words]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    (tmp_path / "songs.toml").write_text("pool_songs = 1\n")
    needs = 'needs partita-synthesis: pip install "partita[synthesis]"'
    for words, begin in (
        (["data", "synthesize", "--out", "songs"], "data synthesize"),
        (["train", "umx-tiny", "--data", "songs.toml"], "songs.toml"),
    ):
        done = partita(*words)
        assert (done.returncode, done.stderr) == (2, f"partita: {begin} {needs}\n"), done.stderr
    assert "synthesize" not in partita("data", "--help").stdout
