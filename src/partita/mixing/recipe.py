"""Recipes of mixes: small files that say which stems are heard, how loud and how fast."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from partita.errors import UnknownNameError, UsageError, one_line
from partita.settings import Settings, read_toml, settings_from
from partita.stem_names import as_named, normal_name, stem_members
from partita.validation import bounded, value_fault

_FOLDER = Path(__file__).parent / "recipe_files"
_SUFFIX = ".toml"
#: In the names and texts of recipes for any stem.
PLACE = "STEM"
_TABLES = ("gain", "pan", "tracks")
#: What `stems` and `practice` may hold instead of names: every stem.
EVERY = "*"
MIX = "mix"
#: The click: the name of its file, and of the stem that it is beside the song's.
CLICK = "click"
_CLICK_DB = -6.0  # peak of that file
_LEAST_GAIN_DB, _MOST_GAIN_DB = -120.0, 24.0


@dataclass(frozen=True)
class Recipe(Settings):
    """What is made of the stems of a song.

    Wherever a stem is named, it may be a sum (``drums+bass``) or a rest (``no_vocals``) as well.

    Attributes
    ----------
    name : str
        For titles and file names; empty: no recipe was named.
    summary : str
    gain : mapping of str to float
        Stem → dB, -120 to 24. Gains of a stem that is named several times add up.
    pan : mapping of str to float
        Stem → -1 (left) to 1 (right).
    mute : tuple of str
        Stems that the mix lacks.
    solo : tuple of str
        If there are any, the mix has these stems only; what is muted stays so.
    speed : float
        0.5 to 1.5; the pitch stays.
    pitch : float
        In semitones, -12 to 12; the speed stays.
    loudness : float, optional
        In LUFS (ITU-R BS.1770): one gain brings the mix there, and every track with it.
    mix : bool
        Whether the mix itself is written.
    tracks : mapping of str to str
        Name → stem: more files. Gains and pans apply to them, `mute` and `solo` do not.
    stems : tuple of str
        Stems that get files of their own; ``"*"``: all.
    practice : tuple of str
        Stems that get a file ``practice_STEM``: all stems, this one quieter; ``"*"``: each.
    practice_db : float
        So much.
    click : bool
        Whether there is a file ``click`` with a click on every beat.
    click_db : float, optional
        The click is heard in the mix and in practice tracks, with this peak in dB of full scale.
    bpm : float, optional
        About how many beats a minute the song has: of its tempo's multiples, the nearest is taken.
    """

    name: str = ""
    summary: str = ""
    gain: Mapping[str, float] = field(default_factory=dict)
    pan: Mapping[str, float] = field(default_factory=dict)
    mute: tuple[str, ...] = ()
    solo: tuple[str, ...] = ()
    speed: float = bounded(1.0, least=0.5, most=1.5)
    pitch: float = bounded(0.0, most=12.0)
    loudness: float | None = bounded(None, least=-40.0, most=-5.0)
    mix: bool = True
    tracks: Mapping[str, str] = field(default_factory=dict)
    stems: tuple[str, ...] = ()
    practice: tuple[str, ...] = ()
    practice_db: float = bounded(-12.0, least=-120.0, most=0.0)
    click: bool = False
    click_db: float | None = bounded(None, least=-60.0, most=0.0)
    bpm: float | None = bounded(None, least=20.0, most=400.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for stem, gain in self.gain.items():
            self._check(f"gain of {stem}", gain, float, _LEAST_GAIN_DB, _MOST_GAIN_DB)
        for stem, pan in self.pan.items():
            self._check(f"pan of {stem}", pan, float, -1.0, 1.0)
        for name, stem in self.tracks.items():
            self._check(f"track {name}", stem, str)
        named = [*self.gain, *self.pan, *self.mute, *self.solo, *self.tracks]
        named += [*self.tracks.values(), *self.stems, *self.practice]
        self.require(all(each.strip() for each in named), "the name of a stem is empty")
        self.require(
            self.mix or self.click or bool(self.tracks or self.stems or self.practice),
            "nothing would be written: neither the mix nor any track",
        )

    def _check(
        self, name: str, value: object, hint: type, least: float | None = None,
        most: float | None = None,
    ) -> None:  # fmt: skip
        fault = value_fault(one_line(name), value, hint, least, most)
        self.require(fault is None, fault or "")

    @property
    def changes_sound(self) -> bool:
        """Whether speed or pitch change."""
        return self.speed != 1.0 or self.pitch != 0.0

    @property
    def needs_beats(self) -> bool:
        """Whether there is a click anywhere."""
        return self.click or self.click_db is not None

    def changed(self, **settings: Any) -> Self:
        """Return the recipe with more settings.

        Mappings and tuples are added to the recipe's, other values replace them; None changes
        nothing.

        Raises
        ------
        UsageError, UnknownNameError
            A value is out of range, or there is no such setting.
        """
        values: dict[str, Any] = {}
        for name, value in settings.items():
            if name not in _setting_names():
                raise UnknownNameError("setting of a mix", name, _setting_names())
            if value is not None:
                values[name] = _joined(getattr(self, name), value)
        return dataclasses.replace(self, **values)

    def balance(self, sources: Sequence[str]) -> dict[str, dict[str, float]]:
        """Return track → stem → factor of its samples; the mix comes first, written or not.

        Where the recipe needs beats, the click is one more stem, after the song's.

        Parameters
        ----------
        sources : sequence of str
            The song's stems.

        Raises
        ------
        UsageError
            A stem is not there, or two tracks have one name.
        """
        level = dict.fromkeys(sources, 0.0)
        for stem, gain in self.gain.items():
            for member in _members(stem, sources, "`gain`"):
                level[member] += gain
        factor = {source: 10.0 ** (db / 20.0) for source, db in level.items()}
        silent = {each for stem in self.mute for each in _members(stem, sources, "`mute`")}
        heard = {each for stem in self.solo for each in _members(stem, sources, "`solo`")}
        heard = (heard if self.solo else {*sources}) - silent
        if not heard:
            raise UsageError("the mix would be silent: `mute` and `solo` leave no stem")
        found = {MIX: {each: factor[each] * (each in heard) for each in sources}}
        quieter = 10.0 ** (self.practice_db / 20.0)
        for name, stem in [*self.tracks.items(), *_each(self.stems, sources)]:
            members = _members(stem, sources, "tracks")
            _add(found, name, {each: factor[each] * (each in members) for each in sources})
        for name, stem in _each(self.practice, sources):
            members = _members(stem, sources, "practice")
            lowered = {s: factor[s] * (quieter if s in members else 1.0) for s in sources}
            _add(found, f"practice_{name}", lowered)
        return self._with_click(found, sources) if self.needs_beats else found

    def _with_click(
        self, tracks: dict[str, dict[str, float]], sources: Sequence[str]
    ) -> dict[str, dict[str, float]]:
        if CLICK in sources:
            raise UsageError(f"a stem of the song is called {CLICK!r}: `click` would be another")
        heard = 0.0 if self.click_db is None else 10.0 ** (self.click_db / 20.0)
        practice = {f"practice_{name}" for name, _ in _each(self.practice, sources)}
        found = {
            track: {**factors, CLICK: heard * (track == MIX or track in practice)}
            for track, factors in tracks.items()
        }
        if self.click:
            _add(found, CLICK, {**dict.fromkeys(sources, 0.0), CLICK: 10.0 ** (_CLICK_DB / 20.0)})
        return found

    def pans(self, sources: Sequence[str]) -> dict[str, float]:
        """Return stem → pan; the last one counts where a stem is named several times."""
        return {
            member: pan
            for stem, pan in self.pan.items()
            for member in _members(stem, sources, "`pan`")
        }


def _joined(before: Any, value: Any) -> Any:
    if isinstance(before, Mapping) and isinstance(value, Mapping):
        return {**before, **value}
    if isinstance(before, tuple):
        return (*before, *([value] if isinstance(value, str) else value))
    return value


def _add(found: dict[str, dict[str, float]], name: str, factors: dict[str, float]) -> None:
    if name in found:
        raise UsageError(f"two tracks would be called {name!r}: give one another name")
    found[name] = factors


def _each(stems: Iterable[str], sources: Sequence[str]) -> list[tuple[str, str]]:
    """Return (name of the track, stem), without doubles."""
    named = [each for stem in stems for each in (sources if stem == EVERY else (stem,))]
    return [(each, each) for each in dict.fromkeys(named)]


def _members(stem: str, sources: Sequence[str], setting: str) -> tuple[str, ...]:
    try:
        return stem_members(as_named(normal_name(stem.strip()), sources), sources)
    except UnknownNameError:
        raise UsageError(
            f"{setting}: no stem {one_line(stem)!r}; there are {', '.join(sources)}"
        ) from None


def _setting_names() -> list[str]:
    return [each.name for each in dataclasses.fields(Recipe) if each.name != "name"]


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with this package; ``STEM`` is any stem."""
    return sorted(_files())


def _files() -> dict[str, Path]:
    return {path.stem: path for path in _FOLDER.glob(f"*{_SUFFIX}")}


def load_recipe(name: str) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    name : str
        One of `recipe_names`, with a stem's name for ``STEM``: ``practice-bass``; or the path of a
        ``.toml`` file with the attributes of `Recipe`: mappings are tables.

    Raises
    ------
    UnknownNameError
        No such recipe, or a key that recipes do not have.
    UsageError
        The file cannot be read, or a value is of the wrong type or out of range.
    """
    if name.endswith(_SUFFIX):
        path = Path(name)
        return _recipe(read_toml(path), path.stem, one_line(path.name))
    files = _files()
    if name in files and PLACE not in name:
        return _recipe(read_toml(files[name]), name, name)
    for pattern, path in files.items():
        before, place, after = pattern.partition(PLACE)
        stem = name.removeprefix(before).removesuffix(after)
        if place and stem and name == before + stem + after:
            return _recipe(_filled(read_toml(path), stem), name, name)
    raise UnknownNameError("recipe", name, recipe_names())


def _filled(value: Any, stem: str) -> Any:
    """Return a value of a file with a stem's name in its place."""
    if isinstance(value, str):
        return value.replace(PLACE, stem)
    if isinstance(value, list):
        return [_filled(each, stem) for each in value]
    if isinstance(value, dict):
        return {_filled(key, stem): _filled(each, stem) for key, each in value.items()}
    return value


def _recipe(values: Mapping[str, Any], name: str, where: str) -> Recipe:
    for key in _TABLES:
        if not isinstance(values.get(key, {}), dict):
            raise UsageError(f"{where}: {key} is a table")
    if "name" in values:
        raise UnknownNameError(f"setting in {where}", "name", _setting_names())
    try:
        return settings_from({**values, "name": name}, Recipe, where)
    except UnknownNameError:
        raise
    except UsageError as error:
        text = str(error)
        raise UsageError(text if text.startswith(where) else f"{where}: {text}") from None
