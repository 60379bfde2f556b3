"""Gather the pages of the site: the repository's own, and an index for each section.

Pages keep their paths, so that links between them go on working. Sections and their pages are those
of ``docs/README.md``, to which the generated references are added.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONTENTS = ROOT / "docs/README.md"
#: Folder below the sources whose files go to the site as they are.
EXTRA = "extra"
_SOUND = re.compile(r"\[[^]]*\]\(([^)\s]+\.mp3)\)")
_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_ENTRY = re.compile(r"\[[^]]+\]\(([^)\s]+)\)(?:: (.+))?")
_CODE = re.compile(r"(```.*?```)", re.S)
#: First word of a section of the contents → its path and its title on the site.
_SECTIONS = {
    "Start": ("start", "Start"),
    "Guide": ("how_to", "How to"),
    "Concepts": ("concepts", "Concepts"),
    "Reference": ("reference", "Reference"),
    "Research": ("research", "Research log"),
    "Development": ("development", "Development"),
}
#: Pages of a section that the contents do not list, in front of the others → what they are.
_MORE = {
    "start": {"README.md": "what partita does, and how well"},
    "reference": {
        "reference/commands.md": "every command, option and exit status",
        "reference/python.rst": "every public name",
        "reference/weights.md": "all weights: licence, scores, speed, memory, where they come from",
        "reference/recipes.md": "the files of trainings and mixes that come with partita",
        "CHANGELOG.md": "what is new",
    },
    "development": {"CONTRIBUTING.md": "tests, checks, rules"},
}
_TITLES = {"README.md": "Overview"}


def gather(folder: Path, generated: Mapping[str, str]) -> None:
    """Write all pages of the site, and the files that they link to, into an empty folder.

    Parameters
    ----------
    folder : Path
    generated : mapping of str to str
        Path below the folder → text of pages that are made of the code.
    """
    for name, text in generated.items():
        _write(folder / name, text)
    for section, (title, names) in sections().items():
        for name in names:
            if name not in generated:
                _write(folder / name, _linked(ROOT / name, folder))
        _write(folder / f"{section}.md", _index(title, names, folder))
    home = (Path(__file__).parent / "home.md").read_text(encoding="utf-8")
    _write(folder / "index.md", home + _toctree([f"{section}.md" for section in sections()]))


def sections() -> dict[str, tuple[str, dict[str, str]]]:
    """Return the path of each section, its title, and its pages with a line on each."""
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for block in CONTENTS.read_text(encoding="utf-8").split("\n## ")[1:]:
        section, title = _SECTIONS[re.split(r"\W", block, maxsplit=1)[0]]
        listed = {
            str((CONTENTS.parent / link).resolve().relative_to(ROOT)): text
            for link, text in _ENTRY.findall(block)
        }
        found[section] = (title, {**_MORE.get(section, {}), **listed})
    return found


def _linked(page: Path, folder: Path) -> str:
    """Return a page whose links lead into the site, with players; copy the files it links to."""
    root = Path(*[".."] * (len(page.relative_to(ROOT).parts) - 1))

    def replaced(match: re.Match[str]) -> str:
        target = match[2]
        if re.match(r"\w+:", target):
            return match[0]
        path = (page.parent / target).resolve()
        if path == CONTENTS:
            return f"{match[1]}{root / 'index.md'})"
        if path.is_file() and path.suffix != ".md":
            copy = folder / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        return match[0]

    def played(match: re.Match[str]) -> str:
        path = (page.parent / match[1]).resolve()
        copy = folder / EXTRA / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        return f'<audio controls preload="none" src="{match[1]}"></audio>'

    parts = _CODE.split(page.read_text(encoding="utf-8"))
    return "".join(
        part if part.startswith("```") else _LINK.sub(replaced, _SOUND.sub(played, part))
        for part in parts
    )


def _index(title: str, names: Mapping[str, str], folder: Path) -> str:
    lines = [f"# {title}", ""]
    for name, summary in names.items():
        heading = (folder / name).read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
        link = f"[{_TITLES.get(name, heading)}]({name})"
        lines.append(f"- {link}: {summary}" if summary else f"- {link}")
    return "\n".join(lines) + "\n\n" + _toctree(list(names))


def _toctree(names: Sequence[str]) -> str:
    shown = (f"{_TITLES[name]} <{name}>" if name in _TITLES else name for name in names)
    return "```{toctree}\n:hidden:\n:maxdepth: 2\n\n" + "\n".join(shown) + "\n```\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
