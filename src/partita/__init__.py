"""partita takes songs apart into stems."""

from __future__ import annotations

from importlib import import_module

from partita._version import __version__

TYPE_CHECKING = False  # as type checkers read it; importing typing takes as long as all the rest
if TYPE_CHECKING:
    from typing import Any

    from partita import audio as audio
    from partita import datasets as datasets
    from partita import dsp as dsp
    from partita import errors as errors
    from partita import evaluation as evaluation
    from partita import mixing as mixing
    from partita import models as models
    from partita import reports as reports
    from partita import separation as separation
    from partita import training as training
    from partita import weights as weights
    from partita.audio.signal import Audio as Audio
    from partita.audio.signal import load_audio as load_audio
    from partita.errors import PartitaError as PartitaError
    from partita.evaluation.evaluate import evaluate as evaluate
    from partita.mixing.mix import mix as mix
    from partita.models import list_models as list_models
    from partita.models import register_model as register_model
    from partita.reports.notebook import show as show
    from partita.separation.estimates import Estimates as Estimates
    from partita.separation.separator import Separator as Separator
    from partita.weights import list_weights as list_weights

# PyTorch takes over a second to import, so that nothing is imported before it is used.
_HOMES = {
    "Audio": "partita.audio.signal",
    "Estimates": "partita.separation.estimates",
    "PartitaError": "partita.errors",
    "Separator": "partita.separation.separator",
    "evaluate": "partita.evaluation.evaluate",
    "list_models": "partita.models",
    "list_weights": "partita.weights",
    "load_audio": "partita.audio.signal",
    "mix": "partita.mixing.mix",
    "register_model": "partita.models",
    "show": "partita.reports.notebook",
}
_PACKAGES = (
    *("audio", "datasets", "dsp", "errors", "evaluation", "mixing", "models", "reports"),
    *("separation", "training", "weights"),
)

__all__ = [
    "Audio",
    "Estimates",
    "PartitaError",
    "Separator",
    "__version__",
    "evaluate",
    "list_models",
    "list_weights",
    "load_audio",
    "mix",
    "register_model",
    "show",
]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"partita.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'partita' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, *_PACKAGES]
