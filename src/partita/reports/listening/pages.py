"""The pages of a listening test, as a folder that works from disk, and the key beside it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from partita.audio.reader import open_audio
from partita.errors import ScoresError, UsageError, write_error
from partita.files import write_text
from partita.reports.content import Report
from partita.reports.listening.excerpts import (
    Samples,
    at_listening_level,
    interference_anchor,
    low_anchor,
    read_excerpt,
)
from partita.reports.listening.key import (
    KEY_FILE,
    Item,
    Kind,
    ListeningKey,
    Pair,
    Trial,
    read_key,
)
from partita.reports.listening.plan import Excerpt, blind_id, choose_excerpts
from partita.reports.page.assets import ENGINE, asset, security_policy, templates
from partita.reports.page.audio import PageSignal, array_source, encode_signal, remove_unused
from partita.reports.page.coding import Coding, page_coding

_PACKAGE = "partita.reports.listening"
_FOLDER, _AUDIO = "listening", "audio"
_MUSHRA, _PREFERENCE = "listening.html", "preference.html"
_TITLES = {"mushra": "Blind listening test", "preference": "Blind comparison of pairs"}
#: Pairs that one listener compares; which ones follows from the listener's code.
_PAIRS_HEARD = 20
_Role = tuple[Kind, str]  # what a signal is, and of which entrant
_REFERENCE: _Role = ("reference", "")


def write_listening_page(report: Report, folder: Path, *, seed: int = 0) -> Path:
    """Write a blind listening test of a report's songs.

    Parameters
    ----------
    report : Report
        Its songs need true stems.
    folder : Path
        Of the comparison. Its subfolder ``listening``, all that listeners need and get, holds
        ``listening.html`` (MUSHRA), ``preference.html`` (pairs; not of a single entrant) and their
        audio. ``listening-key.json``, beside it, names the entrants behind the ids. Keys of earlier
        tests stay under other names, so that answers to them can still be read.
    seed : int
        Of excerpts, ids and orders.

    Returns
    -------
    Path
        Of ``listening.html``.

    Raises
    ------
    UsageError
        No song has a true stem that sounds and an estimate of it, or Jinja or SciPy is missing.
    AudioReadError, AudioWriteError
    """
    excerpts = choose_excerpts(report.songs, np.random.default_rng(seed))
    if not excerpts:
        raise UsageError(
            "a listening test needs songs with true stems that sound and estimates of them"
        )
    place = folder / _FOLDER
    try:
        (place / _AUDIO).mkdir(parents=True, exist_ok=True)
        coding = page_coding("flac", _highest_rate(excerpts))  # a lossy codec would be rated too
        parts = [_write_part(each, place / _AUDIO, coding, seed) for each in excerpts]
        key = _key(parts, seed)
        _keep_other_key(folder / KEY_FILE, key.page)
        key.save(folder / KEY_FILE)
        signals = {name: signal for part in parts for name, signal in part.signals.items()}
        for name, content in _pages(key).items():
            _write_page(place / name, {**content, **_audio(content, signals, coding)})
        if not key.pairs:
            (place / _PREFERENCE).unlink(missing_ok=True)
        remove_unused(place / _AUDIO, [signal.folder for signal in signals.values()])
    except OSError as error:
        raise write_error(place, error) from error
    return place / _MUSHRA


@dataclass(frozen=True)
class _Part:
    """What an excerpt adds to a test; `signals` are by id, `keys` tell their samples apart."""

    trials: Sequence[Trial]
    pairs: Sequence[Pair]
    signals: Mapping[str, PageSignal]
    keys: Sequence[str]


def _write_part(excerpt: Excerpt, folder: Path, coding: Coding, seed: int) -> _Part:
    """Write the audio of an excerpt."""
    levelled, sample_rate = _signals(excerpt)
    names = (str(seed), excerpt.song.name, excerpt.stem)
    items = {role: Item(blind_id(*names, *role), *role) for role in levelled}
    known = blind_id(*names, "known reference")
    named = {items[role].id: samples for role, samples in levelled.items()}
    named[known] = levelled[_REFERENCE]
    sources = {name: array_source(samples, sample_rate) for name, samples in named.items()}
    return _Part(
        trials=_trials(excerpt, items, known, seed),
        pairs=_pairs(excerpt, items, known, seed),
        signals={
            # With keys of their own: the hidden reference is no file that the known one is.
            name: encode_signal(replace(source, key=f"{name} {source.key}"), folder, coding)
            for name, source in sources.items()
        },
        keys=[source.key for source in sources.values()],
    )


def _signals(excerpt: Excerpt) -> tuple[dict[_Role, Samples], int]:
    """Read an excerpt and make its anchors; all at listening level."""
    song, place = excerpt.song, (excerpt.start_s, excerpt.duration_s)
    reference, sample_rate = read_excerpt(song.references[excerpt.stem], *place)
    mixture, _ = read_excerpt(song.mixture, *place)
    made: dict[_Role, Samples | None] = {
        _REFERENCE: reference,
        ("low anchor", ""): low_anchor(reference, sample_rate),
        ("interference anchor", ""): interference_anchor(reference, mixture),
    }
    for entrant in excerpt.entrants:
        made["entrant", entrant], _ = read_excerpt(song.estimates[entrant][excerpt.stem], *place)
    present = {role: samples for role, samples in made.items() if samples is not None}
    return at_listening_level(present, _REFERENCE, sample_rate), sample_rate


def _trials(
    excerpt: Excerpt, items: Mapping[_Role, Item], reference: str, seed: int
) -> list[Trial]:
    hidden = [item for item in items.values() if item.kind != "entrant"]
    trials = []
    for number, group in enumerate(excerpt.groups):
        rated = [*hidden, *(items["entrant", entrant] for entrant in group)]
        trials.append(
            Trial(
                id=blind_id(str(seed), excerpt.song.name, excerpt.stem, f"trial {number}"),
                song=excerpt.song.name,
                stem=excerpt.stem,
                start_s=excerpt.start_s,
                duration_s=excerpt.duration_s,
                reference=reference,
                items=tuple(sorted(rated, key=lambda item: item.id)),
            )
        )
    return trials


def _pairs(excerpt: Excerpt, items: Mapping[_Role, Item], reference: str, seed: int) -> list[Pair]:
    estimates = sorted(
        (item for item in items.values() if item.kind == "entrant"), key=lambda item: item.id
    )
    return [
        Pair(
            id=blind_id(str(seed), first.id, second.id),
            song=excerpt.song.name,
            stem=excerpt.stem,
            reference=reference,
            items=(first, second),
        )
        for first, second in itertools.combinations(estimates, 2)
    ]


def _key(parts: Sequence[_Part], seed: int) -> ListeningKey:
    trials = tuple(trial for part in parts for trial in part.trials)
    pairs = tuple(pair for part in parts for pair in part.pairs)
    names = [name for part in parts for name in part.signals]
    keys = [key for part in parts for key in part.keys]
    shown = [
        str(seed),
        *names,
        *keys,
        *(trial.id for trial in trials),
        *(pair.id for pair in pairs),
    ]
    return ListeningKey(blind_id(*shown), seed, trials, pairs)


def _keep_other_key(path: Path, page: str) -> None:
    """Give the key of another test a name of its own: answers to it may still come."""
    try:
        earlier = read_key(path)
    except ScoresError:
        return  # none, or not a key of a test that anybody could answer
    if earlier.page != page:
        path.replace(path.with_stem(f"{path.stem}-{earlier.page}"))


def _pages(key: ListeningKey) -> dict[str, dict[str, Any]]:
    """Return what each page shows: nothing of it names an entrant."""
    common = {"page": key.page, "seed": key.seed}
    forms: dict[str, tuple[str, int, Sequence[Trial | Pair]]] = {
        _MUSHRA: ("mushra", len(key.trials), key.trials),
        _PREFERENCE: ("preference", _PAIRS_HEARD, key.pairs),
    }
    return {
        name: {**common, "form": form, "heard": heard, "trials": [_shown(each) for each in trials]}
        for name, (form, heard, trials) in forms.items()
        if trials
    }


def _shown(trial: Trial | Pair) -> dict[str, Any]:
    return {
        "id": trial.id,
        "song": trial.song,
        "stem": trial.stem,
        "reference": trial.reference,
        "items": [item.id for item in trial.items],
    }


def _audio(
    content: Mapping[str, Any], signals: Mapping[str, PageSignal], coding: Coding
) -> dict[str, Any]:
    played = sorted({name for each in content["trials"] for name in _played(each)})
    return {
        "coding": coding.for_engine(),
        "signals": {name: signals[name].for_engine() for name in played},
    }


def _played(trial: Mapping[str, Any]) -> list[str]:
    return [trial["reference"], *trial["items"]]


def _highest_rate(excerpts: Sequence[Excerpt]) -> int:
    rates = []
    for excerpt in excerpts:
        with open_audio(excerpt.song.mixture) as reader:
            rates.append(reader.sample_rate)
    return max(rates)


def _write_page(path: Path, test: Mapping[str, Any]) -> None:
    style = asset("styles/listening.css", _PACKAGE)
    own = (asset(f"scripts/{name}.js", _PACKAGE) for name in ("order", "answers", "listening"))
    scripts = [*map(asset, ENGINE), *own]
    page = (
        templates(_PACKAGE)
        .get_template("page.html.jinja")
        .render(
            title=_TITLES[test["form"]],
            policy=security_policy(scripts, [style]),
            style=style,
            scripts=scripts,
            test=test,
        )
    )
    write_text(path, page)
