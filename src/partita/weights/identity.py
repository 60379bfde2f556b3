"""What tells one model's weights from another's, without loading them.

Nothing here imports PyTorch, but for checkpoints that have to be loaded to tell their stems.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from partita.errors import WeightsCorruptError, WeightsUnavailableError, one_line
from partita.files import exists
from partita.stem_names import is_source_name
from partita.weights import safetensors_header
from partita.weights.cards import get_card
from partita.weights.external_checkpoints import ExternalCheckpoint, external_checkpoint, is_demucs
from partita.weights.hash_cache import cached_sha256
from partita.weights.msst_config import read_config
from partita.weights.own_checkpoints import own_checkpoint
from partita.weights.plan import ChainPlan, ModelPlan, Plan, parse_plan
from partita.weights.web_models import local_checkpoint, pinned_model
from partita.weights.web_names import is_web_name


@dataclass(frozen=True)
class CheckpointHeader:
    """What a checkpoint says of itself.

    Attributes
    ----------
    sources : tuple of str
    digest : str
        SHA-256 of model, configuration and tensors.
    """

    sources: tuple[str, ...]
    digest: str


def read_header(path: Path) -> CheckpointHeader:
    """Read what a checkpoint says of itself, in a few milliseconds whatever its size.

    Raises
    ------
    WeightsUnavailableError
        There is no such file, or it cannot be read.
    WeightsCorruptError
        It is not a checkpoint of partita's.
    """
    name = one_line(path)
    if not exists(path):
        raise WeightsUnavailableError(f"{name}: no such checkpoint")
    found = safetensors_header.read_header(path)
    said = found.metadata
    if "model" not in said:
        from partita.weights.hub_mixin import mixin_metadata

        said = mixin_metadata(path, found)
    try:
        sources = json.loads(said["sources"])
        if not isinstance(sources, list) or not all(map(is_source_name, sources)):
            raise ValueError
        # Older files do not say what their tensors are: the whole file stands for them.
        tensors = said.get("tensors_sha256") or cached_sha256(path)
        return CheckpointHeader(tuple(sources), _digest(said["model"], said["config"], tensors))
    except OSError as error:
        raise WeightsUnavailableError(f"{name}: {one_line(error.strerror or error)}") from error
    except (ValueError, LookupError, RecursionError) as error:
        raise WeightsCorruptError(f"{name}: not a partita checkpoint") from error


def model_sources(model: str) -> tuple[str, ...]:
    """Return the stems of one model, a card's or a checkpoint's.

    Raises
    ------
    UnknownNameError
        No such card.
    WeightsError
        A checkpoint that is not there, or is none; one on the web that cannot be fetched.
    """
    if is_web_name(model):
        there = local_checkpoint(model)
        if isinstance(there, ExternalCheckpoint):
            return _external_sources(there)
        return read_header(there).sources
    if (external := external_checkpoint(model)) is not None:
        return _external_sources(external)
    own = own_checkpoint(model)
    return get_card(model).sources if own is None else read_header(own).sources


def _external_sources(external: ExternalCheckpoint) -> tuple[str, ...]:
    """Return the stems that the configuration names, and else what the checkpoint itself tells."""
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


def model_digest(name: str) -> str:
    """Return a SHA-256 of what a name stands for: models, configurations, weights.

    Parameters
    ----------
    name : str
        As for `partita.weights.plan.parse_plan`.

    Raises
    ------
    UsageError
        As `parse_plan`; no such card.
    WeightsError
        A checkpoint that is not there, or is none.
    """
    return _plan_digest(parse_plan(name))


def _plan_digest(plan: Plan) -> str:
    if isinstance(plan, ModelPlan):
        return _model_digest(plan.model)
    if isinstance(plan, ChainPlan):
        pairs = zip(plan.links, plan.parts, strict=True)
        return _digest(*(fact for link, part in pairs for fact in (link.stem, _plan_digest(part))))
    facts = [[list(member.weights), _plan_digest(member.plan)] for member in plan.members]
    return _digest("ensemble", facts)


def _model_digest(model: str) -> str:
    if is_web_name(model):
        return _web_digest(model)
    if (external := external_checkpoint(model)) is not None:
        config = "" if external.config is None else cached_sha256(external.config)
        return _digest(cached_sha256(external.path), config)
    own = own_checkpoint(model)
    if own is not None:
        return read_header(own).digest
    card = get_card(model)
    tensors: Any = card.tensors_sha256
    if not tensors and card.remote:  # the first source stands for all: they hold the same weights
        tensors = {name: file.digest for name, file in card.remote[0].files.items()}
    return _digest(card.model, dict(card.config), tensors)


def _web_digest(model: str) -> str:
    pin, there = pinned_model(model), local_checkpoint(model)
    hashes = {file.filename: file.sha256 for file in pin.files}
    if isinstance(there, ExternalCheckpoint) and there.config is not None:
        config = there.config  # on the web as well, or a file that the name says
        hashes.setdefault(config.name, "")
        hashes[config.name] = hashes[config.name] or cached_sha256(config)
    return _digest(sorted(hashes.values()))


def _digest(*facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=list).encode()).hexdigest()
