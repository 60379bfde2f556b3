"""The list of weights on terminals, however many there are and however long their names."""

import dataclasses
import io

import pytest
from rich.console import Console

from partita.cli import model_list
from partita.weights.card import UrlFile, UrlSource
from partita.weights.cards import CARDS

_FOUR = ["vocals", "drums", "bass", "other"]
_SOURCES = {
    "bs-roformer-somebody-resurrection-instrumental": ["vocals", "instrumental"],
    "karaoke": ["lead_vocals", "residual"],
    "mega-53": [f"instrument_{index}" for index in range(53)],
    "a-model-of-four": _FOUR,
}


def listed(columns, monkeypatch):
    """Return the lines that a terminal of that width shows, of twice as many cards as there are."""
    source = UrlSource({"all": UrlFile("https://example.com/a.ckpt", "0" * 64)}, "demucs-package")
    many = [
        dataclasses.replace(
            CARDS["htdemucs"],
            name=f"{name}-{index}",
            config={"sources": sources},
            remote=(source,),
            download_bytes=1_368_919_887,
            licence="unknown",
            commercial_use=None,
        )
        for index in range(6)
        for name, sources in _SOURCES.items()
    ]
    for card in many:
        monkeypatch.setitem(CARDS, card.name, card)
    monkeypatch.setattr(model_list, "terminal_columns", lambda: columns)
    screen = io.StringIO()
    console = Console(file=screen, width=columns)
    model_list.print_cards(CARDS.values(), console)
    model_list.print_recommendations(console)
    return screen.getvalue().splitlines()


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_many_cards_with_long_names(monkeypatch, columns):
    lines = listed(columns, monkeypatch)
    assert max(map(len, lines)) <= columns
    text = "\n".join(lines)
    for name in _SOURCES:
        assert text.count(f"  {name}-") == 6  # whole
    assert text.count("1369 MB") == (24 if columns > 60 else 0)
    assert lines.count("vocals, drums, bass, other") == 1
    assert lines.count("Which one?") == 1


def test_figures_of_long_names_stand_below_their_headings(monkeypatch):
    lines = listed(80, monkeypatch)
    at = lines[0].index("MUSDB18") + len("MUSDB18")
    name = next(i for i, line in enumerate(lines) if "resurrection-instrumental-0" in line)
    assert lines[name].strip() == "bs-roformer-somebody-resurrection-instrumental-0"
    assert lines[name + 1][:at].strip() == "8.8"
