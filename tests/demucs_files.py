"""Packages as demucs writes them, without demucs: its classes are there by name while they are."""

import contextlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

#: Networks that diffq 0.2.4 quantised, and what it restores.
QUANTISED = sorted((Path(__file__).parent / "parity" / "vectors").glob("diffq_*.th"))


@contextlib.contextmanager
def their_classes(*names: str) -> Iterator[list[type]]:
    """Make classes of names such as ``demucs.htdemucs.HTDemucs``, which can be pickled."""
    modules: dict[str, types.ModuleType] = {}
    classes = []
    for whole_name in names:
        module, _, name = whole_name.rpartition(".")
        for each in (module.partition(".")[0], module):
            modules.setdefault(each, types.ModuleType(each))
        classes.append(type(name, (), {"__module__": module}))
        setattr(modules[module], name, classes[-1])
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield classes
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def write_package(path: Path, name: str, /, legacy: bool = False, **facts: Any) -> Path:
    """Pickle a package: class, arguments, state."""
    with their_classes(f"demucs.{name.lower()}.{name}") as (theirs,):
        package = {"klass": theirs, "args": (), **facts}
        torch.save(package, path, _use_new_zipfile_serialization=not legacy)
    return path
