"""Settings of a training as people write them on the command line: ``key=value``."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin, get_type_hints

from partita.errors import UnknownNameError, UsageError
from partita.validation import find_fault

#: How other programs call it, where that is no part of our name.
_ELSEWHERE = {
    **dict.fromkeys(("n_fft", "nfft", "stft_size"), "fft_samples"),
    **dict.fromkeys(("dtype", "amp", "mixed_precision"), "precision"),
    **dict.fromkeys(("seq_dur", "duration", "segment", "chunk_size"), "excerpt_s"),
    **dict.fromkeys(("grad_clip", "max_grad_norm", "gradient_clip_val"), "clip_norm"),
    **dict.fromkeys(("targets", "target", "stems", "instruments"), "sources"),
    "lrate": "learning_rate",
}


def parse_settings(texts: Iterable[str], *types: type) -> dict[str, Any]:
    """Read ``key=value`` texts for the fields of dataclasses.

    Numbers, ``true`` and ``false`` are read as in JSON, anything else is text; fields that are
    tuples take values with commas between them. Fields that are mappings cannot be set.

    Parameters
    ----------
    texts : iterable of str
    *types : dataclass
        Whose fields may be set; of a name that several have, the first counts.

    Raises
    ------
    UsageError
        A text without ``=``, a value of the wrong type, or a key given twice.
    UnknownNameError
        A key that none of the types has.
    """
    fields = {field.name: cls for cls in reversed(types) for field in dataclasses.fields(cls)}
    hints = {name: get_type_hints(cls)[name] for name, cls in fields.items()}
    hints = {name: hint for name, hint in hints.items() if get_origin(hint) is not Mapping}
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"`settings`: {text!r} is not of the form key=value")
        if key not in hints:
            meant = _ELSEWHERE.get(key.lower())
            if meant in hints:
                raise UsageError(f"unknown setting {key!r}; it is called {meant}")
            raise UnknownNameError("setting", key, hints)
        if key in values:
            raise UsageError(f"`settings` name {key!r} twice")
        values[key] = _read(value, hints[key])
        if fault := find_fault(fields[key], {key: values[key]}):
            raise UsageError(f"`settings`: {fault}")
    return values


def _read(text: str, hint: Any) -> Any:
    """Return the value of a text; texts that are no value of the type stay texts."""
    optional = type(None) in get_args(hint)
    if optional and text == "null":
        return None
    if optional:
        (hint,) = (each for each in get_args(hint) if each is not type(None))
    if get_origin(hint) is not tuple:
        return text if hint is str else _plain(text)
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(parts if get_args(hint)[0] is str else map(_plain, parts))


def _plain(text: str) -> Any:
    """Return a number or truth as JSON has it, else the text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    is_finite = isinstance(value, float) and math.isfinite(value)
    return value if is_finite or isinstance(value, int) else text
