"""Models whose networks run in ONNX Runtime, by their names."""

from __future__ import annotations

import logging

from partita.errors import UsageError, WeightsCorruptError, one_line
from partita.models._protocol import SeparationModel
from partita.weights.cache_folder import cache_folder, writing_cache
from partita.weights.exported.metadata import FORMAT
from partita.weights.exported.session import exported_model
from partita.weights.exported.write import export_network
from partita.weights.identity import NamedModel
from partita.weights.store import load_model

AUTO, TORCH, ONNXRUNTIME = RUNTIMES = ("auto", "torch", "onnxruntime")
_FOLDER = "exported"
#: The number is raised where graphs become better: cached ones are then made anew.
_GRAPHS = f"{FORMAT}-graphs-2"
_log = logging.getLogger(__name__)


def load_for(runtime: str, named: NamedModel) -> SeparationModel:
    """Return a model for a runtime.

    Parameters
    ----------
    runtime : str
        ``torch``; ``onnxruntime``: its network is exported once, into the cache folder; ``auto``:
        ``onnxruntime`` for exported files, ``torch`` for others.
    named : NamedModel

    Raises
    ------
    UsageError
        There is no such runtime; an exported file for ``torch``; a network that cannot be exported;
        ONNX Runtime is not installed.
    WeightsError
        The weights cannot be fetched or read.
    """
    check_runtime(runtime)
    if runtime == TORCH and named.exported is not None:
        raise UsageError(
            f'{one_line(named.name)} is an exported model: `runtime="onnxruntime"` runs it'
        )
    if runtime != ONNXRUNTIME or named.exported is not None:
        return load_model(named)
    path = cache_folder() / _FOLDER / _GRAPHS / f"{named.digest}.onnx"
    if path.is_file():
        try:
            return exported_model(path)
        except WeightsCorruptError as error:
            _log.warning("%s; exporting it again", error)
    model = load_model(named)
    if model.no_core:  # such as HPSS: there is no network to run elsewhere
        return model
    licence = named.licence
    with writing_cache():
        path.parent.mkdir(parents=True, exist_ok=True)
        export_network(
            model,
            path,
            name=named.label,
            licence=licence.text if licence else "",
            digest=named.digest,
        )
    return exported_model(path)


def check_runtime(runtime: str) -> None:
    """Refuse an unknown runtime.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    if runtime not in RUNTIMES:
        raise UsageError(f"`runtime` {one_line(runtime)} is not one of {', '.join(RUNTIMES)}")
