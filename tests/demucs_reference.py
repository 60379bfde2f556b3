"""demucs 2.0.3 as a reference, imported as it is."""

import importlib
import importlib.util
import sys
import types

import pytest


def import_demucs(*modules):
    """Return the package with some of its modules.

    Beside its networks stands quantisation, whose package none of the tests needs.
    """
    for name in ("demucs", "julius"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed (make test installs it)")
    stub = types.ModuleType("diffq")
    stub.UniformQuantizer = stub.DiffQuantizer = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "diffq", stub)
        for name in modules:
            importlib.import_module(f"demucs.{name}")
    return sys.modules["demucs"]
