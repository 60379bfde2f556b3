"""Licences of files in Debian packages, from their copyright files."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from pathlib import Path

from partita.errors import PartitaError

#: Licences whose works may be used to train weights for any use. Licences that forbid commercial
#: use or changes are excluded, and so are unknown ones.
_FREE = re.compile(
    r"(CC0|CC-BY(-SA)?|Artistic|BSD|GPL|LGPL|MIT|Expat|ISC|Zlib|Apache|public-domain)"
    r"([-.+ ]?(\d[\w.+]*|clause|only|or|later|universal))*",
    re.IGNORECASE,
)


def licence_of(file: str, copyright_file: Path) -> str:
    """Return the licence of a file, given as in the package's source.

    The last paragraph that names the file counts (Debian's machine-readable copyright files,
    version 1.0).
    """
    found = ""
    for patterns, licence in _paragraphs(copyright_file.read_text(encoding="utf-8")):
        if any(fnmatch.fnmatchcase(file, pattern) for pattern in patterns):
            found = licence
    if not found:
        raise PartitaError(f"{copyright_file}: states no licence for {file}")
    return found


def is_free(licence: str) -> bool:
    """Return whether works under a licence may be used for training.

    If several licences apply together, all must be free; if one may be chosen, one.
    """
    return any(
        all(_FREE.fullmatch(part.strip()) for part in re.split(r"\s+and\s+", choice))
        for choice in re.split(r"\s+or\s+", licence)
    )


def _paragraphs(text: str) -> Iterator[tuple[list[str], str]]:
    """Yield patterns of files with the licence of each."""
    for paragraph in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line[:1] in " \t":
                fields[name] = fields.get(name, "") + "\n" + line.strip()
            else:
                name, _, value = line.partition(":")
                name = name.lower()
                fields[name] = value.strip()
        if "files" in fields and "license" in fields:
            yield fields["files"].split(), fields["license"].partition("\n")[0].strip()
