"""Writing networks for `torch.export`: ``.pt2`` files, checked before they get their names."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from partita.errors import ModelError, UsageError, one_line
from partita.files import whole_file
from partita.models._protocol import SeparationModel
from partita.weights.exported.network import (
    Example,
    Network,
    as_tuple,
    dynamic_axes,
    example,
    input_names,
    plain_operators,
    usual_samples,
)
from partita.weights.exported.write import TOLERANCE, ExportedFile, describe

#: The file in the archive that holds the metadata.
METADATA_FILE = "partita.json"
_LONGER = 1.5


def export_pt2(
    model: SeparationModel, path: Path, *, name: str = "", licence: str = "", digest: str = ""
) -> ExportedFile:
    """Write the network of a model, weights included, as a program of `torch.export`.

    ``torch.export.load(path).module()`` is the method `SeparationModel.core`. Batch and length are
    dynamic where PyTorch can prove that the network allows it; otherwise both are those of one
    window, and `least_samples` is the window's length.

    Parameters
    ----------
    model : SeparationModel
    path : Path
        Appears when the file is complete and checked.
    name, licence, digest : str
        As for `export_network`; they are in the archive's ``partita.json``.

    Raises
    ------
    UsageError
        The model has no network, or one that cannot be exported.
    ModelError
        The file does not give what PyTorch gives.
    OSError
        The file cannot be written.
    """
    model = model.eval()
    single, several = (example(model, usual_samples(model), batch=count) for count in (1, 2))
    longer = example(model, round(_LONGER * single.samples), batch=1, seed=1)
    with whole_file(path) as partial:
        for is_dynamic in (True, False):
            least = 1 if is_dynamic else single.samples
            usual = several if is_dynamic else single  # PyTorch takes a size of 1 for fixed
            said = describe(model, name=name, licence=licence, digest=digest, least_samples=least)
            try:
                _write(model, usual, partial, said, is_dynamic=is_dynamic)
                loaded = torch.export.load(partial).module()
            except Exception as error:  # its errors have no common base
                if is_dynamic:
                    continue
                reason = one_line(str(error).partition("\n")[0])
                raise UsageError(f"{model.registry_name} cannot be exported: {reason}") from error
            tried = [usual, longer] if is_dynamic else [usual]
            difference = max(_difference(model, loaded, each) for each in tried)
            if difference <= TOLERANCE:
                break
        else:
            raise ModelError(
                f"{model.registry_name}: the exported network differs from PyTorch's by "
                f"{difference:.1g}; at most {TOLERANCE:g} is allowed"
            )
        size = partial.stat().st_size
    return ExportedFile(path, size, difference, least)


def _write(
    model: SeparationModel,
    usual: Example,
    path: Path,
    metadata: Mapping[str, str],
    *,
    is_dynamic: bool,
) -> None:
    network = Network(model, [each is not None for each in usual.arguments]).eval()
    shapes: tuple[Any, ...] | None = None
    if is_dynamic:
        axes = dynamic_axes(model, usual)
        auto = torch.export.Dim.AUTO
        shapes = (tuple(dict.fromkeys(axes[key], auto) for key in input_names(model, usual)),)
    with plain_operators(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the check that follows tells what went wrong
        program = torch.export.export(network, usual.inputs, dynamic_shapes=shapes)
        torch.export.save(program, path, extra_files={METADATA_FILE: json.dumps(dict(metadata))})


def _difference(model: SeparationModel, loaded: Any, inputs: Example) -> float:
    given = [each is not None for each in inputs.arguments]
    with torch.no_grad():
        expected = as_tuple(Network(model, given).eval()(*inputs.inputs))
        try:
            found = as_tuple(loaded(*inputs.inputs))
        except Exception:  # guards of lengths; they have no common base
            return float("inf")
    return max(
        float((one - other).abs().max() / other.abs().max().clamp(min=1e-20))
        for one, other in zip(found, expected, strict=True)
    )
