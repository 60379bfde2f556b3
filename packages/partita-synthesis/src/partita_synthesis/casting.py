"""The band of a song: players for a style that fill all stems."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from partita_synthesis.composition import BandSeat
from partita_synthesis.composition.random_choice import pick
from partita_synthesis.instruments import instruments
from partita_synthesis.score import Player
from partita_synthesis.stems import StemPlan

#: Roles that two tracks play alike on many records, and how often.
_DOUBLED: Mapping[str, float] = {"backing_vocals": 0.7, "riff": 0.45, "vocals": 0.25}
_DOUBLED_CHORDS = 0.5  # of guitars
_MOST_PLAYERS = 11


def cast_band(
    band: Mapping[str, BandSeat],
    plan: StemPlan,
    playable: Collection[str],
    rng: np.random.Generator,
) -> tuple[Player, ...]:
    """Draw a band.

    Instruments come from the style's seats where it has one for a stem; a stem that the style
    does not have gets any of its instruments, in one of the roles that the instrument has.

    Parameters
    ----------
    band : mapping of str to BandSeat
        Role → who may fill it: `Style.band`.
    plan : StemPlan
    playable : collection of str
        Instruments for which there are sounds; some of each stem.
    rng : Generator

    Returns
    -------
    tuple of Player
        At least one of each stem.
    """
    allowed = {name for name in plan.owners if name in playable}
    players: list[Player] = []
    for role, seat in band.items():
        if rng.random() < seat.probability:
            players += _fill(role, seat, allowed, rng)
    for stem in plan.names:
        if not any(plan.owners[player.instrument] == stem for player in players):
            members = [name for name in plan.instruments_of(stem) if name in allowed]
            players.append(_draw_player(band, members, rng))
    return _limited(players, plan, rng)


def _fill(
    role: str, seat: BandSeat, allowed: Collection[str], rng: np.random.Generator
) -> list[Player]:
    weights = {name: weight for name, weight in seat.instruments.items() if name in allowed}
    if not weights:
        return []
    players = []
    for _ in range(int(rng.integers(1, seat.most, endpoint=True))):
        player = Player(role, pick(rng, weights))
        players.append(player)
        if rng.random() < _doubling(player):
            players.append(player)
    return players


def _doubling(player: Player) -> float:
    """Return the probability that a part is doubled."""
    is_guitar = "guitar" in instruments()[player.instrument].words
    if player.role == "chords":
        return _DOUBLED_CHORDS * is_guitar
    return _DOUBLED.get(player.role, 0.0) * (is_guitar or player.role != "riff")


def _draw_player(
    band: Mapping[str, BandSeat], members: Iterable[str], rng: np.random.Generator
) -> Player:
    """Draw one of these instruments and its role, as the style has it if it does."""
    usual = {
        (role, name): seat.instruments[name] * max(seat.probability, 0.01)
        for role, seat in band.items()
        for name in members
        if name in seat.instruments
    }
    if usual:
        return Player(*pick(rng, usual))
    names = sorted(members)
    name = names[rng.integers(len(names))]
    roles = instruments()[name].roles
    return Player(roles[rng.integers(len(roles))], name)


def _limited(players: list[Player], plan: StemPlan, rng: np.random.Generator) -> tuple[Player, ...]:
    """Remove players where there are too many; each stem keeps one."""
    needed = {plan.owners[player.instrument]: index for index, player in enumerate(players)}
    spare = [index for index in range(len(players)) if index not in needed.values()]
    room = max(0, _MOST_PLAYERS - len(needed))
    stay = {*needed.values(), *rng.permutation(spare)[:room].tolist()}
    return tuple(player for index, player in enumerate(players) if index in stay)
