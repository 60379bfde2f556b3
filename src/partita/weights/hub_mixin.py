"""``config.json`` beside a checkpoint, as ``PyTorchModelHubMixin`` of `huggingface_hub` writes it.

The checkpoint has no metadata. ``config.json`` has the model's settings, and the model's name if
partita wrote it; otherwise the tensors identify the model.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from partita.errors import ModelError, UnknownNameError, WeightsCorruptError, one_line
from partita.files import exists
from partita.models import config_type, create_model, list_models
from partita.models._protocol import SeparationModel
from partita.weights.hub_files import MIXIN_CONFIG
from partita.weights.safetensors_header import Header

#: The Hub's own key.
MODEL_KEY = "model_type"
_MOST_BYTES = 1_000_000
_MOST_TRIED = 4
_SHOWN_CHARS = 60


def mixin_metadata(path: Path, header: Header) -> Mapping[str, str]:
    """Return the metadata that the checkpoint would have if partita had written it.

    Parameters
    ----------
    path : Path
        Of a checkpoint whose metadata lack its model.
    header : Header
        Of the checkpoint.

    Returns
    -------
    mapping of str to str
        ``model``, ``config`` and ``sources``, as `partita.weights.checkpoint.save_checkpoint`
        writes them.

    Raises
    ------
    WeightsCorruptError
        There is no ``config.json`` beside it, or it describes no model of partita.
    """
    config = path.parent / MIXIN_CONFIG
    if not exists(config):
        raise WeightsCorruptError(
            f"{one_line(path)}: not a partita checkpoint (its metadata lack 'model', and no "
            f"{MIXIN_CONFIG} is beside it)"
        )
    settings = _settings(config)
    name = settings.pop(MODEL_KEY, "")
    model = _named(config, name, settings) if name else _fitting(config, settings, header)
    return {
        "model": model.registry_name,
        "config": json.dumps(model.config.to_dict()),
        "sources": json.dumps(list(model.sources)),
    }


def _settings(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        settings = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsCorruptError(
            f"{one_line(path)}: not a readable JSON file ({one_line(error)})"
        ) from error
    if len(text) > _MOST_BYTES or not isinstance(settings, dict):
        raise WeightsCorruptError(f"{one_line(path)}: not the settings of a model")
    return settings


def _named(path: Path, name: object, settings: Mapping[str, Any]) -> SeparationModel:
    try:
        return create_model(str(name)[:_SHOWN_CHARS], settings, initialise=False)
    except (ModelError, UnknownNameError) as error:
        raise WeightsCorruptError(
            f"{one_line(path)}: describes no model of partita ({one_line(error)})"
        ) from error


def _fitting(path: Path, settings: Mapping[str, Any], header: Header) -> SeparationModel:
    """Return the only model with these settings and tensors."""
    found = []
    for name in _taking(settings):
        try:
            model = create_model(name, settings, initialise=False)
        except ModelError:
            continue
        shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
        if shapes == dict(header.shapes):
            found.append(model)
    if len(found) == 1:
        return found[0]
    fits = ", ".join(model.registry_name for model in found) or "no model of partita"
    raise WeightsCorruptError(
        f"{one_line(path)}: its settings and the checkpoint's tensors fit {fits}: "
        f"{MODEL_KEY} must name the model"
    )


def _taking(settings: Mapping[str, Any]) -> list[str]:
    """Return the models that have these settings, preferably exactly these.

    Returns nothing if too many models have them: building all takes seconds.
    """
    fields = {
        name: {field.name for field in dataclasses.fields(config_type(name))}
        for name in list_models()
    }
    whole = [name for name, known in fields.items() if known == settings.keys()]
    taking = whole or [name for name, known in fields.items() if settings.keys() <= known]
    return taking if len(taking) <= _MOST_TRIED else []
