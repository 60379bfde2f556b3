"""Answers of listeners: JSON files that anybody may have written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from partita.errors import PartitaError, ScoresError, one_line
from partita.reports.listening import KEY_FILE, ListeningKey, Pair, Trial, read_json, read_key
from partita.validation import Limits, shown, value_fault

_FORMAT = "partita-listening-answers"
_VERSION = 1
_FORMS = ("mushra", "preference")
_BYTES_MAX = 10_000_000
_LIMITS = Limits(number=1e9, chars=100, items=64)
_CHARS_SHOWN = 40
_NOTHING = ""  # choice of who hears no difference


@dataclass(frozen=True)
class Answers:
    """What one listener answered.

    Attributes
    ----------
    path : Path
    key : ListeningKey
        Of the test.
    form : {"mushra", "preference"}
    listener : str
        Code that the listener gave, or that the page drew.
    saved : str
        Time, ISO 8601.
    ratings : mapping of str to mapping of str to float
        Trial → item → 0 to 100; of MUSHRA.
    choices : mapping of str to str
        Pair → item that is better, empty where no difference is heard; of preferences.
    """

    path: Path
    key: ListeningKey
    form: str
    listener: str
    saved: str
    ratings: Mapping[str, Mapping[str, float]]
    choices: Mapping[str, str]


@dataclass(frozen=True)
class Collected:
    """Answers of a whole test.

    Attributes
    ----------
    answers : sequence of Answers
        One of each listener, form and page.
    problems : sequence of str
        One line for each file that could not be read.
    notes : sequence of str
        One line for each file that another one of the same listener replaces.
    """

    answers: Sequence[Answers]
    problems: Sequence[str] = ()
    notes: Sequence[str] = ()


def collect_answers(paths: Sequence[Path], folder: Path) -> Collected:
    """Read files of answers; of a listener's, the one that was saved last counts.

    Parameters
    ----------
    paths : sequence of Path
        As browsers saved them.
    folder : Path
        Of the comparison, with the keys of its listening tests.

    Raises
    ------
    ScoresError
        There is no key, or one that is damaged.
    """
    keys = _find_keys(folder)
    found: dict[tuple[str, str, str], Answers] = {}
    problems, notes = [], []
    for path in paths:
        try:
            answers = read_answers(path, keys)
        except PartitaError as error:
            problems.append(str(error))
            continue
        owner = (answers.listener, answers.form, answers.key.page)
        earlier = found.get(owner)
        if earlier is not None:
            first, last = sorted([earlier, answers], key=lambda each: each.saved)
            answers = last
            notes.append(
                f"{one_line(first.path)}: {_short(first.listener)} has later answers in "
                f"{one_line(last.path)}: those count"
            )
        found[owner] = answers
    return Collected(list(found.values()), problems, notes)


def _find_keys(folder: Path) -> dict[str, ListeningKey]:
    paths = sorted(folder.glob(f"{Path(KEY_FILE).stem}*.json"))
    if not paths:
        raise ScoresError(
            f"{one_line(folder)}: has no {KEY_FILE}: make the listening test with `listening`, and "
            "read its answers with the same `out`"
        )
    return {key.page: key for key in map(read_key, paths)}


def read_answers(path: Path, keys: Mapping[str, ListeningKey]) -> Answers:
    """Read the answers of one listener.

    Parameters
    ----------
    path : Path
        The file that the page saved.
    keys : mapping of str to ListeningKey
        Page → its key.

    Raises
    ------
    ScoresError
        It cannot be read, or does not fit a key.
    """
    content = read_json(path, _FORMAT, _VERSION, _BYTES_MAX)
    try:
        return _parse(content, path, keys)
    except _WrongError as error:
        raise ScoresError(f"{one_line(path)}: {one_line(error)}") from None


class _WrongError(ValueError):
    """What is wrong with answers."""


def _parse(content: Mapping[str, Any], path: Path, keys: Mapping[str, ListeningKey]) -> Answers:
    form, page, listener, saved = (
        _text(content, name) for name in ("form", "page", "listener", "saved")
    )
    if form not in _FORMS:
        raise _WrongError(f"form must be one of {', '.join(_FORMS)}, not {shown(form)}")
    key = keys.get(page)
    if key is None:
        raise _WrongError(
            f"answers to another test (page {shown(page)}): name the folder of its comparison"
        )
    if not listener.strip():
        raise _WrongError("the listener has no name")
    answered = content.get("trials")
    if not isinstance(answered, list) or not answered:
        raise _WrongError("holds no answers")
    ratings: dict[str, Mapping[str, float]] = {}
    choices: dict[str, str] = {}
    asked: Sequence[Trial | Pair] = key.trials if form == "mushra" else key.pairs
    items = {each.id: [item.id for item in each.items] for each in asked}
    for answer in answered:
        name = _text(answer, "trial") if isinstance(answer, dict) else ""
        if name not in items:
            raise _WrongError(f"trial {shown(name)} is not in the test")
        if name in ratings or name in choices:
            raise _WrongError(f"trial {shown(name)} is answered twice")
        if form == "mushra":
            ratings[name] = _ratings(answer, name, items[name])
        else:
            choices[name] = _choice(answer, name, items[name])
    return Answers(path, key, form, one_line(listener.strip()), saved, ratings, choices)


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    fault = value_fault(name, value, str, limits=_LIMITS)
    if fault or not isinstance(value, str):
        raise _WrongError(fault or f"{name} is missing")
    return value


def _ratings(answer: Mapping[str, Any], trial: str, items: Sequence[str]) -> dict[str, float]:
    said = answer.get("ratings")
    if not isinstance(said, dict) or set(said) != set(items):
        raise _WrongError(f"trial {shown(trial)} does not rate its {len(items)} sounds once each")
    for item in items:
        fault = value_fault("rating", said[item], float, 0, 100)
        if fault:
            raise _WrongError(f"trial {shown(trial)}: {fault}")
    return {item: float(said[item]) for item in items}


def _choice(answer: Mapping[str, Any], pair: str, items: Sequence[str]) -> str:
    choice = answer.get("choice")
    if not isinstance(choice, str) or choice not in (*items, _NOTHING):
        raise _WrongError(f"pair {shown(pair)}: {shown(choice)} is neither of its two sounds")
    return choice


def _short(name: str) -> str:
    return name if len(name) <= _CHARS_SHOWN else name[:_CHARS_SHOWN] + "…"
