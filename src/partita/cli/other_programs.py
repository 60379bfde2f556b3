"""Options and model names of other programs, translated to those of ``partita separate``.

Options of Demucs, Spleeter, Open-Unmix's ``umx`` and audio-separator that mean exactly the same are
translated; for the others an error says in one line what to type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from partita.audio.formats import FORMATS_PER_STEM
from partita.errors import UsageError

#: Option → whether a value follows it.
Options = Mapping[str, bool]

_FLAGS = {
    **{f"--{form}": ("--format", form) for form in FORMATS_PER_STEM},
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
    "--clip-mode": "stems are never clipped: if one would clip, all stems get the same gain; "
    "--bits float needs none",
    "--residual": "--two-stems STEM gives STEM and no_STEM, the rest of the song",
    "--repo": "--model takes the path of a checkpoint, a bag's YAML file, or a folder of either",
    "--no-split": "omit it: memory does not grow with length; --segment sets the window length",
    "--other-method": "--two-stems STEM gives no_STEM as the sum of all other stems",
    "--list-format": "partita models list --json lists all weights as JSON",
    "--normalization": "stems keep the song's level; one gain for all stems prevents clipping",
    "--sample-rate": "--keep-rate gives stems the song's own sample rate",
}
_FIELDS = {"{filename}": "{track}", "{instrument}": "{stem}", "{codec}": "{ext}"}


def translate(arguments: Sequence[str], options: Options) -> list[str]:
    """Return a command's arguments with our own options.

    Parameters
    ----------
    arguments : sequence of str
    options : mapping of str to bool
        The command's own options, which take precedence; underscores may replace dashes.

    Raises
    ------
    UsageError
        An option of another program that has no equivalent here.
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
    """Return an option with dashes instead of underscores."""
    return name.replace("_", "-") if name.startswith("--") else name


def is_known(name: str, options: Options) -> bool:
    """Tell whether a word is an option of ``partita separate`` or of another program."""
    name = own_spelling(name.partition("=")[0])
    return any(name in names for names in (options, _FLAGS, _RENAMED, _REFUSED))


def template(text: str) -> str:
    """Return a file name template with Spleeter's fields replaced by ours."""
    for theirs, ours in _FIELDS.items():
        text = text.replace(theirs, ours)
    return text


def _bare_words(left: list[str]) -> list[str]:
    """Take the further values of an option with several values: words that are not files."""
    found: list[str] = []
    while left and not left[0].startswith("-") and not Path(left[0]).suffix:
        if Path(left[0]).exists():
            break
        found.append(left.pop(0))
    return found
