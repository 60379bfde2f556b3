"""partita takes songs apart into stems."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from partita.audio.signal import Audio as Audio
    from partita.errors import PartitaError as PartitaError
    from partita.evaluation.evaluate import evaluate as evaluate
    from partita.models import register_model as register_model
    from partita.separation.estimates import Estimates as Estimates
    from partita.separation.separator import Separator as Separator

# PyTorch takes over a second to import, so that nothing is imported before it is used.
_HOMES = {
    "Audio": "partita.audio.signal",
    "Estimates": "partita.separation.estimates",
    "PartitaError": "partita.errors",
    "Separator": "partita.separation.separator",
    "evaluate": "partita.evaluation.evaluate",
    "register_model": "partita.models",
}

__all__ = [
    "Audio",
    "Estimates",
    "PartitaError",
    "Separator",
    "__version__",
    "evaluate",
    "list_models",
    "register_model",
]


def list_models() -> list[str]:
    """Return the names of all sets of weights, the default first; not those of bags' networks."""
    from partita.weights.cards import CARDS, DEFAULT_MODEL

    names = [name for name, card in CARDS.items() if not card.member_of]
    return sorted(names, key=lambda name: (name != DEFAULT_MODEL, name))


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'partita' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
