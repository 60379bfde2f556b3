"""Paths of the stems of each song."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from partita.audio.formats import StemFormat
from partita.errors import AudioWriteError, UsageError, one_line
from partita.files import part_of_path
from partita.separation.batch.songs import Song
from partita.stem_names import file_names

DEFAULT_TEMPLATE = "{model}/{track}/{stem}.{ext}"
_FIELDS = ("model", "track", "stem", "ext")


@dataclass(frozen=True)
class OutputPlan:
    """Paths of stems.

    Attributes
    ----------
    root : Path
        All files are written below it.
    template : str
        Below `root`; fields ``{model} {track} {stem} {ext}``.
    form : StemFormat
    label : str
        The model's, for names of files.
    stems : sequence of str
    """

    root: Path
    template: str
    form: StemFormat
    label: str
    stems: Sequence[str]

    def __post_init__(self) -> None:
        one_file = self.form.holds_all_stems or len(self.stems) == 1
        check_template(self.template, one_file=one_file)
        if not one_file:
            file_names(self.stems)

    @property
    def model_name(self) -> str:
        """The value of ``{model}``."""
        return part_of_path(self.label)

    def paths(self, song: Song) -> dict[str, Path]:
        """Return stem name → path for one song.

        Raises
        ------
        AudioWriteError
            A path would leave the output folder.
        """
        name = PurePosixPath(song.track).name
        files = dict.fromkeys(self.stems, name)
        if not self.form.holds_all_stems:
            files = file_names(self.stems)
        return {stem: self._path(song, files[stem], self.form.name) for stem in self.stems}

    def path_beside(self, song: Song, name: str, extension: str = "png") -> Path:
        """Return the path of a file beside the stems, by default of a figure.

        Raises
        ------
        AudioWriteError
            The path would leave the output folder.
        """
        ending = f".{extension}"
        path = self._path(song, name, extension)
        if "{stem}" not in self.template:
            path = path.with_name(f"{path.name.removesuffix(ending)}-{name}{ending}")
        return path if path.suffix == ending else path.with_name(f"{path.name}{ending}")

    def manifest_path(self, song: Song) -> Path:
        """Return the path of the record of a song's stems, a hidden file beside them.

        All stems and formats of a song share it, and no other song does.

        Raises
        ------
        AudioWriteError
            The path would leave the output folder.
        """
        parts = PurePosixPath(self._fill(song, "{stem}", "{ext}")).parts
        above = next((n for n, part in enumerate(parts) if "{stem}" in part), len(parts) - 1)
        code = hashlib.sha256("/".join(parts[above:]).encode(errors="surrogateescape")).hexdigest()
        return self._checked(self.root.joinpath(*parts[:above], f".stems-{code[:12]}.json"))

    def _path(self, song: Song, stem: str, extension: str) -> Path:
        return self._checked(self.root / self._fill(song, part_of_path(stem), extension))

    def _fill(self, song: Song, stem: str, extension: str) -> str:
        parts = PurePosixPath(song.track).parts or (".",)
        values = {
            "model": self.model_name,
            "track": "/".join(map(part_of_path, parts)),
            "stem": stem,
            "ext": extension,
        }
        return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], self.template)

    def _checked(self, path: Path) -> Path:
        # Not Path.resolve, which raises for links in a circle before Python 3.13.
        if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.root)):
            raise AudioWriteError(self._outside_text(path))
        return path

    def _outside_text(self, path: Path) -> str:
        """Return a message that names the link that leads outside."""
        root = os.path.realpath(self.root)
        between = [path, *path.parents][: len(path.parts) - len(self.root.parts)]
        for place in reversed(between):
            if place.is_symlink() and not Path(os.path.realpath(place)).is_relative_to(root):
                return (
                    f"{one_line(place)} is a link that leads out of the output folder, to "
                    f"{one_line(os.path.realpath(place))}: remove the link, or choose another `out`"
                )
        return f"{one_line(path)} lies outside the output folder: choose another `out`"


def check_template(template: str, *, one_file: bool = False) -> None:
    """Raise `UsageError` if a file name template cannot work."""
    for name in re.findall(r"\{(.*?)\}", template):
        if name not in _FIELDS:
            known = " ".join(f"{{{field}}}" for field in _FIELDS)
            raise UsageError(f"`filename`: unknown field {{{name}}}; known: {known}")
    if re.sub(r"\{\w+\}", "", template).count("{") or not template.strip():
        raise UsageError(f"`filename`: {template!r} is not a template")
    if "{stem}" not in template and not one_file:
        raise UsageError("`filename`: the template needs {stem}, or all stems get one name")
    path = PurePosixPath(template)
    if path.is_absolute() or ".." in path.parts:
        raise UsageError("`filename`: the template must stay below the output folder (`out`)")
