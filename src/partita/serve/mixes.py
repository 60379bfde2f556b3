"""Mixes that clients have asked for: made once, kept until others take their room."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from partita.audio.formats import FORMATS, STEM_MP4, stem_format
from partita.errors import PartitaError, UnknownNameError, UsageError
from partita.mixing.recipe import PLACE, Recipe, load_recipe, recipe_names
from partita.serve.library import Library, NotFoundError
from partita.serve.limits import DiskFullError, QueueFullError
from partita.serve.mixing import Mixdown, MixResult
from partita.serve.names import download_name
from partita.serve.records import JobRecord, as_text
from partita.serve.worker import WorkerSlot

_FOLDER = "mixes"
_MOST_KEPT = 8
_MOST_WAITING = 8
_AWAKE_S = 0.1
#: What a client may set; tracks and files of recipes are the recipes' own.
_MAPPINGS, _LISTS = ("gain", "pan"), ("mute", "solo")
_NUMBERS = ("speed", "pitch", "loudness", "click_db")


class MixError(PartitaError):
    """A mix that could not be made."""


@dataclass(frozen=True)
class Mix:
    """A mix that is there.

    Attributes
    ----------
    id : str
    path : Path
    name : str
        For people's disks.
    result : MixResult
    """

    id: str
    path: Path
    name: str
    result: MixResult


def recipes_for(stems: Sequence[str]) -> list[tuple[str, str]]:
    """Return name and summary of each recipe that fits these stems."""
    found = []
    for pattern in recipe_names():
        for stem in stems if PLACE in pattern else [PLACE]:
            recipe = load_recipe(pattern.replace(PLACE, stem))
            with contextlib.suppress(UsageError):  # it names stems that are not there
                recipe.balance(stems)
                found.append((recipe.name, recipe.summary))
    return found


def recipe_of(wish: Mapping[str, Any], stems: Sequence[str]) -> Recipe:
    """Return the recipe that a client's JSON object stands for.

    Raises
    ------
    UsageError, UnknownNameError
    """
    name = wish.get("recipe")
    if name is None:
        recipe = Recipe()
    elif name in (known := [each for each, _ in recipes_for(stems)]):
        recipe = load_recipe(name)
    else:
        raise UnknownNameError("recipe", str(name), known)
    settings: dict[str, Any] = {}
    for key, value in wish.items():
        if key in _MAPPINGS and isinstance(value, dict):
            settings[key] = {str(stem): _number(key, each) for stem, each in value.items()}
        elif key in _LISTS and isinstance(value, list):
            settings[key] = tuple(map(str, value))
        elif key in _NUMBERS:
            settings[key] = None if value is None else _number(key, value)
        elif key == "click" and isinstance(value, bool):
            settings[key] = value
        elif key not in ("recipe", "format", "bits"):
            raise UsageError(f"{key!r} is not a setting of mixes, or of the wrong type.")
    recipe = recipe.changed(**settings)
    recipe.balance(stems)
    recipe.pans(stems)
    return recipe


def _number(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{key!r} is not a number.")
    return float(value)


class Mixes:
    """Makes mixes, one at a time; as a context manager it ends its process and removes them.

    Parameters
    ----------
    library : Library
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._folder = library.folder / _FOLDER
        self._kept: OrderedDict[str, Mix] = OrderedDict()
        self._turn, self._waiting = threading.Lock(), threading.Semaphore(_MOST_WAITING)
        self._slot = WorkerSlot()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        shutil.rmtree(self._folder, ignore_errors=True)  # of a process that was killed
        self._folder.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with self._turn:
            self._slot.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def get(self, mix_id: str) -> Mix:
        """Return a mix.

        Raises
        ------
        NotFoundError
        """
        found = self._kept.get(mix_id)
        if found is None or not found.path.exists():
            raise NotFoundError("There is no such mix any more: make it again.")
        return found

    def make(self, job: JobRecord, wish: Mapping[str, Any], is_gone: threading.Event) -> Mix:
        """Return a mix of a job's stems, made unless it is there.

        Parameters
        ----------
        job : JobRecord
            Done.
        wish : mapping
            ``recipe``, ``format`` and ``bits``, and settings of a `Recipe`.
        is_gone : Event
            Set when nobody wants it any more.

        Raises
        ------
        UsageError
            The wish is malformed, or names what is not there.
        QueueFullError, DiskFullError
        MixError
            It could not be made.
        """
        if job.result is None:
            raise NotFoundError("The song is not separated: there is nothing to mix.")
        stems = [stem.name for stem in job.result.stems]
        recipe = recipe_of(wish, stems)
        form = _form_of(wish)
        # Stems may be quieter than in the song, against clipping; mixes get a gain of their own.
        louder = {stem: recipe.gain.get(stem, 0.0) - job.result.gain_db for stem in stems}
        song = self._library.song(job.song_id)
        clicks = as_text(song.correction) if recipe.needs_beats else ""
        text = json.dumps([job.id, {**wish}, clicks], sort_keys=True)
        mix_id = hashlib.sha256(text.encode()).hexdigest()[:24]
        folder = self._library.job_folder(job)
        is_one = form.holds_all_stems or len(recipe.balance(stems)) - (not recipe.mix) == 1
        suffix = form.name if is_one else "zip"
        task = Mixdown(
            name=song.name,
            stems={stem.name: folder / stem.file for stem in job.result.stems},
            recipe=recipe.changed(gain=louder) if job.result.gain_db else recipe,
            out=self._folder / f"{mix_id}.{suffix}",
            format=form.name,
            bits=form.bits,
            tempo=song.corrected,
        )
        label = recipe.name or "mix"
        with self._one_at_a_time():
            if mix_id not in self._kept or not task.out.exists():
                result = self._run(task, is_gone)
                name = download_name(f"{song.name} ({label}).{suffix}")
                self._keep(Mix(mix_id, task.out, name, result))
            self._kept.move_to_end(mix_id)
            return self._kept[mix_id]

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Any:
        if not self._waiting.acquire(blocking=False):
            raise QueueFullError("Many mixes are being made: try again in a minute.")
        try:
            with self._turn:
                yield
        finally:
            self._waiting.release()

    def _run(self, task: Mixdown, is_gone: threading.Event) -> MixResult:
        self._slot.start(task)
        while not (is_gone.is_set() or self._ended.is_set()):
            message = self._slot.receive(_AWAKE_S) or {}
            if "done" in message:
                result: MixResult = message["done"]
                return result
            if why := message.get("failed"):
                raise DiskFullError if why == str(DiskFullError()) else MixError(why)
        self._slot.end()
        raise MixError("The mix was given up.")

    def _keep(self, mix: Mix) -> None:
        self._kept[mix.id] = mix
        while len(self._kept) > _MOST_KEPT:
            _, oldest = self._kept.popitem(last=False)
            oldest.path.unlink(missing_ok=True)


def _form_of(wish: Mapping[str, Any]) -> Any:
    name, bits = wish.get("format", "wav"), wish.get("bits")
    if name not in (*FORMATS, STEM_MP4):
        raise UnknownNameError("format", str(name), FORMATS)
    if bits is not None and not isinstance(bits, str | int):
        raise UsageError("'bits' is 16, 24 or float.")
    return stem_format(name, bits)
