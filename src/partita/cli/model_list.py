"""The list of all weights, as a person reads it: what there is, how good, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from partita.cli.layout import fitting, terminal_columns
from partita.weights.card import Card, UrlSource
from partita.weights.cards import DEFAULT_MODEL

if TYPE_CHECKING:
    from rich.console import Console

_HEADINGS = ("", "SDR", "speed", "licence", "commercial", "size", "here")
_RIGHT = ("SDR", "speed", "size")
#: Left out on narrow terminals, in that order.
_DISPENSABLE = ("licence", "size", "speed", "here")
#: Beside scores, one for each way of measuring.
_MARKS = "¹²³⁴⁵⁶⁷⁸⁹"
_LICENCE_CHARS = 15
_LABELS = {
    True: "",
    None: "commercial use not clear: ",
    False: "not for commercial use: ",
}
COMMERCIAL_USE = {True: "yes", False: "no", None: "unknown"}


def print_cards(cards: Iterable[Card], console: Console) -> None:
    """Print a table of cards, those of the same stems together, and what to choose."""
    cards = [card for group in _groups(cards) for card in group]  # as they are printed
    marks = _marks(cards)
    rows = {card.name: _row(card, marks) for card in cards}
    columns = zip(_HEADINGS, *rows.values(), strict=True)
    widths = [max(map(len, column)) for column in columns]
    dispensable = [_HEADINGS.index(heading) for heading in _DISPENSABLE]
    shown = fitting(widths, dispensable, terminal_columns())
    console.print(_line(_HEADINGS, widths, shown), style="dim", soft_wrap=True)
    for group in _groups(cards):
        console.print(_task(group[0]), style="bold", soft_wrap=True)
        for card in group:
            console.print(_line(rows[card.name], widths, shown), soft_wrap=True)
    if len(shown) < len(widths):
        left_out = ", ".join(heading for i, heading in enumerate(_HEADINGS) if i not in shown)
        console.print(f"\nNo room for: {left_out}. partita models show NAME tells.")
    _print_notes(cards, marks, console)


def _marks(cards: Iterable[Card]) -> dict[str, str]:
    """Return a mark for each way that scores were measured in."""
    ways = dict.fromkeys(card.scores_from for card in cards if card.scores)
    return dict(zip(ways, _MARKS, strict=False))


def _groups(cards: Iterable[Card]) -> Iterable[list[Card]]:
    """Return the cards that take the same apart into the same, in whatever order, together."""
    groups: dict[tuple[str, frozenset[str]], list[Card]] = {}
    for card in cards:
        groups.setdefault((card.takes, frozenset(card.sources)), []).append(card)
    return groups.values()


def _task(card: Card) -> str:
    stems = ", ".join(card.sources)
    return f"{card.takes} → {stems}" if card.takes else stems


def _row(card: Card, marks: Mapping[str, str]) -> Sequence[str]:
    from partita.weights.store import is_cached

    has_licence = card.has_weights or card.chain
    return (
        f"  {card.name}" + " (default)" * (card.name == DEFAULT_MODEL),
        f"{fmean(card.scores.values()):.1f}{marks[card.scores_from]}" if card.scores else "– ",
        f"{card.speed:.{int(card.speed < 10)}f}×" if card.speed else "–",
        _fitted(card.licence) if has_licence else "–",
        COMMERCIAL_USE[card.commercial_use] if has_licence else "–",
        f"{card.download_bytes / 1e6:.0f} MB" if card.download_bytes else "–",
        "yes" if is_cached(card) else "no",
    )


def _fitted(licence: str) -> str:
    """Return as much of a licence as there is room for; partita models show has all of it."""
    return licence if len(licence) <= _LICENCE_CHARS else licence[: _LICENCE_CHARS - 1] + "…"


def _line(row: Sequence[str], widths: Sequence[int], shown: Sequence[int]) -> str:
    cells = (
        row[i].rjust(widths[i]) if _HEADINGS[i] in _RIGHT else row[i].ljust(widths[i])
        for i in shown
    )
    return "  ".join(cells).rstrip()


def _print_notes(cards: Iterable[Card], marks: Mapping[str, str], console: Console) -> None:
    """Say what the scores are of, and what there is to choose from."""
    print()
    console.print(
        "SDR: dB, mean over the stems. Figures of one mark are of the same songs and can be "
        "compared; others cannot."
    )
    _print_pairs(((mark, way) for way, mark in marks.items()), console)
    console.print(
        "Speed: how many times faster than real time two cores of an AMD EPYC with AVX2 are."
    )
    print()
    console.print(
        f"{DEFAULT_MODEL}, the default, needs no more than a package registry that pip can reach. "
        "What comes from other servers is mostly better, larger and slower:"
    )
    _print_pairs(_by_server(cards).items(), console)


def _print_pairs(pairs: Iterable[tuple[str, str]], console: Console) -> None:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    for pair in pairs:
        grid.add_row(*pair)
    console.print(grid)


def _by_server(cards: Iterable[Card]) -> dict[str, str]:
    """Return the names of what is fetched from servers first, by server, the free ones first."""
    names: dict[str, dict[bool | None, list[str]]] = {}
    for card in cards:
        source = card.remote[0] if card.remote else None
        if isinstance(source, UrlSource):
            (server,) = {urlsplit(file.url).hostname or "" for file in source.files.values()}
            kinds: dict[bool | None, list[str]] = {True: [], None: [], False: []}
            names.setdefault(server, kinds)[card.commercial_use].append(card.name)
    return {
        server: "; ".join(_LABELS[use] + ", ".join(kind) for use, kind in named.items() if kind)
        for server, named in names.items()
    }
