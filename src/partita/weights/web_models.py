"""Models on the web: fetched once, pinned, and loaded from the cache.

Nothing here imports PyTorch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from partita.errors import WeightsCorruptError, WeightsUnavailableError, one_line
from partita.weights.cache_folder import writing_cache
from partita.weights.download import MOST_BYTES, download_url, file_sha256, locked
from partita.weights.external_checkpoints import ExternalCheckpoint, is_config, is_demucs
from partita.weights.hash_cache import cached_sha256
from partita.weights.http_fetch import HttpStatusError, NoAnswerError, fetch_tag
from partita.weights.hub_files import MIXIN_CONFIG, choose_files
from partita.weights.hub_repository import HubFile, Repository, read_repository, refused_file
from partita.weights.safetensors_header import read_header
from partita.weights.suffixes import CONFIGS, SAFETENSORS, SELF_DESCRIBED
from partita.weights.web_names import (
    HubName,
    WebAddress,
    file_of,
    is_web_name,
    local_file,
    web_name,
)
from partita.weights.web_pins import (
    Pin,
    PinnedFile,
    read_pin,
    remove_others,
    requested_name,
    web_folder,
    write_pin,
)

_MOST_CONFIG_BYTES = 1_000_000
_SHOWN_DIGITS = 12
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Wanted:
    """A file to fetch, with what is known about it."""

    filename: str
    address: str
    size: int = 0
    sha256: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def fetch_web_model(name: str, *, accept_changed: bool = False) -> Pin:
    """Fetch a model from the web, or check that the cached one has not changed there.

    Parameters
    ----------
    name : str
        As for `partita.weights.web_names.web_name`.
    accept_changed : bool
        Accept a changed model.

    Raises
    ------
    WeightsUnavailableError
        It cannot be fetched, or the cache cannot be written.
    WeightsCorruptError
        It has changed since it was fetched.
    """
    found = _parsed(name)
    folder = web_folder(found)
    with writing_cache():
        folder.mkdir(parents=True, exist_ok=True)
        with locked(found.text, folder.with_suffix(".lock")):
            pin = None if accept_changed else read_pin(folder)
            if pin is None:
                with _advice(found):
                    return _fetch(found, folder)
            _mend(found, folder, pin)
            return _asked_again(found, folder, pin)


def pinned_model(name: str, *, verify: bool = False) -> Pin:
    """Return the pin of a web name, fetching the model if it is not cached.

    Parameters
    ----------
    name : str
    verify : bool
        Compare hashes, not only sizes; damaged files are fetched again.

    Raises
    ------
    WeightsUnavailableError, WeightsCorruptError
        As `fetch_web_model`.
    """
    found = _parsed(name)
    folder = web_folder(found)
    pin = read_pin(folder)
    if pin is None:
        return fetch_web_model(name)
    if any(_fault(folder, file, verify=verify) for file in pin.files):
        with writing_cache(), locked(found.text, folder.with_suffix(".lock")):
            _mend(found, folder, pin)
    return pin


def local_checkpoint(name: str, *, verify: bool = False) -> Path | ExternalCheckpoint:
    """Return the cached checkpoint of a web name: partita's (a path) or an external one.

    Parameters and errors are those of `pinned_model`.
    """
    found = _parsed(name)
    pin = pinned_model(name, verify=verify)
    checkpoint, *others = (web_folder(found) / file.filename for file in pin.files)
    if found.config and not is_web_name(found.config):
        return ExternalCheckpoint(checkpoint, Path(found.config))
    config = next(filter(is_config, others), None)
    is_theirs = (
        config is not None or checkpoint.suffix.lower() != SAFETENSORS or is_demucs(checkpoint)
    )
    return ExternalCheckpoint(checkpoint, config) if is_theirs else checkpoint


def stated_licence(name: str) -> str:
    """Return the licence on a repository's card; empty: none.

    Raises
    ------
    WeightsUnavailableError
        The server has to be asked and cannot be reached.
    """
    found = _parsed(name)
    pin = read_pin(web_folder(found))
    if pin is not None:
        return pin.licence
    return read_repository(found).licence if isinstance(found, HubName) else ""


def _parsed(name: str) -> HubName | WebAddress:
    found = web_name(name)
    if found is None:
        raise ValueError(f"{name} is not a name on the web")
    return found


def _fetch(found: HubName | WebAddress, folder: Path) -> Pin:
    """Fetch the current version of a model and pin it."""
    tag = revision = licence = ""
    if isinstance(found, HubName):
        repository = read_repository(found)
        revision, licence = repository.commit, repository.licence
        stated = (
            f"{licence}, according to its card" if licence else "unknown, not stated on its card"
        )
        _log.info("fetching %s (commit %s); licence: %s", found.text, revision[:12], stated)
        files = [_fetch_hub(found, each, folder) for each in _of_hub(found, repository)]
    else:
        _log.info("fetching %s; licence: unknown", found.text)
        tag = fetch_tag(found.text)
        files = _fetch_address(found, folder)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    pin = Pin(requested_name(found), tuple(files), revision, tag, licence, today)
    write_pin(folder, pin)
    remove_others(folder, pin)
    for file in files:
        _log.info("%s: %s bytes, SHA-256 %s", file.filename, f"{file.size:,}", file.sha256)
    return pin


@contextlib.contextmanager
def _advice(found: HubName | WebAddress) -> Iterator[None]:
    """Add advice to the error if no server answers."""
    try:
        yield
    except NoAnswerError as error:
        how = "download it on another machine and name the file instead"
        if isinstance(found, HubName):
            how = (
                f"run hf download {found.repository} on another machine and name its folder instead"
            )
        raise WeightsUnavailableError(f"{error}; {how}") from error


def _of_hub(found: HubName, repository: Repository) -> list[_Wanted]:
    """Return the checkpoint of a repository and its configuration."""
    paths = choose_files(found, list(repository.files))
    wanted = [_of_file(path, repository.files[path], repository.headers) for path in paths]
    if is_web_name(found.config):
        wanted[1:] = [_Wanted(file_of(found.config), found.config)]
    if wanted[0].size > MOST_BYTES:
        raise WeightsUnavailableError(
            f"{found.text}: {wanted[0].filename} has {wanted[0].size / 1e6:,.0f} MB, more than the "
            f"{MOST_BYTES / 1e6:,.0f} MB that a checkpoint may have"
        )
    return wanted


def _of_file(path: str, file: HubFile, headers: Mapping[str, str]) -> _Wanted:
    filename = local_file(path.rsplit("/", 1)[-1])
    return _Wanted(filename, file.address, file.size, file.sha256, headers)


def _fetch_hub(found: HubName, wanted: _Wanted, folder: Path) -> PinnedFile:
    try:
        return _fetch_file(wanted, folder)
    except HttpStatusError as error:
        raise refused_file(found, error) from error


def _fetch_address(found: WebAddress, folder: Path) -> list[PinnedFile]:
    checkpoint = _fetch_file(_Wanted(file_of(found.text), found.text), folder)
    if is_web_name(found.config):
        return [checkpoint, _fetch_file(_Wanted(file_of(found.config), found.config), folder)]
    if found.config or _describes_itself(folder / checkpoint.filename):
        return [checkpoint]
    for name in _beside(found.text):
        try:
            return [checkpoint, _fetch_file(_Wanted(file_of(name), name), folder)]
        except HttpStatusError:
            continue
    return [checkpoint]


def _describes_itself(path: Path) -> bool:
    """Return whether a checkpoint needs no configuration; readers refuse damaged ones."""
    suffix = path.suffix.lower()
    try:
        is_ours = suffix == SAFETENSORS and "model" in read_header(path).metadata
        return is_ours or suffix in SELF_DESCRIBED or is_demucs(path)
    except WeightsCorruptError:
        return True


def _beside(address: str) -> list[str]:
    """Return the possible addresses of a checkpoint's configuration."""
    parts = urlsplit(address)
    folder, _, name = parts.path.rpartition("/")
    stem, _, suffix = name.rpartition(".")
    names = [f"{stem}{ending}" for ending in CONFIGS]
    if suffix.lower() == SAFETENSORS.removeprefix("."):
        names = [MIXIN_CONFIG, f"{stem}.json", *names]
    return [urlunsplit(parts._replace(path=f"{folder}/{each}")) for each in names]


def _fetch_file(wanted: _Wanted, folder: Path) -> PinnedFile:
    path = folder / wanted.filename
    is_config = path.suffix.lower() in (*CONFIGS, ".json")
    download_url(
        wanted.address,
        wanted.sha256,
        path,
        most_bytes=_MOST_CONFIG_BYTES if is_config else MOST_BYTES,
        size=wanted.size,
        headers=wanted.headers,
    )
    sha256 = wanted.sha256 or file_sha256(path)
    return PinnedFile(path.name, wanted.address, path.stat().st_size, sha256)


def _fault(folder: Path, file: PinnedFile, *, verify: bool) -> str:
    """Return what is wrong with a cached file; empty: nothing."""
    path = folder / file.filename
    if not path.is_file():
        return "is missing"
    if path.stat().st_size != file.size or (verify and cached_sha256(path) != file.sha256):
        return "is damaged"
    return ""


def _mend(found: HubName | WebAddress, folder: Path, pin: Pin) -> None:
    """Fetch missing or damaged files again, in the pinned version."""
    headers: Mapping[str, str] = {}
    for file in pin.files:
        if fault := _fault(folder, file, verify=True):
            _log.warning("%s %s; fetching it again", one_line(folder / file.filename), fault)
            if isinstance(found, HubName) and not headers:
                headers = read_repository(found, pin.revision).headers
            wanted = _Wanted(file.filename, file.address, file.size, file.sha256, headers)
            _fetch_as_pinned(found, wanted, folder, pin)


def _fetch_as_pinned(
    found: HubName | WebAddress, wanted: _Wanted, folder: Path, pin: Pin
) -> PinnedFile:
    try:
        if isinstance(found, HubName):
            return _fetch_hub(found, wanted, folder)
        return _fetch_file(wanted, folder)
    except WeightsCorruptError as error:
        raise _changed(found, pin, str(error).partition("; the file was removed")[0]) from error


def _changed(found: HubName | WebAddress, pin: Pin, how: str) -> WeightsCorruptError:
    return WeightsCorruptError(
        f"{found.text} has changed since it was fetched on {pin.fetched} ({how}): "
        f"partita models fetch `accept_changed=True` {pin.name} accepts the new one"
    )


def _asked_again(found: HubName | WebAddress, folder: Path, pin: Pin) -> Pin:
    """Check that the server still has the pinned version; warn if it cannot be reached."""
    try:
        if isinstance(found, HubName):
            _refuse_changed(found, pin, read_repository(found))
            return pin
        tag = fetch_tag(found.text)
    except WeightsUnavailableError as error:
        _log.warning("%s; using the version that was fetched on %s", error, pin.fetched)
        return pin
    if tag and tag == pin.tag:
        return pin
    for file in pin.files:
        wanted = _Wanted(file.filename, file.address, file.size, file.sha256)
        _fetch_as_pinned(found, wanted, folder, pin)
    pin = dataclasses.replace(pin, tag=tag)
    write_pin(folder, pin)
    return pin


def _refuse_changed(found: HubName, pin: Pin, repository: Repository) -> None:
    """Refuse a repository whose files have changed."""
    if repository.commit == pin.revision:
        return
    for wanted, file in zip(_of_hub(found, repository), pin.files, strict=False):
        is_other = wanted.sha256 and wanted.sha256 != file.sha256
        if is_other or (wanted.size and wanted.size != file.size):
            then, now = pin.revision[:_SHOWN_DIGITS], repository.commit[:_SHOWN_DIGITS]
            raise _changed(found, pin, f"{wanted.filename}: commit {then} then, {now} now")
