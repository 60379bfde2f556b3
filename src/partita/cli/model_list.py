"""The table of all weights: scores, speed, memory, licences, sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from partita.cli.recommendations import recommendations
from partita.cli.terminal import fitting, terminal_columns, wrapped
from partita.weights.card import Card, NpmSource, WheelSource
from partita.weights.cards import DEFAULT_MODEL
from partita.weights.measured import MEASURED, MEMORY_GB, SONGS
from partita.weights.resolve import part_cards

if TYPE_CHECKING:
    from rich.console import Console

HEADINGS = ("", "MUSDB18", "ours", "speed", "memory", "licence", "commercial", "size", "from")
_RIGHT = ("MUSDB18", "ours", "speed", "memory", "size")
#: Left out on narrow terminals, in that order.
_DISPENSABLE = ("memory", "licence", "size", "from", "speed")
#: A name that is longer than a third of the terminal gets a line of its own.
_LABEL_SHARE, _LABEL_CHARS = 3, 22
_MARKS = "¹²³⁴⁵⁶⁷⁸⁹"
_LICENCE_CHARS = 15
COMMERCIAL_USE = {True: "yes", False: "no", None: "unknown"}


def print_cards(cards: Iterable[Card], console: Console) -> None:
    """Print a table of cards, grouped by stems, with notes on its figures."""
    groups = list(grouped(cards))
    cards = [card for group in groups for card in group]  # as they are printed
    marks = marks_of(cards)
    rows = {card.name: row_of(card, marks) for card in cards}
    columns = terminal_columns()
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows.values(), strict=True)]
    if columns is not None:
        widths[0] = min(widths[0], max(_LABEL_CHARS, columns // _LABEL_SHARE))
    shown = fitting(widths, [HEADINGS.index(each) for each in _DISPENSABLE], columns)
    console.print(_line(HEADINGS, widths, shown), style="dim", soft_wrap=True)
    for group in groups:
        console.print(wrapped(task_of(group[0]), 2, columns), style="bold", soft_wrap=True)
        for card in group:
            console.print(_line(rows[card.name], widths, shown), soft_wrap=True)
    notes = list(notes_on(marks))
    if len(shown) < len(widths):
        left_out = ", ".join(HEADINGS[i] for i in range(len(widths)) if i not in shown)
        notes.append(f"Columns that do not fit: {left_out}. See partita models show NAME.")
    for note in ("", *notes):
        console.print(wrapped(note, 2, columns), style="dim", soft_wrap=True)


def print_recommendations(console: Console) -> None:
    """Print which weights are recommended for what."""
    console.print("Which one?", style="bold")
    for purpose, choice in recommendations():
        line = wrapped(f"  {purpose} → {choice}", 4, terminal_columns())
        console.print(line, soft_wrap=True)


def marks_of(cards: Iterable[Card]) -> dict[str, str]:
    """Return a footnote mark for each caveat of measured scores."""
    found = (MEASURED[card.name].caveat for card in cards if card.name in MEASURED)
    return dict(zip(dict.fromkeys(filter(None, found)), _MARKS, strict=False))


def grouped(cards: Iterable[Card]) -> Iterable[list[Card]]:
    """Group the cards by input stem and set of stems."""
    groups: dict[tuple[str, frozenset[str]], list[Card]] = {}
    for card in cards:
        groups.setdefault((card.input_stem, frozenset(card.sources)), []).append(card)
    return groups.values()


def task_of(card: Card) -> str:
    """Return what the weights separate, as the heading of their group."""
    stems = ", ".join(card.sources)
    return f"{card.input_stem} → {stems}" if card.input_stem else stems


def row_of(card: Card, marks: Mapping[str, str]) -> Sequence[str]:
    """Return the cells of a card, in the order of `HEADINGS`."""
    has_licence = card.has_weights or card.has_parts
    return (
        f"  {card.name}" + " (default)" * (card.name == DEFAULT_MODEL),
        f"{fmean(card.published.values()):.1f}" if card.published else "–",
        _measured(card, marks),
        f"{card.speed:.{int(card.speed < 10)}f}×" if card.speed else "–",
        f"{MEMORY_GB[card.name]:.1f} GB" if card.name in MEMORY_GB else "–",
        _fitted(card.licence) if has_licence else "–",
        COMMERCIAL_USE[card.commercial_use] if has_licence else "–",
        f"{card.download_bytes / 1e6:.0f} MB" if card.download_bytes else "–",
        _place(card),
    )


def _measured(card: Card, marks: Mapping[str, str]) -> str:
    if card.name not in MEASURED:
        return "– "
    measured = MEASURED[card.name]
    return f"{fmean(measured.sdr.values()):.1f}{marks.get(measured.caveat, ' ')}"


def _place(card: Card) -> str:
    """Return where the weights are: here, or fetched by pip, by npm or from the web.

    Weights that ship with partita cannot be fetched: "missing" if they are not there.
    """
    from partita.weights.places import is_cached

    if is_cached(card):
        return "here"
    remote = next((part.remote[0] for part in part_cards(card) if part.remote), None)
    if remote is None:
        return "missing"
    tools: dict[type, str] = {WheelSource: "pip", NpmSource: "npm"}
    return tools.get(type(remote), "web")


def _fitted(licence: str) -> str:
    """Return a licence, shortened to its column."""
    return licence if len(licence) <= _LICENCE_CHARS else licence[: _LICENCE_CHARS - 1] + "…"


def _line(row: Sequence[str], widths: Sequence[int], shown: Sequence[int]) -> str:
    cells = [
        row[i].rjust(widths[i]) if HEADINGS[i] in _RIGHT else row[i].ljust(widths[i]) for i in shown
    ]
    if len(cells[0]) > widths[0]:
        cells[0] += "\n" + " " * widths[0]
    return "  ".join(cells).rstrip()


def notes_on(marks: Mapping[str, str]) -> Iterable[str]:
    """Return notes on the figures."""
    yield (
        "MUSDB18, ours: SDR in dB (BSS Eval v4), medians over windows, then over songs; mean over "
        "the stems. Compare scores of one column and of the same stems only."
    )
    yield "MUSDB18: published scores on its 50 test songs (MUSDB18 or MUSDB18-HQ)."
    yield (
        f"ours: measured by this project on {len(SONGS)} songs, for weights that it could fetch "
        "(docs/research/results.md)."
    )
    for why, mark in marks.items():
        yield f"{mark} {why}"
    yield "speed: × real time on two cores of an AMD EPYC (AVX2). memory: peak, at any length."
