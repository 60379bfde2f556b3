import ast
import functools
import logging
import re
from pathlib import Path

import pytest

import partita
from partita.cli.console import ProgressDisplay, print_error, set_up_logging
from partita.cli.flags import with_flags

FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
#: Of pip and npm, which the library runs.
OF_OTHERS = {
    *("--quiet", "--no-input", "--disable-pip-version-check", "--no-color", "--no-deps"),
    *("--only-binary", "--dest", "--ignore-scripts", "--loglevel", "--version"),
}
ROOT = Path(partita.__file__).parent
PLUGIN = ROOT.parents[1] / "packages/partita-synthesis/src"
SOURCES = [
    *(path for path in ROOT.rglob("*.py") if "cli" not in path.relative_to(ROOT).parts),
    *(path for path in PLUGIN.rglob("*.py") if path.name != "command.py"),
]


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("`segment_s` 0.05 is too short", "--segment 0.05 is too short"),
        ("`two_stems` and `stems`", "--two-stems and --stems"),
        ('`device="cpu"` has more', "--device cpu has more"),
        ("`keep_rate=True` keeps it", "--keep-rate keeps it"),
        ("`weights`, `settings`, `sample_rate`", "--from, --set, --rate"),
        ("`logging.DEBUG` tells more", "--verbose tells more"),
        (
            "`no_such_thing` stays, as does a `b c.wav`",
            "`no_such_thing` stays, as does a `b c.wav`",
        ),
    ],
)
def test_parameters_become_flags(message, shown):
    assert with_flags(message) == shown


@functools.cache
def texts(path):
    """Return the texts of a file, and whether each is a docstring."""
    return list(found_texts(path))


def found_texts(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    stated = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (p.value if isinstance(p, ast.Constant) else "X" for p in node.values)
            yield "".join(map(str, parts)), False
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, id(node) in stated


def test_no_text_of_the_library_holds_a_flag():
    found = {(path.name, flag) for path in SOURCES for text, _ in texts(path)
             for flag in FLAG.findall(text)}  # fmt: skip
    assert {each for each in found if each[1] not in OF_OTHERS} == set()
    assert len(found) == len(OF_OTHERS)


def test_all_parameters_in_messages_have_flags_or_are_of_python_alone():
    named = {
        name
        for path in SOURCES
        for text, is_docstring in texts(path)
        if not is_docstring
        for name in re.findall(r"`([a-zA-Z][\w.]*)(?:=[^`]*)?`", text)
    }
    assert len(named) > 30
    stays = {name for name in named if with_flags(f"`{name}`").startswith("`")}
    assert stays == {"X"}  # of a page for the web, and names that are filled in


def test_wherever_messages_are_printed(capsys):
    print_error("`out` is needed")
    set_up_logging(verbose=False, quiet=False)
    logging.getLogger("partita.somewhere").warning("`resume=True` goes on")
    with ProgressDisplay(enabled=False) as display:
        display.print("`jobs` is 3")
    printed = capsys.readouterr()
    assert printed.err == "partita: --out is needed\npartita: --resume goes on\n"
    assert printed.out == "--jobs is 3\n"
