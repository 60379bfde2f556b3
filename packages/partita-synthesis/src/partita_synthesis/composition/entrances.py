"""Who plays when: roles come and go with the energy of the sections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from partita_synthesis.composition.plan import Bar, Plan
from partita_synthesis.composition.random_choice import choose, happens
from partita_synthesis.composition.style_schema import SECTION_KINDS
from partita_synthesis.score import Player

#: Role → probability in each of `SECTION_KINDS`:
#: intro, verse, prechorus, chorus, bridge, solo, breakdown, outro.
_LIKELY = {
    "drums": (0.55, 0.94, 0.95, 1.0, 0.75, 1.0, 0.3, 0.75),
    "percussion": (0.35, 0.5, 0.6, 0.85, 0.4, 0.7, 0.4, 0.4),
    "bass": (0.5, 0.94, 0.95, 1.0, 0.8, 1.0, 0.4, 0.75),
    "chords": (0.8, 0.88, 0.9, 0.95, 0.85, 0.9, 0.7, 0.85),
    "riff": (0.65, 0.5, 0.4, 0.75, 0.3, 0.6, 0.25, 0.6),
    "arpeggio": (0.5, 0.5, 0.55, 0.65, 0.6, 0.4, 0.6, 0.5),
    "pad": (0.5, 0.4, 0.7, 0.75, 0.7, 0.5, 0.8, 0.6),
    "lead": (0.55, 0.25, 0.2, 0.5, 0.35, 1.0, 0.3, 0.45),
    "vocals": (0.06, 0.98, 0.98, 0.99, 0.88, 0.1, 0.4, 0.3),
    "backing_vocals": (0.06, 0.18, 0.4, 0.88, 0.4, 0.1, 0.25, 0.2),
}
#: Of a lead where nobody sings.
_TUNE = (0.4, 0.85, 0.8, 0.95, 0.8, 1.0, 0.4, 0.4)
#: How likely a role waits for the second half of a section, elsewhere than in intros.
_LATE = {"vocals": 0.0, "backing_vocals": 0.0, "drums": 0.05, "bass": 0.05, "lead": 0.2}
_SINGERS = ("vocals", "backing_vocals")
_Mask = npt.NDArray[np.bool_]


def draw_entrances(plan: Plan, players: Sequence[Player], rng: Generator) -> list[_Mask]:
    """Return for each player whether it plays, bar by bar.

    Everybody plays somewhere, and in each bar somebody does.
    """
    has_singer = any(player.role in _SINGERS for player in players)
    masks: list[_Mask] = []
    for index, player in enumerate(players):
        before = list(players[:index])
        if player in before and happens(rng, 0.75):  # doubles the other throughout
            masks.append(masks[before.index(player)].copy())
            continue
        is_second = any(other.role == player.role for other in before)
        masks.append(_entrances(plan, player, rng, has_singer, is_second))
    _drop_out(plan, players, masks, rng)
    for section in range(len(plan.sections)):
        _fill_section(plan, section, players, masks)
    for player, mask in zip(players, masks, strict=True):
        if not mask.any():
            best = max(plan.bars, key=lambda bar: _likelihood(player.role, bar, has_singer))
            places = np.flatnonzero([bar.section == best.section for bar in plan.bars])
            half = len(places) // 2
            spans = (places, places, places[:half], places[half:]) if half else (places,)
            mask[choose(rng, spans)] = True
    return masks


def _likelihood(role: str, bar: Bar, has_singer: bool) -> float:
    table = _TUNE if role == "lead" and not has_singer else _LIKELY[role]
    return table[SECTION_KINDS.index(bar.kind)]


def _entrances(
    plan: Plan, player: Player, rng: Generator, has_singer: bool, is_second: bool
) -> _Mask:
    mask = np.zeros(len(plan.bars), bool)
    draws: dict[str, float] = {}
    for bar in plan.bars:
        if bar.index and bar is not plan.bars[0]:
            continue
        # one draw for all sections of a kind, but each time more are likely to play
        draws[bar.kind] = draws.get(bar.kind, float(rng.random())) - 0.07 * (bar.kind in draws)
        likely = _likelihood(player.role, bar, has_singer) - 0.15 * is_second
        if draws[bar.kind] >= likely:
            continue
        first = round(bar.start / plan.beats_per_bar)
        end = first + min(bar.left + 1, len(plan.bars) - first)
        late = 0.4 if bar.kind == "intro" else _LATE.get(player.role, 0.1)
        if end - first >= 4 and happens(rng, late):
            first += (end - first) // 2
        mask[first:end] = True
    return mask


def _drop_out(plan: Plan, players: Sequence[Player], masks: list[_Mask], rng: Generator) -> None:
    """Let most players rest in the last bar before some choruses."""
    for index, bar in enumerate(plan.bars[1:], 1):
        if bar.kind == "chorus" and bar.index == 0 and index > 1 and happens(rng, 0.15):
            stays = {"vocals", "lead", "riff"} if happens(rng, 0.6) else {"drums", "vocals"}
            for player, mask in zip(players, masks, strict=True):
                if player.role not in stays:
                    mask[index - 1] = False


def _fill_section(plan: Plan, section: int, players: Sequence[Player], masks: list[_Mask]) -> None:
    """Let the likeliest players play where too few do."""
    inside = np.array([bar.section == section for bar in plan.bars])
    bar = plan.bars[int(inside.argmax())]
    wanted = min(2 if bar.energy < 0.6 else 3, len(players))
    order = sorted(
        range(len(players)), key=lambda index: -_likelihood(players[index].role, bar, True)
    )
    for index in order:
        if sum(bool(mask[inside].any()) for mask in masks) >= wanted:
            break
        masks[index][inside] = True
    if not all(any(mask[place] for mask in masks) for place in np.flatnonzero(inside)):
        for index in order[:1]:
            masks[index][inside] = True
