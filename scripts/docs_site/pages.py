"""Gather the pages of the site: the repository's own, and an index for each section.

Pages keep their paths, so that links between them go on working.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONTENTS = "docs/README.md"
_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_ENTRY = re.compile(r"\[[^]]+\]\(([^)]+)\)(?:: (.+))?")
_CODE = re.compile(r"(```.*?```)", re.S)

_GUIDE = (
    *("separate", "mix", "serve", "combining", "checkpoints", "python", "evaluation", "compare"),
    *("report_page", "listening", "paper", "datasets", "training", "augmentation"),
    "troubleshooting",
)
_CONCEPTS = ("spectrograms", "masks", "overlap_add", "scores")
_DEVELOPMENT = (
    *("architecture", "decisions", "add_a_model", "add_weights", "add_a_reader", "add_a_metric"),
    "add_a_recipe",
)
_SYNTHESIS = "packages/partita-synthesis"
#: Section → its title and its pages, without suffix; a reader's order.
SECTIONS: Mapping[str, tuple[str, Sequence[str]]] = {
    "start": (
        "Start",
        ("README", *(f"docs/{name}" for name in ("start/install", "start/first_song")),
         "docs/guide/models", "docs/terms"),
    ),
    "how_to": (
        "How to",
        (*(f"docs/guide/{name}" for name in _GUIDE), f"{_SYNTHESIS}/README",
         f"{_SYNTHESIS}/docs/synthesis", f"{_SYNTHESIS}/docs/gpu"),
    ),
    "concepts": (
        "Concepts",
        tuple(f"docs/concepts/{name}" for name in _CONCEPTS),
    ),
    "reference": (
        "Reference",
        ("reference/commands", "reference/python", "reference/weights", "reference/recipes",
         "docs/guide/architectures", "docs/reference/stability", "CHANGELOG"),
    ),
    "research": ("Research log", ("docs/research/results", "docs/research/four_stems")),
    "development": (
        "Development",
        ("CONTRIBUTING", *(f"docs/development/{name}" for name in _DEVELOPMENT),
         f"{_SYNTHESIS}/docs/architecture"),
    ),
}  # fmt: skip


_TITLES = {"README": "Overview"}
#: Of pages that the table of contents lacks.
_SUMMARIES = {
    "README": "what partita does, and how well",
    "reference/commands": "every command, option and exit status",
    "reference/python": "every public name",
    "reference/weights": "all weights: licence, scores, speed, memory, where they come from",
    "reference/recipes": "the files of trainings and mixes that come with partita",
    "CHANGELOG": "what changed",
    "CONTRIBUTING": "tests, checks, the rules of the house",
    "packages/partita-synthesis/docs/synthesis": "how songs are composed, played, sung and mixed",
    "packages/partita-synthesis/docs/gpu": "some minutes of training on a GPU from one folder",
    "packages/partita-synthesis/docs/architecture": "parts of partita-synthesis",
}


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
    for name in (name for _, names in SECTIONS.values() for name in names):
        if f"{name}.md" not in generated and f"{name}.rst" not in generated:
            _write(folder / f"{name}.md", _linked(ROOT / f"{name}.md", folder))
    for page in (ROOT / "docs").rglob("*.md"):  # those that no section has: Sphinx says so
        name = str(page.relative_to(ROOT))
        if name != CONTENTS and not (folder / name).exists():
            _write(folder / name, _linked(page, folder))
    summaries = _summaries()
    for section, (title, names) in SECTIONS.items():
        _write(folder / f"{section}.md", _index(title, names, folder, summaries))
    home = (Path(__file__).parent / "home.md").read_text()
    _write(folder / "index.md", home + _toctree(SECTIONS))


def _linked(page: Path, folder: Path) -> str:
    """Return a page whose links lead into the site; copy other files that it links to."""
    root = Path(*[".."] * (len(page.relative_to(ROOT).parts) - 1))

    def replaced(match: re.Match[str]) -> str:
        target = match[2]
        if re.match(r"\w+:", target):
            return match[0]
        path = (page.parent / target).resolve()
        name = path.relative_to(ROOT)
        if str(name) == CONTENTS:
            return f"{match[1]}{root / 'index.md'})"
        if path.is_file() and path.suffix != ".md":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
        return match[0]

    parts = _CODE.split(page.read_text(encoding="utf-8"))
    return "".join(part if part.startswith("```") else _LINK.sub(replaced, part) for part in parts)


def _summaries() -> dict[str, str]:
    """Return what the table of contents says of each page."""
    found = _ENTRY.findall((ROOT / CONTENTS).read_text(encoding="utf-8"))
    paths = (((ROOT / "docs" / link).resolve().relative_to(ROOT), text) for link, text in found)
    return {str(path.with_suffix("")): text for path, text in paths}


def _index(title: str, names: Sequence[str], folder: Path, summaries: Mapping[str, str]) -> str:
    lines = [f"# {title}", ""]
    for name in names:
        summary = summaries.get(name, _SUMMARIES.get(name, ""))
        page = folder / f"{name}.md"
        page = page if page.exists() else page.with_suffix(".rst")
        heading = page.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
        link = f"[{_TITLES.get(name, heading)}]({page.relative_to(folder)})"
        lines.append(f"- {link}: {summary}" if summary else f"- {link}")
    return "\n".join(lines) + "\n\n" + _toctree(names)


def _toctree(names: Sequence[str] | Mapping[str, object]) -> str:
    shown = (f"{_TITLES[name]} <{name}>" if name in _TITLES else name for name in names)
    return "```{toctree}\n:hidden:\n:maxdepth: 2\n\n" + "\n".join(shown) + "\n```\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
