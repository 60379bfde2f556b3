"""demucs 4.1.0 as a reference, beside demucs 2.0.3: its modules are imported as ``demucs4``."""

import importlib
import importlib.util
import os
import sys
from pathlib import Path

import pytest

#: Where make test installs it; another folder may be named.
_FOLDER = Path(os.environ.get("PARTITA_DEMUCS4") or Path(sys.prefix) / "peers" / "demucs4")


def import_demucs4(*modules):
    """Return the package with some of its modules, which import each other by relative names."""
    for name in ("einops", "julius", "tqdm"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed (make test installs it)")
    start = _FOLDER / "demucs" / "__init__.py"
    if not start.is_file():
        pytest.skip(f"demucs 4.1.0 is not in {_FOLDER} (make test installs it)")
    if "demucs4" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "demucs4", start, submodule_search_locations=[str(start.parent)]
        )
        package = importlib.util.module_from_spec(spec)
        sys.modules["demucs4"] = package
        spec.loader.exec_module(package)
    for name in modules:
        importlib.import_module(f"demucs4.{name}")
    return sys.modules["demucs4"]
