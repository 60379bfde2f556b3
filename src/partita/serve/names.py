"""Names that clients send: for people to read, and never a path."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path, PurePosixPath

from partita.audio.formats import is_stem_mp4
from partita.audio.reader import AUDIO_EXTENSIONS
from partita.files import plain_name

_LONGEST = 200
_UNNAMED = "song"
#: What a stored song's name may end with. Readers judge files by their content, but for playlists
#: (.m3u8), through which a client would read other files of this machine.
_KEPT = frozenset(
    f".{extension}"
    for extension in (
        *("aac", "ac3", "aif", "aiff", "ape", "caf", "flac", "m4a", "mka", "mp3", "mp4", "oga"),
        *("ogg", "opus", "wav", "wma", "wv", "avi", "m4v", "mkv", "mov", "mpg", "ogv", "webm"),
    )
)


def shown_name(name: str) -> str:
    """Return the last part of what a client calls a file, on one line, without its extension."""
    last = re.split(r"[/\\]", name)[-1]
    text = unicodedata.normalize("NFC", last)
    text = "".join(each if each.isprintable() else " " for each in text)
    path = PurePosixPath(" ".join(text.split()))
    if is_stem_mp4(Path(path)):
        path = path.with_suffix("").with_suffix("")
    elif path.suffix.lower() in AUDIO_EXTENSIONS:
        path = path.with_suffix("")
    return str(path).strip(". ")[:_LONGEST].strip() or _UNNAMED


def safe_extension(name: str) -> str:
    """Return the extension of a client's file if it is a usual one of audio files; else nothing."""
    extension = PurePosixPath(name.lower()).suffix
    return extension if extension in _KEPT else ""


def folder_name(name: str, identifier: str) -> str:
    """Return a folder's name that every file system takes: readable, and unique by `identifier`."""
    return "-".join(filter(None, [plain_name(name), identifier]))


def download_name(name: str) -> str:
    """Return a file's name for people's disks, in any script."""
    return re.sub(r'[\\/:*?"<>|\x00-\x1f]', "_", name).strip(". ") or _UNNAMED
