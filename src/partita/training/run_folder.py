"""The folder of a training: what it is, how far it is, and what it has found."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from partita.errors import TrainingError, UsageError, one_line, write_error
from partita.files import whole_file
from partita.models._protocol import SeparationModel
from partita.weights.checkpoint import save_checkpoint
from partita.weights.own import MODEL_FILE

_FORMAT, _VERSION = "format", 1  # of the state
#: Differences between a run and its resumption that do not change the weights at any step.
_MAY_CHANGE = frozenset({"training.epochs", "training.workers", "training.checkpoint_minutes"})
_SHOWN = 6  # items of a list that differs


class RunFolder:
    """A folder with everything about one training.

    Attributes
    ----------
    path : Path
    model : Path
        The weights that are to be used.
    state : Path
        Everything that is needed to go on.
    description : Path
        JSON: settings, data, where it began.
    losses : Path
        A csv, a row an epoch.
    board : Path
        A folder for TensorBoard.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = path / MODEL_FILE
        self.state = path / "state.pt"
        self.description = path / "run.json"
        self.losses = path / "losses.csv"
        self.board = path / "tensorboard"

    def check(self, description: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
        """Make sure that a training can begin, or go on, in the folder; nothing in it changes.

        Raises
        ------
        UsageError
            There is a training already and neither is asked for, or it is of another description:
            the message shows the differences.
        AudioWriteError
            The folder cannot be written.
        """
        name = one_line(self.path)
        if resume and self.description.exists():
            changes = _differences(self._described(), json.loads(json.dumps(description)))
            refused = [text for key, text in changes.items() if key not in _MAY_CHANGE]
            if refused:
                raise UsageError(
                    f"{name}: --resume goes on with the same settings; different: "
                    f"{'; '.join(refused)}"
                )
        elif not overwrite and (self.description.exists() or self.model.exists()):
            raise UsageError(
                f"{name}: there is a training already; --resume goes on with it, "
                "--overwrite begins anew"
            )
        probe = self.path / ".probe"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise write_error(self.path, error) from error

    def begin(self, description: Mapping[str, Any], *, resume: bool) -> None:
        """Say what the training is; unless it goes on, nothing of an earlier one stays.

        Raises
        ------
        AudioWriteError
            The folder cannot be written.
        """
        if not resume:
            for path in (self.state, self.model, self.losses):
                path.unlink(missing_ok=True)
            shutil.rmtree(self.board, ignore_errors=True)
        self.write_text(self.description, json.dumps(description, indent=2) + "\n")

    def _described(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self.description.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{one_line(self.description)}: cannot be read") from error
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
        """Keep a model's weights as those to be used."""
        try:
            save_checkpoint(self.model, model)
        except OSError as error:
            raise write_error(self.model, error) from error

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Keep what is needed to go on; what was kept before goes once this is complete."""
        try:
            with whole_file(self.state) as partial, partial.open("wb") as file:
                torch.save({_FORMAT: _VERSION, **state}, file)
        except (OSError, RuntimeError) as error:  # torch's own writer raises the latter
            cause = error if isinstance(error, OSError) else error.__context__
            if isinstance(cause, OSError):
                raise write_error(self.state, cause) from error
            raise

    def load_state(self) -> dict[str, Any] | None:
        """Return what `save_state` kept, None where nothing is.

        Raises
        ------
        TrainingError
            The file is damaged, or another version of partita wrote it.
        """
        if not self.state.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.state, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever torch's readers meet in a broken file
            raise TrainingError(
                f"{one_line(self.state)}: cannot be read; --overwrite begins anew"
            ) from error
        if state.pop(_FORMAT, None) != _VERSION:
            raise TrainingError(
                f"{one_line(self.state)}: is of another version of partita; --overwrite begins anew"
            )
        return state

    def write_losses(self, history: Sequence[Mapping[str, float]]) -> None:
        """Write the csv anew, a row an epoch."""
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
    """Return, for every place where two JSON values differ, a text that says how."""
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


def _few(sign: str, items: Sequence[Any]) -> str:
    shown = [f"{sign}{one_line(item)}" for item in items[:_SHOWN]]
    return ", ".join([*shown, *[f"{sign}{len(items) - _SHOWN} more"] * (len(items) > _SHOWN)])
