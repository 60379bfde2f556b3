"""One model by its name, and what is known without loading it: stems, licence, digest.

Nothing here imports PyTorch, except for checkpoints that must be loaded to know their stems.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from partita.errors import WeightsCorruptError, WeightsUnavailableError, one_line
from partita.files import exists
from partita.stem_names import is_source_name
from partita.weights.card import Card
from partita.weights.cards import get_card
from partita.weights.exported.metadata import read_metadata, sources_of
from partita.weights.external_checkpoints import (
    ExternalCheckpoint,
    ReadHeader,
    external_checkpoint,
    external_label,
    is_demucs,
)
from partita.weights.hash_cache import cached_sha256
from partita.weights.licences import (
    Licence,
    allows_commercial_use,
    hub_licence,
    require_commercial_use,
)
from partita.weights.msst_config import read_config
from partita.weights.own_checkpoints import checkpoint_label, own_checkpoint
from partita.weights.safetensors_header import read_header
from partita.weights.suffixes import ONNX
from partita.weights.web_models import local_checkpoint, pinned_model, stated_licence
from partita.weights.web_names import is_web_name, web_name


@dataclass(frozen=True)
class NamedModel:
    """One model by its name. Its files are found and read on first access, each once.

    Attributes
    ----------
    name : str
        Of a card; the path of a checkpoint or of a training's folder; a web name.

    Raises
    ------
    UnknownNameError
        By properties: no such card.
    WeightsError
        By properties: a checkpoint is missing or invalid, or cannot be fetched from the web.
    """

    name: str

    @property
    def models(self) -> tuple[NamedModel, ...]:
        """Itself."""
        return (self,)

    @property
    def has_ensemble(self) -> bool:
        """Always False, see `ChainPlan.has_ensemble`."""
        return False

    def needed(self, _wanted: Iterable[str]) -> NamedModel:
        """Return itself, see `ChainPlan.needed`."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name}  # what is cached may not be pickled, such as `read`

    @cached_property
    def read(self) -> ReadHeader:
        """Reads headers of safetensors files, and remembers them."""
        return functools.cache(read_header)

    @cached_property
    def file(self) -> Path | ExternalCheckpoint | None:
        """Its checkpoint, fetched if needed: partita's own as a path; None: it has a `card`."""
        if is_web_name(self.name):
            return local_checkpoint(self.name)
        external = external_checkpoint(self.name, self.read)
        return own_checkpoint(self.name) if external is None else external

    @cached_property
    def exported(self) -> Mapping[str, str] | None:
        """What partita wrote into its ONNX file; None: it is no exported model."""
        if not isinstance(self.file, ExternalCheckpoint):
            return None
        path = self.file.path
        return read_metadata(path) if path.suffix.lower() == ONNX else None

    @cached_property
    def card(self) -> Card:
        """The card of a model without a `file`."""
        return get_card(self.name)

    @cached_property
    def label(self) -> str:
        """For names of files and folders."""
        if (on_web := web_name(self.name)) is not None:
            return on_web.label
        if isinstance(self.file, ExternalCheckpoint):
            return external_label(self.name, self.file)
        return Path(self.name).name if self.file is None else checkpoint_label(self.file)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Its stems."""
        if self.exported is not None:
            return sources_of(self.exported)
        if isinstance(self.file, ExternalCheckpoint):
            return _external_sources(self.file)
        if self.file is None:
            return self.card.sources
        return checkpoint_sources(self.file, self.read)

    @cached_property
    def licence(self) -> Licence | None:
        """The licence; None: it needs none.

        The user's own checkpoints need none. Imported checkpoints have the licence that was stated
        at import, repositories of the Hub the one on their cards; that of other programs'
        checkpoints is unknown. No weights are fetched.
        """
        if is_web_name(self.name):
            return hub_licence(stated_licence(self.name))
        if self.exported is not None:
            return _stated(self.exported.get("licence", ""))
        if isinstance(self.file, ExternalCheckpoint):
            return Licence("unknown", None)
        if self.file is None:
            card = self.card
            return Licence(card.licence, card.commercial_use) if card.has_weights else None
        try:
            stated = self.read(self.file).metadata.get("licence", "")
        except WeightsCorruptError:  # loading it reports why
            return None
        return _stated(stated)

    def require_commercial_use(self) -> None:
        """Refuse a model whose licence does not clearly allow commercial use.

        Raises
        ------
        UsageError
            It does not, or is unknown.
        """
        require_commercial_use(self.name, self.licence)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of model, configuration and weights."""
        if self.exported is not None:
            return digest_of(self.exported["digest"], self.exported["weights"])
        if is_web_name(self.name):
            return self._web_digest()
        if isinstance(self.file, ExternalCheckpoint):
            config = "" if self.file.config is None else cached_sha256(self.file.config)
            return digest_of(cached_sha256(self.file.path), config)
        if self.file is None:
            tensors: Any = self.card.tensors_sha256
            if not tensors and self.card.remote:  # all sources hold the same weights
                files = self.card.remote[0].files
                tensors = {name: file.digest for name, file in files.items()}
            return digest_of(self.card.model, dict(self.card.config), tensors)
        said = _metadata(self.file, self.read)
        try:
            # Older files have no digest of their tensors: the whole file is hashed instead.
            tensors = said.get("tensors_sha256") or cached_sha256(self.file)
            return digest_of(said["model"], said["config"], tensors)
        except KeyError as error:
            raise WeightsCorruptError(f"{one_line(self.file)}: not a partita checkpoint") from error
        except OSError as error:
            reason = one_line(error.strerror or error)
            raise WeightsUnavailableError(f"{one_line(self.file)}: {reason}") from error

    def _web_digest(self) -> str:
        hashes = {file.filename: file.sha256 for file in pinned_model(self.name).files}
        if isinstance(self.file, ExternalCheckpoint) and self.file.config is not None:
            config = self.file.config  # from the web as well, or a local file in the name
            hashes.setdefault(config.name, "")
            hashes[config.name] = hashes[config.name] or cached_sha256(config)
        return digest_of(sorted(hashes.values()))


def _stated(licence: str) -> Licence | None:
    return Licence(licence, allows_commercial_use(licence)) if licence else None


def checkpoint_sources(path: Path, read: ReadHeader = read_header) -> tuple[str, ...]:
    """Return the stems of a checkpoint of partita, in a few milliseconds at any size.

    Raises
    ------
    WeightsUnavailableError
        The file is missing or unreadable.
    WeightsCorruptError
        It is not a checkpoint of partita.
    """
    said = _metadata(path, read)
    try:
        sources = json.loads(said["sources"])
        if not isinstance(sources, list) or not all(map(is_source_name, sources)):
            raise ValueError
    except (ValueError, LookupError, RecursionError) as error:
        raise WeightsCorruptError(f"{one_line(path)}: not a partita checkpoint") from error
    return tuple(sources)


def _metadata(path: Path, read: ReadHeader) -> Mapping[str, str]:
    """Return the metadata of a checkpoint, or those in ``config.json`` beside it."""
    if not exists(path):
        raise WeightsUnavailableError(f"{one_line(path)}: no such checkpoint")
    header = read(path)
    if "model" in header.metadata:
        return header.metadata
    from partita.weights.hub_mixin import mixin_metadata

    return mixin_metadata(path, header)


def _external_sources(external: ExternalCheckpoint) -> tuple[str, ...]:
    """Return the stems in the configuration, else those in the checkpoint itself."""
    if not exists(external.path):
        raise WeightsUnavailableError(f"{one_line(external.path)}: no such checkpoint")
    if is_demucs(external.path):
        from partita.weights.demucs_package import package_sources

        return package_sources(external.path)
    if external.config is not None:
        config = read_config(external.config)
        if config.instruments or config.target:
            return config.sources
    from partita.weights.msst import load_external

    return load_external(external).sources


def digest_of(*facts: object) -> str:
    """Return the SHA-256 of values that JSON can represent."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=list).encode()).hexdigest()
