"""Songs with known stems, to train on: composed, played, sung and mixed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from partita_synthesis.settings import SynthesisSettings as SynthesisSettings
    from partita_synthesis.song import Studio as Studio
    from partita_synthesis.song import SynthesizedSong as SynthesizedSong
    from partita_synthesis.song_folders import write_songs as write_songs

# partita imports the command for its help: SciPy and pedalboard wait until they are used.
_HOMES = {
    "Studio": "partita_synthesis.song",
    "SynthesisSettings": "partita_synthesis.settings",
    "SynthesizedSong": "partita_synthesis.song",
    "write_songs": "partita_synthesis.song_folders",
}

__all__ = ["Studio", "SynthesisSettings", "SynthesizedSong", "__version__", "write_songs"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'partita_synthesis' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
