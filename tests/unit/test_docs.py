"""Documentation: links lead somewhere, commands parse, the code of how-to pages runs."""

import dataclasses
import re
import shlex
from pathlib import Path

import pytest
import torch
import typer

from partita import Audio
from partita.cli.app import app
from partita.cli.commands import takes_value
from partita.mixing.recipe import load_recipe as load_mix_recipe
from partita.mixing.recipe import recipe_names as mix_recipe_names
from partita.models import _registry, list_models
from partita.training.augmentation import Augmentation
from partita.training.recipes import load_recipe, recipe_names
from partita.weights.cards import CARDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for folder in (ROOT, ROOT / "packages")
    for path in folder.glob("*.md" if folder == ROOT else "**/*.md")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
) + sorted((ROOT / "docs").rglob("*.md"))
CODE = re.compile(r"```.*?```", re.S)
#: In blocks for the terminal, or indented; arguments may go on in a line that is indented further.
COMMAND = re.compile(r"^(?:\$ |    |)(?:\S+ -m )?partita ((?!→).+?)(?:\s+#.*)?$", re.M)
#: Options that no command lists: of other programs, and Typer's own.
ALIASES = {("separate.md", "--mp3"), ("separate.md", "--help")}
#: Files that readers write.
MADE_UP = {"CUT/mine.toml", "entrants.toml", "mine.toml", "songs.toml", "weights/msst_NAME.py"}
LINK = re.compile(r"\]\(([^)\s]+)\)")


def ids(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


def anchors(page):
    """Return what GitHub lets links to a page point to."""
    found, counts = set(), {}
    for title in re.findall(r"^#+ (.+)$", CODE.sub("", page.read_text()), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = counts.get(slug, 0)
        counts[slug] = number + 1
        found.add(f"{slug}-{number}" if number else slug)
    return found


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_links_lead_somewhere(page):
    for link in LINK.findall(CODE.sub("", page.read_text())):
        if re.match(r"\w+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_is_in_the_contents():
    contents = ROOT / "docs/README.md"
    linked = {(contents.parent / link).resolve() for link in LINK.findall(contents.read_text())}
    assert set((ROOT / "docs").rglob("*.md")) - {contents} <= linked


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("models", [card.name for card in CARDS.values() if card.has_weights or card.has_parts]),
        ("architectures", list_models()),
        ("training", recipe_names()),
        ("mix", mix_recipe_names()),
        ("augmentation", [field.name for field in dataclasses.fields(Augmentation)]),
    ],
)
def test_tables_are_complete(page, names):
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / f"docs/guide/{page}.md").read_text(), re.M)
    listed = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    members = {card.name for card in CARDS.values() if card.member_of}
    assert set(names) - members <= listed


def test_modules_of_the_architecture_exist():
    page = (ROOT / "docs/development/architecture.md").read_text()
    rows = re.findall(r"^\| (`[^|]+) \| (.+) \|$", page, re.M)
    assert len(rows) > 10
    source = ROOT / "src/partita"
    for places, contents in rows:
        for place in re.findall(r"`([^`]+)`", places):
            assert (source / place).exists(), place
            if place.endswith(".py"):
                continue
            for name in re.findall(r"`([a-z_]+[/…]?)`", contents):
                pattern = name.rstrip("/").replace("…", "*")
                found = [*(source / place).glob(f"{pattern}.py"), *(source / place).glob(pattern)]
                assert found, (place, name)


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_files_that_are_named_exist(page):
    if page.name == "CHANGELOG.md":  # of earlier days
        return
    package = next(each for each in page.parents if (each / "pyproject.toml").exists())
    places = [ROOT, package, *(package / "src").iterdir(), *(ROOT / "src").iterdir()]
    for name in re.findall(r"(?<![\w./-])((?:[\w-]+/)*\w+\.(?:py|toml))\b", page.read_text()):
        found = [place for place in places if (place / name).exists() or [*place.glob(f"*/{name}")]]
        assert found or name in MADE_UP, name


def commands(page):
    """Return the calls of partita on a page, each as its arguments."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.S)
    text = CODE.sub("", page.read_text())
    blocks += re.findall(r"(?:^    .*\n)+", text, re.M)
    lines = "\n".join(blocks).replace("\\\n", " ")
    return [shlex.split(found) for found in COMMAND.findall(lines)]


HOME = ROOT / "scripts/docs_site/home.md"
WITH_COMMANDS = [page for page in (*PAGES, HOME) if commands(page)]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=ids(WITH_COMMANDS))
def test_commands_parse(page):
    for arguments in commands(page):
        command = typer.main.get_command(app)
        context = command.make_context("partita", list(arguments))
        while hasattr(command, "commands") and (left := _left(context)):
            name, command, left = command.resolve_command(context, left)
            context = command.make_context(name, left, parent=context)


GUIDE = [ROOT / "README.md", *sorted((ROOT / "docs/guide").glob("*.md"))]


def test_options_in_sentences_exist():
    command = typer.main.get_command(app)
    groups = [command, *(each for each in command.commands.values() if hasattr(each, "commands"))]
    every = {option for group in groups for each in group.commands.values() for option in
             takes_value(each)}  # fmt: skip
    named = {
        (page.name, option)
        for page in GUIDE
        for span in re.findall(r"`((?:partita|--)[^`]*)`", CODE.sub("", page.read_text()))
        for option in re.findall(r"(?<!\S)--[a-z][a-z0-9-]+", span)
    }
    assert len(named) > 40
    assert {each for each in named if each[1] not in every} <= ALIASES


def test_unknown_options_do_not_parse():
    context = typer.main.get_command(app).make_context("partita", ["separate", "a", "--nonsense"])
    command = typer.main.get_command(app).commands["separate"]
    with pytest.raises(Exception, match="nonsense"):
        command.make_context("separate", _left(context)[1:], parent=context)


def _left(context):
    """Return the arguments of a group's command: Typer's versions keep them in two places."""
    protected = getattr(context, "_protected_args", None) or getattr(context, "protected_args", [])
    return [*protected, *context.args]


def code(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.S)


@pytest.fixture
def names(monkeypatch, tmp_path, write_song, song):
    """Run the code of a page in a folder with songs; return its names."""
    monkeypatch.setattr(_registry, "_MODELS", dict(_registry._MODELS))
    monkeypatch.chdir(tmp_path)
    for name in ("vocals", "drums"):
        write_song(f"songs/one/{name}.wav", song[:, :4410])
        write_song(f"flat/one-{name}.wav", song[:, :4410])

    def run(page):
        found = {"__name__": page}
        for block in code(page, "python"):
            exec(compile(block, page, "exec", dont_inherit=True), found)
        return found

    return run


def test_add_a_model(names):
    found = names("docs/development/add_a_model.md")
    assert found["estimates"].shape == (1, 4, 2, 44100)
    assert torch.isfinite(found["estimates"]).all()


def test_add_a_metric(names, capsys):
    found = names("docs/development/add_a_metric.md")
    signal = torch.ones(2, 10)
    assert found["level_error_db"](signal, 10 * signal) == pytest.approx(20)
    assert capsys.readouterr().out.count("one ") == 2


def test_add_a_reader(names):
    reading = names("docs/development/add_a_reader.md")["read_flat"](Path("flat"))
    (track,) = reading.tracks
    assert (track.name, list(track.stems)) == ("one", ["vocals", "drums"])


@pytest.mark.slow
def test_python(names, write_song, song, stems, capsys):
    mixture = Audio(torch.from_numpy(song[:, :70000]), 44100)
    mixture.save("song.mp3")
    for name in ("one", "two"):
        write_song(f"album/{name}.wav", song[:, :11025])
    for name, samples in stems.items():
        write_song(f"references/track/{name}.wav", samples[:, :44100])
    found = names("docs/guide/python.md")
    assert [found["result"].status, found["halves"].sources] == ["skipped", ("one", "other")]
    assert Path("stems/four-stems/song/vocals.flac").is_file()
    printed = capsys.readouterr().out
    assert "Audio(2 channels, 1.000 s, 44100 Hz)" in printed
    assert "missing.mp3: no such file" in printed
    assert printed.count(" done ") == 2
    assert printed.count(" skipped ") == 1
    assert len(found["table"]) == 4


@pytest.mark.slow
def test_export(names, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    found = names("docs/guide/export.md")
    assert found["separator"].stems.keys() == {"vocals", "drums", "bass", "other"}
    size, difference, opset = capsys.readouterr().out.split()
    assert int(size) == Path("accompaniment-stems.onnx").stat().st_size
    assert float(difference) < 1e-5
    assert opset == "17"


@pytest.mark.parametrize("page", ["docs/development/add_a_recipe.md", "docs/guide/training.md"])
def test_recipes(page, tmp_path):
    (text,) = code(page, "toml")
    (tmp_path / "mine.toml").write_text(text)
    assert load_recipe(str(tmp_path / "mine.toml")).summary in text


def test_mix_recipes(tmp_path):
    (text,) = code("docs/guide/mix.md", "toml")
    (tmp_path / "mine.toml").write_text(text)
    recipe = load_mix_recipe(str(tmp_path / "mine.toml"))
    assert list(recipe.balance(["vocals", "drums", "bass", "other"])) == [
        *("mix", "rhythm", "bass", "practice_vocals")
    ]


def test_mix(names, write_song, song):
    for stem in ("vocals", "drums", "bass", "other"):
        write_song(f"separated/four-stems/song/{stem}.wav", song[:, :4410])
    assert names("docs/guide/mix.md")["made"].duration_s == 0.1
    assert Path("pack.zip").is_file()
