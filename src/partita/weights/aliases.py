"""What other programs call weights that have names here."""

from __future__ import annotations

import re

#: Signatures of demucs's networks outside bags; networks in bags go by their signatures here too.
_SIGNATURES = {"955717e8": "htdemucs", "5c90dfd2": "htdemucs_6s", "75fc33f5": "hdemucs_mmi"}
_SIGNATURE = re.compile(rf"(?<![\w./-])({'|'.join(_SIGNATURES)})(?![\w./-])")
_SPLEETER = re.compile(r"spleeter:(\d)stems")


def own_name(name: str) -> str:
    """Return a model name with our names for ``spleeter:2stems`` and demucs's signatures."""
    name = _SIGNATURE.sub(lambda match: _SIGNATURES[match[1]], name)
    return _SPLEETER.sub(r"spleeter-\1stems", name)
