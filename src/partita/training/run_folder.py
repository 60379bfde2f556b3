"""The folder of a training: description, state, weights and losses."""

from __future__ import annotations

import contextlib
import csv
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import filelock

from partita.errors import TrainingError, UsageError, one_line, write_error
from partita.files import sync_file, whole_file
from partita.models._protocol import SeparationModel
from partita.training.state_file import read_state, write_state
from partita.weights.checkpoint import save_checkpoint
from partita.weights.own_checkpoints import MODEL_FILE
from partita.weights.suffixes import TRAINING_STATES

_log = logging.getLogger(__name__)
_DIGESTS = "data_sha256"  # in the description
#: Differences between a run and its resumption that do not change the weights at any step.
_MAY_CHANGE = frozenset(
    f"training.{name}" for name in ("epochs", "minutes", "workers", "checkpoint_minutes")
)
_SHOWN = 6  # items of a list that differs


class RunFolder:
    """A folder with everything about one training.

    Attributes
    ----------
    path : Path
    model : Path
        The weights that are to be used.
    state, previous : Path
        Everything that is needed to go on, and the same of some steps earlier.
    description : Path
        JSON: settings, data, where it began.
    losses : Path
        A csv, a row an epoch.
    tensorboard : Path
        A folder for TensorBoard.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = path / MODEL_FILE
        self.state = path / TRAINING_STATES[0]
        self.previous = path / TRAINING_STATES[1]
        self.description = path / "run.json"
        self.losses = path / "losses.csv"
        self.tensorboard = path / "tensorboard"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder against other trainings; make it if it is missing.

        Raises
        ------
        UsageError
            Another training writes to it.
        AudioWriteError
            The folder cannot be made or written to.
        """
        lock, owner = filelock.FileLock(self.path / ".lock"), self.path / ".lock.pid"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(NotImplementedError):  # a file system without locks
                lock.acquire(timeout=0)
            # A file of its own: whoever tries to take the lock empties that one.
            with whole_file(owner) as partial:
                partial.write_text(str(os.getpid()))
        except filelock.Timeout:
            raise UsageError(
                f"{one_line(self.path)}: another training{_pid_in(owner)} is writing to this "
                "folder: stop it, or choose another with `out`"
            ) from None
        except OSError as error:
            lock.release()
            raise write_error(self.path, error) from error
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                owner.unlink()
            lock.release()

    def check(
        self,
        description: Mapping[str, Any],
        *,
        resume: bool,
        overwrite: bool,
        defaults: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> None:
        """Check that a training can start or resume in the folder, without changing it.

        Parameters
        ----------
        description : mapping
        resume, overwrite : bool
        defaults : mapping of str to mapping
            Values of settings, table by table. Versions that did not have a setting did as its
            default says, and did not record it.

        Raises
        ------
        UsageError
            There is a training already and neither is asked for, or it is of another description:
            the message shows the differences.
        """
        name = one_line(self.path)
        has_state = self.state.exists() or self.previous.exists()
        if resume and self.description.exists():
            described = self._described()
            described.pop(_DIGESTS, None)  # not known before the data are read; see `check_data`
            for table, values in defaults.items():
                if isinstance(described.get(table), dict):
                    plain = json.loads(json.dumps(dict(values)))  # tuples are lists in JSON
                    described[table] = {**plain, **described[table]}
            changes = _differences(described, json.loads(json.dumps(description)))
            refused = [text for key, text in changes.items() if key not in _MAY_CHANGE]
            if refused:
                raise UsageError(
                    f"{name}: `resume=True` goes on with the same settings; different: "
                    f"{'; '.join(refused)}"
                )
        elif resume and (self.model.exists() or has_state):
            raise UsageError(
                f"{name}: `resume=True` cannot go on, {self.description.name} is missing: "
                "`overwrite=True` begins anew"
            )
        elif not overwrite and (self.description.exists() or self.model.exists()):
            raise UsageError(
                f"{name}: there is a training already; `resume=True` goes on with it, "
                "`overwrite=True` begins anew"
            )
        if resume and not has_state:
            _log.warning("%s: nothing to resume: begins with the first step", name)

    def check_data(self, digests: Mapping[str, str]) -> None:
        """Check that a resumed training has the data that it started with.

        Parameters
        ----------
        digests : mapping of str to str
            Of each track's audio, or of what songs are made of.

        Raises
        ------
        UsageError
            Some of it has changed.
        """
        if not self.description.exists():
            return
        old = self._described().get(_DIGESTS)
        if not isinstance(old, dict):  # an older version did not keep them
            return
        names = {**old, **digests}
        changed = [name for name in names if old.get(name) != digests.get(name)]
        if changed:
            raise UsageError(
                f"{one_line(self.path)}: `resume=True` goes on with the same data; changed since: "
                f"{_few('', changed)}; `overwrite=True` begins anew with them"
            )

    def begin(
        self,
        description: Mapping[str, Any],
        *,
        resume: bool,
        digests: Mapping[str, str] | None = None,
    ) -> None:
        """Write the description; unless the training resumes, remove what an earlier one left.

        Parameters
        ----------
        description : mapping
        resume : bool
        digests : mapping of str to str, optional
            What `check_data` will compare with.

        Raises
        ------
        AudioWriteError
            The folder cannot be written.
        """
        if not resume:
            for path in (self.state, self.previous, self.model, self.losses):
                path.unlink(missing_ok=True)
            shutil.rmtree(self.tensorboard, ignore_errors=True)
        described = {**description, **({_DIGESTS: dict(digests)} if digests else {})}
        self.write_text(self.description, json.dumps(described, indent=2) + "\n")

    def _described(self) -> dict[str, Any]:
        try:
            found = json.loads(self.description.read_text(encoding="utf-8"))
            if not isinstance(found, dict):
                raise ValueError("no mapping")
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(
                f"{one_line(self.description)}: cannot be read; `overwrite=True` begins anew"
            ) from error
        return found

    def write_text(self, path: Path, text: str) -> None:
        """Write a file that appears under its name only when it is complete."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as partial:
                partial.write_text(text, encoding="utf-8")
        except OSError as error:
            raise write_error(path, error) from error

    def save_model(self, model: SeparationModel) -> None:
        """Save a model's weights as the result of the training."""
        try:
            save_checkpoint(self.model, model)
        except OSError as error:
            raise write_error(self.model, error) from error

    def replace_lost_model(self, model: SeparationModel) -> None:
        """Save weights if the file of the best ones was removed."""
        if not self.model.exists():
            _log.warning(
                "warning: %s is missing: the newest weights take the place of the best, until an "
                "epoch is better",
                one_line(self.model),
            )
            self.save_model(model)

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Save the state, and keep the one before as `previous`."""
        try:
            with whole_file(self.state) as partial:
                write_state(partial, state)
                sync_file(partial)
                if self.state.exists():
                    self.state.replace(self.previous)
        except OSError as error:
            raise write_error(self.state, error) from error

    def load_state(self) -> dict[str, Any] | None:
        """Return the state that `save_state` wrote, None if there is none.

        Where the newest is damaged, or went missing, it is the one before.

        Raises
        ------
        TrainingError
            Both are damaged, or another version of partita wrote them.
        """
        refused: list[TrainingError] = []
        for path in (self.state, self.previous):
            if path.exists():
                try:
                    state = read_state(path)
                except TrainingError as error:
                    refused.append(error)
                    continue
                if refused:
                    _log.warning("warning: %s; goes on from %s", refused[0], path.name)
                return state
        if refused:
            raise TrainingError(f"{refused[0]}; `overwrite=True` begins anew") from refused[0]
        return None

    def write_losses(self, history: Sequence[Mapping[str, float]]) -> None:
        """Write the csv, a row for each epoch."""
        if not history:
            return
        lines: list[str] = []
        writer = csv.DictWriter(_Lines(lines), list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: f"{value:.8g}" for key, value in row.items()} for row in history)
        self.write_text(self.losses, "".join(lines))


class _Lines:
    """A file for `csv` that is a list."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


def read_losses(path: Path) -> list[dict[str, float]]:
    """Read a csv of `RunFolder.write_losses`."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def _differences(old: Any, new: Any, path: str = "") -> dict[str, str]:
    """Return the differences of two JSON values: path → text."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, str] = {}
        for key in {**old, **new}:
            place = f"{path}.{key}" if path else key
            found |= _differences(old.get(key), new.get(key), place)
        return found
    if old == new:
        return {}
    if isinstance(old, list) and isinstance(new, list) and len(old) + len(new) > _SHOWN:
        gone, come = ([x for x in a if x not in b] for a, b in ((old, new), (new, old)))
        if gone or come:
            return {path: f"{path}: {_few('−', gone)}{' ' * bool(gone and come)}{_few('+', come)}"}
    return {path: one_line(f"{path}: {old} → {new}")}


def _pid_in(path: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        return f" (process {int(path.read_text(encoding='utf-8'))})"
    return ""


def _few(sign: str, items: Sequence[Any]) -> str:
    shown = [f"{sign}{one_line(item)}" for item in items[:_SHOWN]]
    return ", ".join([*shown, *[f"{sign}{len(items) - _SHOWN} more"] * (len(items) > _SHOWN)])
