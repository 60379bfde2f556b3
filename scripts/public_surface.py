"""Write ``tests/unit/public_surface.txt``: what programs and scripts may rely on, line by line.

    python scripts/public_surface.py          prints the surface as it is
    python scripts/public_surface.py --write  records it: when a release is made

``tests/unit/test_public_surface.py`` compares the record with the code: what differs has to be
named in a new entry of the changelog under "Unreleased"; entries that were there when the surface
was recorded do not count. `PUBLIC` is also what the API reference documents.
"""

from __future__ import annotations

import argparse
import enum
import functools
import inspect
import re
import zlib
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "tests/unit/public_surface.txt"
#: Modules of the stable interface → their public names; none: ``__all__``.
STABLE: Mapping[str, tuple[str, ...]] = {
    "partita": (),
    "partita.errors": (),
    "partita.models": (),
    "partita.datasets": (),
    "partita.weights": (),
    "partita.weights.card": ("Card",),
    "partita.separation.estimates": ("SavedStems",),
    "partita.separation.batch": ("Outcome",),
    "partita.evaluation.scores": ("TargetScores", "TrackScores"),
}
#: Modules that the guides use, which may change in any minor version.
PROVISIONAL: Mapping[str, tuple[str, ...]] = {
    "partita.evaluation.bsseval": ("BssScores", "bss_eval"),
    "partita.evaluation.sdr": (
        *("sdr_db", "mdx_sdr_db", "si_sdr_db", "scale_invariant_db", "ScaleInvariantScores"),
        *("spectral_distances", "SpectralDistances", "null_depth_db"),
    ),
    "partita.evaluation.oracles": ("Oracle", "get_oracle"),
    "partita.evaluation.aggregate": ("Summary", "summarise", "bootstrap_interval"),
    "partita.evaluation.paired": ("PairedDifference", "paired_differences"),
    "partita.evaluation.quality.estimate": ("Quality", "StemQuality", "quality_of"),
    "partita.comparison.run": ("compare",),
    "partita.comparison.options": ("CompareOptions",),
    "partita.comparison.entrants": ("named_entrants", "read_entrants"),
    "partita.comparison.results": ("Comparison",),
    "partita.reports.page": ("write_page",),
    "partita.reports.content": (
        *("Report", "Section", "Song", "Table", "Text", "Picture"),
        *("LineChart", "BoxPlot", "PairedPlot"),
    ),
    "partita.mixing.recipe": ("Recipe", "load_recipe", "recipe_names"),
    "partita.export": ("ExportedFile", "export_network"),
    "partita.weights.store": ("load_model",),
    "partita.training.recipes": ("Recipe", "TrainingSettings", "load_recipe", "recipe_names"),
    "partita.training.augmentation": ("Augmentation",),
    "partita.training.run": ("train",),
    "partita.datasets.layout": ("Reading", "audio_files", "make_track"),
    "partita.dsp.stft": ("Stft",),
    "partita.dsp.masks": ("ratio_masks", "apply_masks"),
    "partita.dsp.overlap_add": ("OverlapAdd", "overlap_add"),
    "partita.dsp.wiener": ("wiener",),
    "partita.dsp.nmf": ("nmf",),
    "partita.dsp.nmfd": ("nmfd",),
    "partita.dsp.levels": ("power_ratio_db",),
    "partita.validation": ("bounded",),
}
PUBLIC = {**STABLE, **PROVISIONAL}
#: Begins the record: checksums of the entries that tell of earlier changes.
_TOLD = "CHANGELOG.md | "
_EXIT = re.compile(r"Exit status: (.+?)\.?(?:\n\s*\n|$)", re.S)


def public_names(module: str) -> list[str]:
    """Return the public names of a module, each once among all modules of `PUBLIC`."""
    found = import_module(module)
    if names := PUBLIC[module]:
        return list(names)
    if module == "partita.errors":
        own = (name for name, each in vars(found).items() if inspect.isclass(each))
        return [name for name in own if vars(found)[name].__module__ == module]
    names = tuple(found.__all__)
    return [name for name in names if module == "partita" or name not in root_names()]


def surface() -> list[str]:
    """Return the surface, sorted: ``class or module | what it has``, ``$ command | …``."""
    return sorted({*_python(), *_commands()})


def root_names() -> list[str]:
    """Return the names of ``partita`` itself."""
    return list(import_module("partita").__all__)


def _python() -> Iterator[str]:
    objects = {
        f"{module}.{name}": getattr(import_module(module), name)
        for module in PUBLIC
        for name in public_names(module)
    }
    for name, found in objects.items():
        module = name.rpartition(".")[0]
        if inspect.isclass(found):
            bases = ", ".join(base.__name__ for base in found.__bases__)
            yield f"{name} | class({bases}){_signature(found)}"
            for member in member_names(found):
                value = inspect.getattr_static(found, member)
                function = getattr(value, "__func__", value)
                is_function = inspect.isfunction(function)
                yield f"{name} | {member}{_signature(function) if is_function else ''}"
        elif callable(found):
            yield f"{module} | {name.rpartition('.')[2]}{_signature(found)}"
        else:
            yield f"{module} | {name.rpartition('.')[2]}"


def member_names(found: type) -> list[str]:
    """Return public methods and properties, without those of bases that are public themselves."""
    names: dict[str, None] = {}
    for base in found.__mro__:
        if base is not found and (base in _classes() or not base.__module__.startswith("partita")):
            continue
        for member, value in vars(base).items():
            function = getattr(value, "__func__", value)
            is_public = not member.startswith("_") or member == "__call__"
            if is_public and (isinstance(value, property) or inspect.isfunction(function)):
                names[member] = None
    return list(names)


@functools.cache
def _classes() -> list[type]:
    found = (
        getattr(import_module(module), name) for module in PUBLIC for name in public_names(module)
    )
    return [each for each in found if inspect.isclass(each)]


def _signature(found: Any) -> str:
    """Return parameters and defaults, without types."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except ValueError:  # of exceptions without __init__
        return "(...)"
    plain = [
        each.replace(
            annotation=inspect.Parameter.empty,
            default=each.default if each.default is each.empty else _Default(each.default),
        )
        for each in parameters
    ]
    return str(inspect.Signature(plain))


class _Default:
    """A default, as any version of Python and of the libraries writes it."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        if isinstance(self._value, enum.Enum):
            return str(self._value.value)
        is_plain = isinstance(self._value, bool | int | float | str | tuple | None)
        return repr(self._value) if is_plain else "..."


def _commands() -> Iterator[str]:
    from partita.cli.app import app, run

    yield from _command("$ partita", typer.main.get_command(app))
    yield f"$ partita | {_exit_status(run.__doc__ or '')}"
    yield "$ partita | exit status: 130 interrupted, 143 terminated"


def _command(path: str, command: Any) -> Iterator[str]:
    if command.hidden:
        return
    yield f"{path} | command"
    for param in command.params:
        if getattr(param, "hidden", False) or "--help" in param.opts:
            continue
        yield f"{path} | {_parameter(param)}"
    if status := _exit_status(command.help or ""):
        yield f"{path} | {status}"
    for name, each in getattr(command, "commands", {}).items():  # plug-ins are not among them
        yield from _command(f"{path} {name}", each)


def _exit_status(text: str) -> str:
    if "return 0: " in text:
        return "exit status: " + re.sub(r"\.?$", "", text.split("return ", 1)[1].splitlines()[0])
    found = _EXIT.search(text)
    return "exit status: " + " ".join(found[1].split()) if found else ""


def _parameter(param: Any) -> str:
    if param.param_type_name == "argument":
        name = (param.metavar or param.name).strip("[].").upper()
        return name + "..." * (param.nargs == -1) + " required" * bool(param.required)
    names = " / ".join((*param.opts, *param.secondary_opts))
    if param.is_flag:
        return f"{names} flag"
    value = f"{names} VALUE" + " several" * bool(param.multiple) + " required" * param.required
    default = param.default
    is_plain = isinstance(default, bool | int | float | str | Path) and default != ""
    return f"{value} = {default}" if is_plain else value


def changelog_entries(text: str) -> dict[str, str]:
    """Return the entries of a changelog under "Unreleased": checksum → entry on one line."""
    section = text.partition("## Unreleased")[2].partition("\n## ")[0]
    entries = (" ".join(entry.split()) for entry in re.split(r"\n(?=[-#])", section))
    return {f"{zlib.crc32(entry.encode()):08x}": entry for entry in entries}


def main() -> None:
    """Print or record the surface."""
    parser = argparse.ArgumentParser(description="What programs and scripts may rely on.")
    parser.add_argument("--write", action="store_true", help=f"write {RECORD.relative_to(ROOT)}")
    lines = surface()
    if parser.parse_args().write:
        told = changelog_entries((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
        text = "\n".join([_TOLD + " ".join(told), *lines])
        RECORD.write_text(f"{text}\n", encoding="utf-8")
    else:
        print(*lines, sep="\n")


if __name__ == "__main__":
    main()
