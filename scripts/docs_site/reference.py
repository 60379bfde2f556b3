"""Pages that are made of the code: commands, Python, weights, recipes."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import typer

from partita.cli import model_list, recommendations
from partita.cli.app import app
from partita.mixing import recipe as mixing
from partita.training import recipes as training
from partita.weights.card import Card, NpmSource, PackageSource, WheelSource
from partita.weights.cards import get_card, list_weights
from partita.weights.resolve import part_cards

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import public_surface

_PLACES: Mapping[type, str] = {
    PackageSource: "included", WheelSource: "pip", NpmSource: "npm",
}  # fmt: skip


def pages() -> dict[str, str]:
    """Return the path of each page and its text."""
    return {
        "reference/commands.md": commands(),
        "reference/weights.md": weights(),
        "reference/recipes.md": recipes(),
        "reference/python.rst": python_index(),
        **{f"reference/python/{module}.rst": python(module) for module in public_surface.PUBLIC},
    }


def commands() -> str:
    """Return the page of all commands, options and exit statuses."""
    root = typer.main.get_command(app)
    lines = [
        "# Commands",
        "",
        "Made of the code. `partita COMMAND --help` prints the same; `partita SONG` is short for "
        "`partita separate SONG`. Exit statuses of all commands: 0 all done, 1 something failed, "
        "2 wrong usage, 130 interrupted, 143 terminated.",
        "",
    ]
    with typer_context(root) as context:
        for path, command in _commands("partita", root, context):
            lines += _command(path, command)
    return "\n".join(lines)


def typer_context(command: Any) -> Any:
    """Return the context of the whole command line, in which groups look up their plug-ins."""
    return command.make_context("partita", ["doctor"]).scope(cleanup=False)


def _commands(path: str, group: Any, context: Any) -> Iterator[tuple[str, Any]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        place = f"{path} {name}"
        if hasattr(command, "list_commands"):
            inner = command.make_context(
                name, ["--nothing"], parent=context, resilient_parsing=True
            )
            yield from _commands(place, command, inner)
        else:
            yield place, command


def _command(path: str, command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [
        each
        for each in command.params
        if each.param_type_name == "option" and not each.hidden and "--help" not in each.opts
    ]
    names = [_argument(each) for each in arguments]
    yield from (f"## {path}", "", *inspect.cleandoc(command.help or "").splitlines(), "")
    yield from ("```console", f"$ {' '.join([path, '[OPTIONS]', *names])}", "```", "")
    if arguments:
        yield from _table("argument", zip(names, map(_meaning, arguments), strict=True))
    if options:
        yield from _table("option", ((_option(each), _meaning(each)) for each in options))


def _argument(param: Any) -> str:
    name = (param.metavar or param.name).strip("[]{}").upper().removesuffix("...")
    name += "..." * (param.nargs == -1)
    return name if param.required else f"[{name}]"


def _option(param: Any) -> str:
    names = ", ".join(sorted((*param.opts, *param.secondary_opts), key=len))
    return names if param.is_flag else f"{names} {param.metavar or 'VALUE'}"


def _meaning(param: Any) -> str:
    text = param.help or ""
    if param.required:
        return f"{text} Required."
    shown = getattr(param, "show_default", False)
    if isinstance(shown, str):
        return f"{text} Default: {shown}."
    is_plain = isinstance(param.default, int | float | str | Path)
    is_shown = is_plain and not isinstance(param.default, bool) and str(param.default)
    return f"{text} Default: `{param.default}`." if is_shown else text


def _table(heading: str, rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield from (f"| {heading} | meaning |", "|---|---|")
    yield from (f"| `{name}` | {_cell(text)} |" for name, text in rows)
    yield ""


def _cell(text: str) -> str:
    """Return a text for a Markdown table."""
    text = re.sub(r"(?<!`)([*_<>])(?!`)", r"\\\1", text) if "`" not in text else text
    return " ".join(text.split()).replace("|", "\\|")


def weights() -> str:
    """Return the table of all weights, with the columns of ``partita models``."""
    cards = [get_card(name) for name in list_weights()]
    groups = list(model_list.grouped(cards))
    marks = model_list.marks_of(card for group in groups for card in group)
    lines = ["# Weights", "", "Made of the cards; `partita models` prints the same.", ""]
    lines += [f"- {purpose}: {choice}" for purpose, choice in recommendations.recommendations()]
    for group in groups:
        headings = ("weights", *model_list.HEADINGS[1:])
        lines += ["", f"## {model_list.task_of(group[0])}", "", f"| {' | '.join(headings)} |"]
        lines += ["|---" * len(headings) + "|"]
        lines += [f"| {' | '.join(_weights_row(card, marks))} |" for card in group]
    lines += ["", "## Figures", ""]
    lines += [f"- {_cell(note)}" for note in model_list.notes_on(marks)]
    lines += ["", "## Each of them", ""]
    for card in (card for group in groups for card in group):
        lines += _card(card)
    return "\n".join(lines) + "\n"


def _weights_row(card: Card, marks: Mapping[str, str]) -> list[str]:
    cells = [_cell(cell.strip()) for cell in model_list.row_of(card, marks)]
    cells = [re.sub(r" (?=[MG]B$)", "\u00a0", cell) for cell in cells]
    cells[0] = f"[{card.name}](#{card.name.lower()})" + cells[0].strip().removeprefix(
        card.name.replace("_", "\\_")
    )
    if card.has_weights or card.has_parts:
        cells[model_list.HEADINGS.index("licence")] = _cell(card.licence)
    cells[-1] = _place(card)
    return cells


def _place(card: Card) -> str:
    sources = [
        source
        for part in part_cards(card)
        for source in (*([part.bundled] if part.bundled else []), *part.remote[:1])
    ]
    return ", ".join(dict.fromkeys(_PLACES.get(type(each), "web") for each in sources)) or "–"


def _card(card: Card) -> Iterator[str]:
    facts = {
        "separates": ", ".join(card.sources),
        "model": f"`{card.model}`" if card.model else "",
        "chain": f"`{card.chain}`" if card.chain else "",
        "bag of": ", ".join(f"`{member.model}`" for member in card.members),
        "licence": _cell(card.licence) if card.has_weights or card.has_parts else "",
        "evidence": _cell(card.licence_evidence),
        "trained on": _cell(card.trained_on),
        "paper": _cell(card.paper),
        "scores published in": _cell(card.published_in),
        "caution": _cell(card.caution),
    }
    yield from (f"### {card.name}", "", f"{card.summary[:1].upper()}{card.summary[1:]}.", "")
    yield from (f"- {name}: {fact}" for name, fact in facts.items() if fact)
    yield ""


def recipes() -> str:
    """Return all recipes of trainings and of mixes, as their files have them."""
    lines = [
        "# Recipes",
        "",
        "The files that come with partita. [training.md](../docs/guide/training.md) and "
        "[mix.md](../docs/guide/mix.md) say what settings mean and how to write your own.",
        "",
        "## Of trainings",
        "",
    ]
    for place, command in (
        (training, "partita train {} --data ALBUM"),
        (mixing, "partita mix SONG --recipe {}"),
    ):
        if place is mixing:
            lines += ["## Of mixes", ""]
        folder = resources.files(place.__package__ or "") / "recipe_files"
        for name in place.recipe_names():
            file = folder / f"{name}.toml"
            lines += [f"### {name}", "", f"    {command.format(name)}", ""]
            if file.is_file():
                lines += ["```toml", file.read_text(encoding="utf-8").strip(), "```", ""]
    return "\n".join(lines) + "\n"


def python_index() -> str:
    """Return the index of the Python reference."""
    lines = [
        *_heading("Python", "="),
        "Made of the docstrings. :doc:`../docs/guide/python` shows how",
    ]
    lines += [
        "the parts are used, :doc:`../docs/reference/stability` which versions may change them.",
        "",
    ]
    groups = {
        "Stable": public_surface.STABLE,
        "May change in minor versions": public_surface.PROVISIONAL,
    }
    for title, modules in groups.items():
        lines += [
            *_heading(title, "-"),
            *(f"- :doc:`python/{name}`: {_names(name)}" for name in modules),
            "",
        ]
    tree = (f"   python/{module}" for module in public_surface.PUBLIC)
    return "\n".join([*lines, ".. toctree::", "   :hidden:", "", *tree, ""])


def _names(module: str) -> str:
    names = public_surface.public_names(module)
    shown = ", ".join(f"``{name}``" for name in names[:8])
    return shown + f" and {len(names) - 8} more" * (len(names) > 8)


def python(module: str) -> str:
    """Return the page of a module, in reStructuredText: every public name."""
    found = import_module(module)
    lines = [*_heading(module, "="), f".. automodule:: {module}", ""]
    if module != "partita" and (elsewhere := _elsewhere(module)):
        lines += [f"Described with :doc:`partita`: {', '.join(elsewhere)}.", ""]
    for name in public_surface.public_names(module):
        each = getattr(found, name)
        if inspect.isclass(each):
            lines += [f".. autoclass:: {module}.{name}", ""]
            for member in public_surface.member_names(each):
                is_property = isinstance(inspect.getattr_static(each, member), property)
                kind = "property" if is_property else "method"
                lines += [f"   .. auto{kind}:: {module}.{name}.{member}", ""]
        elif callable(each):
            lines += [f".. autofunction:: {module}.{name}"]
        else:
            lines += [f".. py:data:: {name}", "", "   The version, as text."]
        lines += [""]
    return "\n".join(lines)


def _elsewhere(module: str) -> list[str]:
    names = getattr(import_module(module), "__all__", ())
    return [f":py:obj:`partita.{name}`" for name in names if name in public_surface.root_names()]


def _heading(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]
