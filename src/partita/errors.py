"""Every error that partita raises on purpose.

::

    PartitaError
    ├── UsageError                 invalid options or arguments (exit status 2)
    │   └── UnknownNameError       unknown model, stem, format, …; suggests similar names
    ├── AudioReadError             a file that cannot be read as audio
    ├── AudioWriteError            a stem that cannot be written
    ├── ScoresError                scores that cannot be read or computed
    ├── ModelError                 a configuration that does not make a model
    ├── TrainingError              a training that cannot continue
    └── WeightsError               weights that cannot be used
        ├── WeightsUnavailableError    not in the cache, and cannot be fetched
        └── WeightsCorruptError        not what the card or checkpoint states

Messages are one line: what went wrong, where, and what to do about it.

Messages name parameters, in backquotes, as Python has them: ```segment_s```, ```device="cpu"```.
The command line prints its flags in their place (`partita.cli.flags`).
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import unicodedata
from collections.abc import Iterable

_LONGEST_SHOWN = 100


class PartitaError(Exception):
    """Base of all errors that partita raises on purpose."""


class UsageError(PartitaError):
    """Invalid options or arguments."""


class UnknownNameError(UsageError, LookupError):
    """An unknown name.

    Parameters
    ----------
    kind : str
        Kind of the name: ``"model"``, ``"stem"``, …
    name : str
    known : iterable of str
        The known names.
    lister : str
        The command that lists them, if they are too many for a message.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], lister: str = "") -> None:
        candidates = sorted(set(known))
        if len(name) > _LONGEST_SHOWN:
            name = name[:_LONGEST_SHOWN] + "…"
        if near := near_names(name, candidates):
            hint = f"did you mean {' or '.join(near)}?"
        elif lister:
            hint = f"{lister} lists the known ones"
        elif candidates:
            hint = f"known: {', '.join(candidates)}"
        else:
            hint = "none are known"
        super().__init__(f"unknown {kind} {name!r}; {hint}")


_CLOSE = 0.75  # ratio of equal letters, as difflib counts; at 0.6, float32 is near format
_MOST_NEAR = 3


def near_names(name: str, known: Iterable[str]) -> list[str]:
    """Return known names that `name` may stand for, the most similar first.

    Names are similar if they have nearly the same spelling, if one begins with the other
    (``output`` for ``out``), if `name` is one of the words of the other, or its initials (``lr``
    for ``learning_rate``).
    """
    typed = _words(name)
    spellings = {candidate: _words(candidate) for candidate in known}
    joined = "".join(typed)
    alike = {
        candidate: difflib.SequenceMatcher(None, joined, "".join(words)).ratio()
        for candidate, words in spellings.items()
    }
    near = [c for c in sorted(alike, key=lambda c: -alike[c]) if alike[c] >= _CLOSE]
    near += [
        candidate
        for candidate, words in spellings.items()
        if len(joined) > 1
        and (
            joined == "".join(word[0] for word in words)
            or joined in words
            or (len(joined) > 2 and "".join(words).startswith(joined))
            or (len("".join(words)) > 2 and joined.startswith("".join(words)))
        )
    ]
    return list(dict.fromkeys(near))[:_MOST_NEAR]


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFC", name).lower())


class AudioReadError(PartitaError):
    """A file that cannot be read as audio."""


class AudioWriteError(PartitaError):
    """A stem that cannot be written."""


class ScoresError(PartitaError):
    """Scores that cannot be read or computed."""


class ModelError(PartitaError):
    """A configuration that does not make a model."""


class TrainingError(PartitaError):
    """A training that cannot continue."""


class WeightsError(PartitaError):
    """Weights that cannot be used."""


class WeightsUnavailableError(WeightsError):
    """Weights that are not in the cache and cannot be fetched."""


class WeightsCorruptError(WeightsError):
    """Weights that are not what their card or checkpoint states."""


_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space or choose another folder with `out`",
    errno.EDQUOT: "the disk quota is used up: free some space or choose another folder with `out`",
    errno.EFBIG: "the file would be larger than this system allows",
    errno.EACCES: "permission denied: choose another folder with `out`",
    errno.EPERM: "permission denied: choose another folder with `out`",
    errno.EROFS: "the file system is read-only: choose another folder with `out`",
    errno.ENAMETOOLONG: "the path is too long: shorten it with `filename` or `out`",
    errno.ENOENT: "the folder cannot be made there: choose another with `out`",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another folder with `out`",
    errno.EEXIST: "a part of the path is a file, not a folder: choose another folder with `out`",
    errno.EISDIR: "a folder of that name is in the way: remove it or choose another with `out`",
}


def one_line(text: object) -> str:
    """Return `text` with line breaks and control characters escaped."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in str(text)
    )


def unexpected(error: Exception) -> str:
    """Return one line on an error that nobody has raised on purpose."""
    return one_line(f"failed unexpectedly ({type(error).__name__}: {error})")


def write_error(where: object, error: OSError) -> AudioWriteError:
    """Return an error of one line, with advice, for an error of the operating system."""
    own = isinstance(error, FileNotFoundError) and error.strerror != os.strerror(errno.ENOENT)
    reason = error.strerror if own else _ADVICE.get(error.errno or 0)
    reason = reason or error.strerror or str(error)
    return AudioWriteError(f"cannot write {one_line(where)}: {reason}")
