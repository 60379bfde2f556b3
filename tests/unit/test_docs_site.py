"""``scripts/docs_site``: the site builds without a warning, and its references are complete."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from common import load_script
from partita.cli.app import app
from partita.cli.commands import takes_value
from partita.mixing import recipe as mixing
from partita.training import recipes as training
from partita.weights.cards import CARDS, list_weights

ROOT = Path(__file__).resolve().parents[2]
SITE = "scripts/docs_site"


@pytest.fixture
def reference(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    return load_script("reference", monkeypatch, SITE)


def commands():
    """Yield every command with its path."""
    for name, command in typer.main.get_command(app).commands.items():
        inner = getattr(command, "commands", None)
        yield from (
            ((f"{name} {each}", found) for each, found in inner.items())
            if inner
            else [(name, command)]
        )


def build(folder):
    pytest.importorskip("sphinx", reason="Sphinx is not installed: make docs")
    pytest.importorskip("myst_parser", reason="myst-parser is not installed: make docs")
    pytest.importorskip("pydata_sphinx_theme", reason="the theme is not installed: make docs")
    return subprocess.run(
        [sys.executable, SITE, folder], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_folder_that_is_no_site_is_kept(tmp_path):
    (tmp_path / "song.mp3").write_bytes(b"mine")
    found = build(tmp_path)
    assert (found.stderr, found.returncode) == (
        f"{tmp_path} is no site: it is kept; name another folder\n",
        2,
    )
    assert (tmp_path / "song.mp3").exists()


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path, reference):
    found = build(tmp_path)
    assert (found.stderr, found.returncode) == ("", 0)
    surface = reference.public_surface
    for module in surface.PUBLIC:
        page = (tmp_path / f"reference/python/{module}.html").read_text()
        for name in surface.public_names(module):
            assert f'id="{module}.{name}"' in page
    home = (tmp_path / "index.html").read_text()
    assert 'href="docs/start/install.html"' in home
    assert (tmp_path / "docs/guide/separate.html").is_file()
    masks = (tmp_path / "docs/concepts/masks.html").read_text()
    assert masks.count("<audio") == len([*(tmp_path / "docs/concepts").glob("*.mp3")]) > 0


@pytest.mark.slow
def test_links_of_the_gathered_pages_lead_into_the_site(tmp_path, reference, monkeypatch):
    load_script("pages", monkeypatch, SITE).gather(tmp_path, reference.pages())
    gathered = [*tmp_path.rglob("*.md")]
    assert {path.name for path in (ROOT / "docs").rglob("*.md")} <= {each.name for each in gathered}
    for page in gathered:
        text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.S)
        for link in re.findall(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)", text):
            assert re.match(r"\w+:", link) or (page.parent / link).is_file(), (page, link)


def test_every_option_is_in_the_reference(reference):
    page = reference.commands()
    for path, command in commands():
        section = page.split(f"\n## partita {path}\n")[1].split("\n## ")[0]
        hidden = {name for each in command.params if each.hidden for name in each.opts}
        for option in {*takes_value(command)} - hidden - {"--help", "-h"}:
            assert option in section


def test_every_set_of_weights_and_every_recipe_is_in_the_reference(reference):
    page = reference.weights()
    for name in list_weights():
        assert f"\n### {name}\n" in page
        assert f"| [{name}](#{name.lower()})" in page
        assert CARDS[name].trained_on[:20] in page
    page = reference.recipes()
    assert all(
        f"### {name}\n" in page for place in (mixing, training) for name in place.recipe_names()
    )


def test_broken_links_are_found(tmp_path, monkeypatch):
    links = load_script("links", monkeypatch, SITE)
    (tmp_path / "a.html").write_text(
        '<a href="b.html#here">1</a><a href="b.html#there">2</a><a href="c.html">3</a>'
        '<a href="https://example.org">4</a><script src="https://example.org/x.js"></script>'
    )
    (tmp_path / "b.html").write_text('<p id="here"></p><img src="data:image/png;base64,"/>')
    assert list(links.broken_links(tmp_path)) == [
        "a.html: loads https://example.org/x.js",
        "a.html: b.html#there leads to no place of its page",
        "a.html: c.html leads nowhere",
    ]


@pytest.mark.slow
def test_figures_of_the_concepts(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    script = load_script("concept_pictures", monkeypatch)
    stems = script.song()
    masks = (ROOT / "docs/concepts/masks.md").read_text()
    for name, value in script.mask_scores(stems).items():
        assert f"| {name} | {value:.1f} dB |" in masks
    overlap_add = (ROOT / "docs/concepts/overlap_add.md").read_text()
    for value in script.seam_levels(stems).values():
        assert f"{value:.2f} dB" in overlap_add
    scores = script.metric_scores(stems)
    as_it_is, half, late, inverted = scores.values()
    page = (ROOT / "docs/concepts/scores.md").read_text()
    assert f"Half the level costs {as_it_is[0] - half[0]:.0f} dB of SDR" in page
    assert half[2] == pytest.approx(as_it_is[2], abs=0.01)
    assert max(late) < 0
    assert inverted[2] == pytest.approx(as_it_is[2], abs=0.01)
