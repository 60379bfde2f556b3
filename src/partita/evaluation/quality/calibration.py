"""From the SDR that estimates imply to the SDR that they have: figures fitted to known songs."""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_FILE = "calibration.json"
#: Stems by their other names.
_ALIASES = {
    "voice": "vocals",
    "no_vocals": "accompaniment",
    "instrumental": "accompaniment",
}
#: Key of the curve for stems that calibration has not seen.
OTHER_STEMS = "any stem"


@dataclass(frozen=True)
class Curve:
    """What an implied SDR means for one stem.

    Attributes
    ----------
    slope, offset_db : float
        Of the line: SDR = offset + slope * implied SDR.
    errors_db : mapping of str to float
        Quantiles of true minus predicted SDR of models that the calibration knows, over songs that
        it was not fitted to: ``"5"``, ``"10"``, ``"90"``, ``"95"`` in percent.
    new_model_errors_db : mapping of str to float
        The same over songs and models that it was not fitted to.
    songs : int
        How many there were.
    """

    slope: float
    offset_db: float
    errors_db: Mapping[str, float]
    new_model_errors_db: Mapping[str, float]
    songs: int = 0

    def sdr_db(self, implied_db: float) -> float:
        """Return the SDR on the line."""
        return self.offset_db + self.slope * implied_db


@dataclass(frozen=True)
class Calibration:
    """All curves.

    Attributes
    ----------
    range_db : tuple of float
        Implied SDRs that were seen; what lies beyond counts as the end.
    curves : mapping of str to Curve
        By stem, and `OTHER_STEMS`.
    models : mapping of str to float
        By name of weights: what is added to the SDR on the line, in dB.
    fit : mapping
        Command, songs and models that they were fitted to.
    """

    range_db: tuple[float, float]
    curves: Mapping[str, Curve]
    models: Mapping[str, float]
    fit: Mapping[str, Any] = field(default_factory=dict)

    def curve(self, stem: str) -> tuple[Curve, bool]:
        """Return the curve of a stem, and whether calibration has seen this stem."""
        name = _ALIASES.get(stem, stem)
        known = name in self.curves
        return self.curves[name if known else OTHER_STEMS], known

    def to_json(self) -> str:
        """Return the text of the file."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """Read the text of the file."""
        content = json.loads(text)
        low, high = content["range_db"]
        curves = {name: Curve(**values) for name, values in content["curves"].items()}
        return cls((low, high), curves, content["models"], content["fit"])


@functools.cache
def load_calibration() -> Calibration:
    """Return the calibration that ships with partita."""
    text = importlib.resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    return Calibration.from_json(text)
