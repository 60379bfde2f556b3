"""Reader of checkpoints of MSST (Music-Source-Separation-Training) and their YAML files.

A checkpoint holds only tensors; the YAML file has the settings of the network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from partita.errors import ModelError, UnknownNameError, WeightsCorruptError, one_line
from partita.models import create_model
from partita.models._protocol import SeparationModel
from partita.weights.bag_file import check_member, segment_s
from partita.weights.checkpoint import check_finite, tensors_faults
from partita.weights.demucs_package import model_from_package
from partita.weights.exported.metadata import read_metadata
from partita.weights.exported.session import exported_model
from partita.weights.external_checkpoints import ExternalCheckpoint, is_demucs
from partita.weights.htdemucs_onnx import model_from_onnx
from partita.weights.msst_config import MsstConfig, read_config
from partita.weights.msst_family import MsstFamily, Shapes
from partita.weights.msst_mdx23c import MDX23C
from partita.weights.msst_roformer import BS_ROFORMER, MEL_BAND_ROFORMER
from partita.weights.msst_scnet import MASKED_SCNET, SCNET
from partita.weights.safetensors_header import read_header
from partita.weights.state_dicts import corrupt_if_unreadable, read_nested_state_dict
from partita.weights.suffixes import ONNX

#: The first family that recognises a checkpoint reads it.
_FAMILIES: tuple[MsstFamily, ...] = (
    BS_ROFORMER,
    MEL_BAND_ROFORMER,
    SCNET,
    MASKED_SCNET,
    MDX23C,
)
_MOST_FAULTS = 3


def load_external(found: ExternalCheckpoint) -> SeparationModel:
    """Build the model of an external checkpoint and load its weights.

    Returns
    -------
    SeparationModel
        In evaluation mode, on the CPU, its weights float32.

    Raises
    ------
    WeightsUnavailableError
        A file does not exist.
    WeightsCorruptError
        The checkpoint is damaged, holds more than tensors or weights that are NaN or infinite, has
        an unknown architecture or does not fit its configuration; or settings are missing.
    """
    if is_demucs(found.path):
        if found.config is None:
            return model_from_package(found.path)
        check_member(found.path, found.config)
        return model_from_package(found.path, segment_s(found.config))
    if found.path.suffix.lower() == ONNX:
        is_ours = read_metadata(found.path) is not None
        return exported_model(found.path) if is_ours else model_from_onnx(found.path)
    state, facts = _tensors(found.path)
    config = MsstConfig("", {}) if found.config is None else read_config(found.config)
    config = _completed(config, facts)
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    family = _family(found.path, shapes)
    missing = family.missing(config, shapes)
    if missing:
        where = "beside it" if found.config is None else f"in {one_line(found.config)}"
        raise WeightsCorruptError(
            f"{one_line(found.path)}: a checkpoint of {family.title}, and nothing {where} says "
            f"{', '.join(missing)}: name the YAML file that came with it as `config`"
        )
    model = _model(found, family, config, shapes)
    tensors = family.tensors(state, model.config.to_dict(), config)
    _check_fit(found, tensors, model)
    check_finite(one_line(found.path), tensors)
    wanted = model.state_dict()
    tensors = {name: tensor.to(wanted[name].dtype) for name, tensor in tensors.items()}
    model.load_state_dict(tensors, strict=True, assign=True)
    return model.eval()


def tensors_for(model: SeparationModel, path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint under the names of a given model.

    No YAML file is needed, since the model is given. 16-bit tensors become float32.

    Raises
    ------
    WeightsCorruptError
        As `load_external`; or the architecture is another one. The caller checks that the tensors
        fit the model.
    """
    state, _ = _tensors(path)
    family = _family(path, {name: tuple(tensor.shape) for name, tensor in state.items()})
    if family.model != model.registry_name:
        raise WeightsCorruptError(
            f"{one_line(path.name)}: holds {family.title}, not {model.registry_name}"
        )
    tensors = family.tensors(state, model.config.to_dict(), MsstConfig("", {}))
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def _tensors(path: Path) -> tuple[dict[str, Tensor], Mapping[str, Any]]:
    """Return the tensors of a file and its other facts."""
    if path.suffix.lower() != ".safetensors":
        return read_nested_state_dict(path)
    from safetensors.torch import load_file

    read_header(path)
    with corrupt_if_unreadable(path, "not a readable safetensors file"):
        return load_file(path), {}


def _completed(config: MsstConfig, facts: Mapping[str, Any]) -> MsstConfig:
    """Return the configuration with the target that the checkpoint may name."""
    target = facts.get("target_instrument")
    if not isinstance(target, str) or config.instruments or config.target:
        return config
    training = {**config.section("training"), "target_instrument": target}
    return dataclasses.replace(config, values={**config.values, "training": training})


def _family(path: Path, shapes: Shapes) -> MsstFamily:
    for family in _FAMILIES:
        if family.recognises(shapes):
            return family
    known = ", ".join(family.title for family in _FAMILIES)
    raise WeightsCorruptError(
        f"{one_line(path)}: its tensors belong to no architecture that partita knows ({known})"
    )


def _model(
    found: ExternalCheckpoint, family: MsstFamily, config: MsstConfig, shapes: Shapes
) -> SeparationModel:
    """Build the model that a configuration describes, without storage."""
    values = family.config(config, shapes)
    try:
        return create_model(family.model, values, initialise=False)
    except (ModelError, UnknownNameError) as error:
        where = one_line(found.config or found.path)
        raise WeightsCorruptError(
            f"{where}: does not describe a {family.title} ({error})"
        ) from error


def _check_fit(
    found: ExternalCheckpoint, tensors: Mapping[str, Tensor], model: SeparationModel
) -> None:
    has = {name: str(list(tensor.shape)) for name, tensor in tensors.items()}
    expected = {name: str(list(tensor.shape)) for name, tensor in model.state_dict().items()}
    faults = tensors_faults(has, expected)
    if faults:
        more = len(faults) - _MOST_FAULTS
        beyond = f"; and {more} more" if more > 0 else ""
        config = "the names of its tensors" if found.config is None else one_line(found.config)
        raise WeightsCorruptError(
            f"{one_line(found.path)}: does not fit {config}: it "
            f"{'; it '.join(faults[:_MOST_FAULTS])}{beyond}"
        )
