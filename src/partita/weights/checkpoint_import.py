"""Import of checkpoints: any readable one becomes partita's own, kept in the cache by name."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import filelock

from partita.errors import (
    UsageError,
    WeightsError,
    WeightsUnavailableError,
    one_line,
)
from partita.files import exists
from partita.models._protocol import SeparationModel
from partita.weights.bag_file import bag_file
from partita.weights.cache_folder import writing_cache
from partita.weights.cards import CARDS
from partita.weights.checkpoint import load_checkpoint, save_checkpoint
from partita.weights.download import file_sha256
from partita.weights.external_checkpoints import (
    check_folder,
    external_checkpoint,
    is_config,
    name_with_config,
)
from partita.weights.hub_files import MIXIN_CONFIG
from partita.weights.imported_checkpoints import UNKNOWN_LICENCE, check_new_name, imported_path
from partita.weights.msst import load_external
from partita.weights.own_checkpoints import own_checkpoint
from partita.weights.resolve import resolve
from partita.weights.safetensors_header import read_header
from partita.weights.suffixes import SAFETENSORS

_MOST_LICENCE_CHARS = 200


def import_checkpoint(
    files: Sequence[Path], name: str, *, licence: str | None = None, taken: Iterable[str] = ()
) -> Path:
    """Convert a checkpoint to partita's own format, and keep it in the cache under a name.

    Parameters
    ----------
    files : sequence of Path
        A checkpoint of partita or another program, or a folder that holds one; and its
        configuration (YAML, JSON), unless that is beside it.
    name : str
        The name that stands for the checkpoint from then on.
    licence : str, optional
        Of the weights; by default the one that the checkpoint states, else ``unknown``.
    taken : iterable of str
        Names that may not be used, besides those of cards and imported checkpoints.

    Returns
    -------
    Path
        The new checkpoint; it appears only when it is complete.

    Raises
    ------
    UsageError
        Several or no checkpoints, several configurations; a name that is not valid or taken; a
        licence that is empty or too long.
    WeightsUnavailableError
        A file does not exist, or the cache cannot be written.
    WeightsCorruptError
        The checkpoint cannot be used.
    """
    taken = [*CARDS, *taken]
    check_new_name(name, taken)
    if licence is not None and not (
        licence.strip() and licence.isprintable() and len(licence) <= _MOST_LICENCE_CHARS
    ):
        raise UsageError(f"`licence` must be one line of up to {_MOST_LICENCE_CHARS} characters")
    model, origin, stated = _read(_source(files))
    licence = (licence or stated or UNKNOWN_LICENCE).strip()
    path = imported_path(name)
    with writing_cache():
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.parent / ".lock"):
            check_new_name(name, taken)  # another process may have taken it meanwhile
            save_checkpoint(path, model, origin=origin, licence=licence)
    return path


def _source(files: Sequence[Path]) -> str:
    """Return the name of a checkpoint, with the given configuration."""
    if len(files) == 1 and bag_file(str(files[0])) is not None:
        with contextlib.suppress(WeightsError):  # a YAML file that is not a bag
            resolve(str(files[0])).require_one()
    configs = [path for path in files if is_config(path)]
    others = [path for path in files if not is_config(path)]
    others = [path for path in others if not _is_beside(path, others)]
    if len(others) != 1 or len(configs) > 1:
        raise UsageError(
            f"{len(others)} checkpoints and {len(configs)} configurations: give one checkpoint, "
            "and at most one YAML file that describes it"
        )
    return name_with_config(str(others[0]), configs[0]) if configs else str(others[0])


def _is_beside(path: Path, others: Sequence[Path]) -> bool:
    """Return whether a file describes another one, whose reader finds it."""
    mixin = path.name == MIXIN_CONFIG and any(
        other != path and other.parent == path.parent for other in others
    )
    return mixin or (path.suffix == ".json" and path.with_suffix(SAFETENSORS) in others)


def _read(name: str) -> tuple[SeparationModel, str, str]:
    """Return a checkpoint's model, its files with their SHA-256, and the licence that it states."""
    if name in CARDS and not exists(Path(name)):
        raise UsageError(f"{name} is not a file: it is the name of weights with a card")
    if (external := external_checkpoint(name)) is not None:
        model = load_external(external)
        paths = [path for path in (external.path, external.config) if path is not None]
        return model, json.dumps({path.name: file_sha256(path) for path in paths}), ""
    own = own_checkpoint(name)
    check_folder(name)
    if own is None or not exists(own):
        raise WeightsUnavailableError(f"{one_line(name)}: no such checkpoint")
    said = read_header(own).metadata
    origin = said.get("origin") or json.dumps({own.name: file_sha256(own)})
    return load_checkpoint(own), origin, said.get("licence", "")
