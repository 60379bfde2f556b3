"""Where mixes go: one file, a folder of files, or a zip archive."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from partita.audio.extensions import AUDIO_EXTENSIONS
from partita.audio.formats import FORMATS, STEM_MP4, StemFormat, is_stem_mp4, stem_format
from partita.errors import AudioWriteError, UnknownNameError, UsageError, one_line
from partita.files import folded, part_of_path
from partita.stem_names import file_names

_ZIP = ".zip"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Target:
    """What `out` means.

    Attributes
    ----------
    path : Path
    kind : {"file", "zip", "folder"}
        By its suffix.
    form : StemFormat
    """

    path: Path
    kind: str
    form: StemFormat

    def files(self, song: str, label: str, tracks: Sequence[str]) -> dict[str, Path]:
        """Return track → file of one song; inside a zip archive, relative paths.

        Parameters
        ----------
        song : str
            Its name.
        label : str
            What tells the mix from the song in its name; empty: nothing.
        tracks : sequence of str

        Raises
        ------
        UsageError
            Several tracks would get one file.
        """
        if self.kind == "file":
            if len(tracks) > 1 and not self.form.holds_all_stems:
                raise UsageError(
                    f"`out` {one_line(self.path.name)} is one file, but there are {len(tracks)} "
                    f"tracks: {', '.join(map(one_line, tracks))}; name a folder or a .zip"
                )
            return dict.fromkeys(tracks, self.path)
        folder = Path() if self.kind == "zip" else self.path
        name, suffix = part_of_path(song), self.form.name
        if len(tracks) == 1 or self.form.holds_all_stems:
            alone = f"{name} ({part_of_path(label)})" if label else name
            return dict.fromkeys(tracks, folder / f"{alone}.{suffix}")
        names = file_names(tracks)
        return {track: folder / name / f"{names[track]}.{suffix}" for track in tracks}


def find_target(
    out: str | Path,
    format: str | None = None,
    bits: str | int | None = None,
    bitrate: str | int | None = None,
) -> Target:
    """Tell what `out` means.

    Parameters
    ----------
    out : str or Path
        A file with the suffix of a format (``.mp3``), a ``.zip``, or a folder.
    format : str, optional
        In folders and archives: one of `partita.audio.formats.FORMATS`, ``wav`` by default.
    bits, bitrate : str or int, optional
        As for `partita.audio.formats.stem_format`.

    Raises
    ------
    UsageError
        The combination does not exist, or `format` contradicts the suffix.
    """
    path = Path(out)
    suffix = STEM_MP4 if is_stem_mp4(path) else path.suffix.lower().removeprefix(".")
    if path.is_dir() or (suffix not in FORMATS and f".{suffix}" not in AUDIO_EXTENSIONS):
        kind = "zip" if f".{suffix}" == _ZIP and not path.is_dir() else "folder"
        return Target(path, kind, stem_format(format or "wav", bits, bitrate))
    if suffix not in FORMATS:
        raise UnknownNameError("format", suffix, FORMATS)
    form = stem_format(suffix, bits, bitrate)
    if format is not None and stem_format(format).name != form.name:
        raise UsageError(f"`format` {format} and `out` {one_line(path.name)} contradict each other")
    return Target(path, "file", form)


def check_free(paths: Sequence[Path], inputs: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse files that would replace an input, or any file unless `overwrite` says so.

    Raises
    ------
    AudioWriteError
    """
    for path in dict.fromkeys(paths):
        if path.is_dir():
            raise AudioWriteError(f"{one_line(path)} is a folder, not a file: choose another `out`")
        if not os.path.lexists(path):
            continue
        if path.exists() and not path.is_file():  # a pipe, a device
            raise AudioWriteError(f"{one_line(path)} is not a file: choose another `out`")
        if path.exists() and any(each.exists() and path.samefile(each) for each in inputs):
            raise AudioWriteError(
                f"{one_line(path)} would overwrite an input: choose another `out`"
            )
        if not overwrite:
            raise AudioWriteError(f"{one_line(path)} exists already; `overwrite=True` replaces it")


def zip_stream(files: Mapping[str, Path]) -> Iterator[bytes]:
    """Yield a zip archive of files piece by piece; audio is stored as it is.

    Parameters
    ----------
    files : mapping of str to Path
        Name in the archive, with ``/`` between its parts → file.

    Raises
    ------
    UsageError
        A name leads out of the folder that the archive is unpacked in, or two are alike.
    OSError
        A file cannot be read.
    """
    if len({folded(name) for name in files}) < len(files):
        raise UsageError("two files of an archive would have one name")
    for name in files:
        if name.startswith("/") or "\\" in name or {"", ".", ".."} & {*name.split("/")}:
            raise UsageError(f"{one_line(name)} cannot be the name of a file in an archive")
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, path in files.items():
            entry = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
            entry.compress_type = zipfile.ZIP_STORED
            with path.open("rb") as source, archive.open(entry, "w") as inside:
                while chunk := source.read(_CHUNK_BYTES):
                    inside.write(chunk)
                    yield sink.taken()
            yield sink.taken()
    yield sink.taken()


class _Sink:
    """What a zip archive is written to, which gives the bytes on; it cannot seek."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: everything is taken at once."""

    def close(self) -> None:
        """Do nothing: what is left is taken afterwards."""

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
