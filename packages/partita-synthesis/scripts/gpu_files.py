"""What `gpu_training.py` unpacks, and how what it keeps becomes small files."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PIECE_BYTES = 15 << 20


def roomy_folder(slots: int) -> str | None:
    """Return where the excerpts go: memory, where it has the room, else the temporary files."""
    shared = Path("/dev/shm")
    needed = slots * 3 << 20
    return str(shared) if shared.is_dir() and shutil.disk_usage(shared).free > needed else None


def unpack(pack: Path, work: Path) -> None:
    """Let this process and its children import the packed wheels, and find the packed sounds."""
    site = work / "site"
    site.mkdir()
    for wheel in sorted((pack / "wheels").glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    package, repository = Path(__file__).resolve().parents[1], Path(__file__).resolve().parents[3]
    paths = [str(repository / "src"), str(package / "src"), str(site)]
    sys.path[:0] = paths
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])
    os.environ["XDG_DATA_HOME"] = str((pack / "share").resolve())
    os.environ["PARTITA_HOME"] = str(work / "home")
    os.environ["OMP_NUM_THREADS"] = "1"
    do_without_pyav()


def do_without_pyav() -> None:
    """Let partita be imported without PyAV, which is larger than all sounds of the pack.

    What needs it raises ModuleNotFoundError: files that libsndfile does not read.
    """
    try:
        import av  # noqa: F401
    except ModuleNotFoundError:
        for name in ("av", "av.container", "av.filter"):
            sys.modules[name] = _Absent(name)
        sys.modules["av"].container = sys.modules["av.container"]  # type: ignore[attr-defined]


def has_pyav() -> bool:
    """Tell whether PyAV is installed."""
    return not isinstance(sys.modules.get("av"), _Absent)


class _Absent(ModuleType):
    """Stands where PyAV would: has no formats, and its errors are never raised."""

    FFmpegError = type("FFmpegError", (Exception,), {})
    formats_available = frozenset[str]()
    Container = object

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ModuleNotFoundError(f"{self.__name__}.{name}: PyAV is not installed", name="av")


def rounded(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training's state with averages and moments in 16 bits, weights as they are."""
    import torch

    kinds = {"average": torch.float16, "optimiser": torch.bfloat16}
    return {
        key: _rounded(value, kinds[key]) if key in kinds else value for key, value in state.items()
    }


def _rounded(value: Any, kind: torch.dtype) -> Any:
    import torch

    if isinstance(value, dict):
        return type(value)((key, _rounded(each, kind)) for key, each in value.items())
    if isinstance(value, list):
        return [_rounded(each, kind) for each in value]
    is_large = isinstance(value, torch.Tensor) and value.ndim > 0 and value.is_floating_point()
    return value.to(kind) if is_large else value


def put(file: Path, place: Path) -> None:
    """Copy a file, one that is too large as pieces ``NAME.1of3``; older pieces go."""
    content = file.read_bytes()
    starts = range(0, len(content), PIECE_BYTES)
    names = [f"{place.name}.{number}of{len(starts)}" for number in range(1, len(starts) + 1)]
    names = names if len(names) > 1 else [place.name]
    for name, start in zip(names, starts, strict=True):
        partial = place.with_name("partial")
        partial.write_bytes(content[start : start + PIECE_BYTES])
        partial.replace(place.with_name(name))
    for old in [place, *_pieces(place)]:
        if old.name not in names:
            old.unlink(missing_ok=True)


def join(path: Path, out: Path) -> bool:
    """Put a file together that `put` has copied; tell whether it was there."""
    pieces = [path] if path.is_file() else _pieces(path)
    if not pieces:
        return False
    if pieces != [path] and len(pieces) != int(pieces[0].name.rpartition("of")[2]):
        raise SystemExit(f"{path.parent}: some of the pieces of {path.name} are missing")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    return True


def _pieces(path: Path) -> list[Path]:
    pieces = path.parent.glob(f"{path.name}.*of*")
    return sorted(pieces, key=lambda piece: int(piece.suffix[1:].partition("of")[0]))
