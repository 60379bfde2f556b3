"""What others rely on changes only together with a line in the changelog."""

import importlib
import re
from pathlib import Path

import pytest

from common import load_script

ROOT = Path(__file__).resolve().parents[2]
ADVICE = """
The public surface differs from tests/unit/public_surface.txt, and CHANGELOG.md does not say so:
{lines}
Was that meant? Then name each in a new entry of CHANGELOG.md under "Unreleased", in backticks: the
option beside its command (`partita mix --gain`, or both in one entry), the function, the method as
`Audio.save`.
docs/reference/stability.md says what may change in which version. When a release is made:
python scripts/public_surface.py --write
"""


@pytest.fixture
def script(monkeypatch):
    return load_script("public_surface", monkeypatch)


def subject(line):
    """Return what a line of the surface is about, in words that an entry has to have."""
    owner, item = line.split(" | ")
    short = owner.removeprefix("$ ").rpartition(".")[2]
    if item == "command" or item.startswith("class("):
        return (short,)
    name = "exit status" if item.startswith("exit status:") else re.match(r"[\w-]+", item)[0]
    if owner.startswith("$ "):
        return (short, name)
    return (f"{short}.{name}",) if short[0].isupper() else (name,)


def covered(line, others, changelog):
    """Return whether the changelog names a line that ``others``, the other side, lacks.

    Naming a command or a class is enough where it is new or gone itself.
    """
    words = subject(line)
    owner = line.split(" | ")[0]
    if not any(other.startswith(f"{owner} | ") for other in others):
        words = (words[0].partition(".")[0],)
    return any(
        all(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", entry) for word in words)
        for entry in changelog
        if "`" in entry
    )


def unnamed(record, now, entries):
    """Return the lines that differ and that no new entry names: gone with −, new with +.

    Entries that were there when the surface was recorded tell of earlier changes.
    """
    told, before, now = set(record[0].split()), set(record[1:]), set(now)
    new = [entry for checksum, entry in entries.items() if checksum not in told]
    gone = [f"- {line}" for line in sorted(before - now) if not covered(line, now, new)]
    return gone + [f"+ {line}" for line in sorted(now - before) if not covered(line, before, new)]


@pytest.mark.slow
def test_changes_are_in_the_changelog(script):
    entries = script.changelog_entries((ROOT / "CHANGELOG.md").read_text())
    lines = unnamed(script.RECORD.read_text().splitlines(), script.surface(), entries)
    if lines:
        pytest.fail(ADVICE.format(lines="\n".join(lines)), pytrace=False)


@pytest.mark.slow
def test_what_the_pages_import_is_public(script):
    public = {
        id(getattr(importlib.import_module(module), name))
        for module in script.PUBLIC
        for name in script.public_names(module)
    }
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    imported = {
        (module, name.strip())
        for page in pages
        for module, names in re.findall(
            r"^from (partita(?:\.\w+)*) import (.+)$", page.read_text(), re.M
        )
        for name in names.strip("()").split(",")
    }
    assert len(imported) > 15
    for module, name in imported:
        found = getattr(importlib.import_module(module), name)
        assert id(found) in public, (
            f"{module}.{name}: add it to PUBLIC of scripts/public_surface.py"
        )


SURFACE = (
    "$ partita mix | command",
    "$ partita mix | --gain VALUE several",
    "$ partita mix | exit status: 0 all done, 1 some song failed",
    "partita.Audio | class(object)(samples)",
    "partita.Audio | save(self, path)",
    "partita | mix(song)",
)


@pytest.mark.parametrize(
    ("before", "after", "entry"),
    [
        ("--gain VALUE several", "--gain VALUE", "`partita mix`: one `--gain` only"),
        ("$ partita mix | --gain VALUE several", None, "`--gain` of `partita mix` is gone"),
        ("1 some song failed", "3 some song failed", "`partita mix` has another exit status"),
        ("save(self, path)", "save(self, path, bits)", "`Audio.save` takes `bits`"),
        ("partita.Audio | save(self, path)", None, "`Audio.save` is gone"),
        ("mix(song)", "mix(folder)", "`mix` takes a folder"),
    ],
)
def test_a_change_needs_an_entry(before, after, entry, script):
    changed = [
        line.replace(before, after or "") for line in SURFACE if after is not None or line != before
    ]
    entries = script.changelog_entries(f"## Unreleased\n\n- {entry}.\n\n## 0.1.0\n")
    assert unnamed(["", *SURFACE], changed, entries) == []
    earlier = f"CHANGELOG.md | {' '.join(entries)}"
    assert unnamed([earlier, *SURFACE], changed, entries)
    for other in ("- `--gains` of `partita mixed`, `Audio.saved`, `mixer`.", "", "- nothing"):
        entries = script.changelog_entries(f"## Unreleased\n\n{other}\n\n## 0.1.0\n- {entry}\n")
        assert unnamed(["", *SURFACE], changed, entries)


def test_a_new_command_and_a_new_class_cover_what_they_have(script):
    new = [
        *SURFACE,
        "$ partita sing | command",
        "$ partita sing | --loud flag",
        "partita.Voice | class(object)()",
        "partita.Voice | sing(self)",
    ]
    entries = script.changelog_entries("## Unreleased\n- `partita sing`.\n- `Voice`.\n")
    assert unnamed(["", *SURFACE], new, entries) == []
    assert unnamed(["", *new], SURFACE, entries) == []
    entries = script.changelog_entries("## Unreleased\n- `Voice`.\n")
    assert len(unnamed(["", *SURFACE], new, entries)) == 2


def test_no_change_needs_nothing():
    assert unnamed(["", *SURFACE], SURFACE, {}) == []
