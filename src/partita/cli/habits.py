"""What users of other programs type, in terms of ``partita separate``.

Demucs, Spleeter, Open-Unmix's ``umx`` and audio-separator call the same things by other names. What
means exactly the same is taken; for the rest one sentence says what to type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from partita.errors import UsageError, one_line

#: Option → whether a value follows it.
Options = Mapping[str, bool]

_FLAGS = {
    **{f"--{form}": ("--format", form) for form in ("wav", "flac", "mp3", "ogg", "opus", "m4a")},
    "--int24": ("--bits", "24"),
    "--float32": ("--bits", "float"),
    "--mwf": ("--wiener", "1"),
}
#: The value comes last.
_RENAMED = {
    "--mp3-bitrate": ("--format", "mp3", "--bitrate"),
    "-b": ("--bitrate",),
    "-c": ("--format",),
    "--codec": ("--format",),
    "--ext": ("--format",),
    "--output-format": ("--format",),
    "-f": ("--filename",),
    "--filename-format": ("--filename",),
    "-p": ("--model",),
    "--params-filename": ("--model",),
    "-m": ("--model",),
    "--model-filename": ("--model",),
    "-s": ("--start",),
    "--offset": ("--start",),
    "--outdir": ("--out",),
    "--output-dir": ("--out",),
    "--output-path": ("--out",),
    "--single-stem": ("--stems",),
    "--targets": ("--stems",),
    "--niter": ("--wiener",),
    "-i": (),
    "--inputs": (),
}
_REFUSED = {
    "--clip-mode": "nothing is ever clipped: where a stem would be, all stems get one gain; "
    "--bits float needs none",
    "--residual": "--two-stems STEM gives STEM and no_STEM, which is the rest of the song",
    "--repo": "--model takes the path of a checkpoint, a bag's YAML file, or a folder of either",
    "--no-split": "leave it out: songs of any length fit, and --segment sets the windows' length",
    "--other-method": "--two-stems STEM gives no_STEM as the sum of all other stems",
    "--list-format": "partita models list --json lists the weights for programs",
    "--normalization": "stems keep the song's level; a joint gain is used against clipping only",
    "--sample-rate": "--keep-rate gives stems the song's own sample rate",
}
_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)s?", re.ASCII)
#: Of demucs's networks that are no part of a bag: those go by their signatures here as well.
_SIGNATURES = {"955717e8": "htdemucs", "5c90dfd2": "htdemucs_6s", "75fc33f5": "hdemucs_mmi"}
_SIGNATURE = re.compile(rf"(?<![\w./-])({'|'.join(_SIGNATURES)})(?![\w./-])")
_SPLEETER = re.compile(r"spleeter:(\d)stems")
_FIELDS = {"{filename}": "{track}", "{instrument}": "{stem}", "{codec}": "{ext}"}


def translate(arguments: Sequence[str], options: Options) -> list[str]:
    """Return a command's arguments in its own words.

    Parameters
    ----------
    arguments : sequence of str
    options : mapping of str to bool
        The command's own options, which always win; underscores in them may be dashes.

    Raises
    ------
    UsageError
        An option of another program's that has no equal here.
    """
    left = list(arguments)
    words: list[str] = []
    while left:
        word = left.pop(0)
        if word == "--":
            return [*words, word, *left]
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        name = name if name in options else own_spelling(name)
        if name in options:
            words.append(name + equals + value)
            if options[name] and not equals:
                words += left[:1]
                del left[:1]
        elif name in _REFUSED:
            raise UsageError(f"there is no {name}: {_REFUSED[name]}")
        elif name in _FLAGS and not equals:
            words += _FLAGS[name]
        elif name in _RENAMED:
            if not equals and not left:
                raise UsageError(f"{name} needs a value (partita separate --help shows the usage)")
            value = value if equals else left.pop(0)
            if name == "--targets":
                value = ",".join([value, *_bare_words(left)])
            words += [*_RENAMED[name], value]
        else:
            words.append(word)
    return words


def own_spelling(name: str) -> str:
    """Return an option with dashes for underscores."""
    return name.replace("_", "-") if name.startswith("--") else name


def is_known(name: str, options: Options) -> bool:
    """Tell whether a word is an option of ``partita separate``'s, or of another program's."""
    name = own_spelling(name.partition("=")[0])
    return any(name in names for names in (options, _FLAGS, _RENAMED, _REFUSED))


def model_name(name: str) -> str:
    """Return a name with what ``spleeter:2stems`` and signatures of demucs are called here."""
    name = _SIGNATURE.sub(lambda match: _SIGNATURES[match[1]], name)
    return _SPLEETER.sub(r"spleeter-\1stems", name)


def template(text: str) -> str:
    """Return a file name template with the fields' own names for Spleeter's."""
    for theirs, ours in _FIELDS.items():
        text = text.replace(theirs, ours)
    return text


def seconds(option: str, text: str) -> float:
    """Return the seconds of a time: ``90``, ``1:30``, ``1:02:03.5``.

    Raises
    ------
    UsageError
        It is none; the message names the option.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None or (match[2] and float(match[3]) >= 60) or (match[1] and int(match[2]) >= 60):
        raise UsageError(
            f"{option} {one_line(text)} is no time: type seconds, m:ss or h:mm:ss (90, 1:30)"
        )
    return int(match[1] or 0) * 3600 + int(match[2] or 0) * 60 + float(match[3])


def _bare_words(left: list[str]) -> list[str]:
    """Take the further values of an option that takes several: words that are no files."""
    found: list[str] = []
    while left and not left[0].startswith("-") and not Path(left[0]).suffix:
        if Path(left[0]).exists():
            break
        found.append(left.pop(0))
    return found
