"""A quick start and a quick end: a short song takes less time than PyTorch's import.

Nothing here imports more than Python's own small modules.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NoReturn

_SEPARATE = "separate"
_HELP = {"-h", "--help"}
_TORCH = "torch"
#: New objects between two collections of the youngest during imports; Python's default is 700.
_NEW_OBJECTS = 50_000


@contextlib.contextmanager
def quick(arguments: Sequence[str]) -> Iterator[None]:
    """Spare the command line what only long programs need, until the block ends.

    Python's collector would visit the 400000 objects of PyTorch's import several times on the way,
    and once when it ends: 0.5 s in all. Everything that programs leave to their end is done, but
    memory is left to the system, which frees it faster than Python: 0.1 s.

    Parameters
    ----------
    arguments : sequence of str
        Those of the command line: where they ask for a separation, PyTorch's largest library is
        mapped beside the other imports, which saves 0.13 s with a second core.
    """
    status = 1  # of exceptions, whose traceback Python prints
    atexit.register(lambda: _end(status))  # the first that is registered is the last that is called
    _collect_less_until_imported()
    if _is_separation(arguments):
        _map_library()
    try:
        yield
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise


def _collect_less_until_imported() -> None:
    """Collect garbage seldom until PyTorch is imported, then as usual, but not what is there."""
    usual = gc.get_threshold()

    def before(phase: str, _: object) -> None:
        torch = sys.modules.get(_TORCH)
        if phase == "start" and not is_being_imported(torch) and torch is not None:
            gc.callbacks.remove(before)
            gc.set_threshold(*usual)
            gc.freeze()

    gc.callbacks.append(before)
    gc.set_threshold(_NEW_OBJECTS, *usual[1:])


def is_being_imported(module: object) -> bool:
    """Return whether a module of `sys.modules` is not complete yet."""
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _end(status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it
            stream.flush()
    os._exit(status)


def _is_separation(arguments: Sequence[str]) -> bool:
    if not arguments or not _HELP.isdisjoint(arguments):
        return False
    return arguments[0] == _SEPARATE or os.path.lexists(arguments[0])


def _map_library() -> None:
    """Map PyTorch's library in a thread, without Python's lock; its import finds it mapped."""
    import ctypes

    spec = PathFinder.find_spec(_TORCH)
    if sys.platform != "linux" or spec is None or spec.origin is None:
        return
    library = Path(spec.origin).parent / "lib" / "libtorch_cpu.so"
    if not library.is_file():
        return
    load = ctypes.CDLL(None).dlopen  # called as a C function, it leaves the lock to others
    load.argtypes, load.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
    name = os.fsencode(library)
    threading.Thread(target=load, args=(name, os.RTLD_NOW), daemon=True).start()
