"""Levels and panning of the parts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from partita_synthesis.mixing import profiles

Samples = npt.NDArray[np.float32]

#: Level of a part at 0 dB: both channels' mean squares together, while it plays.
REFERENCE_DB = -20.0
_LEAD_WITHOUT_SINGER_DB = 2.0
_GUITAR_PAIR = (0.7, 1.0)
_FRAME_S, _GATE_DB = 0.4, 25.0


@dataclass(frozen=True)
class Place:
    """Where a part is in the mix.

    Attributes
    ----------
    level_db : float
        While it plays, over `REFERENCE_DB`.
    pan : float
        −1 (left) to 1.
    width : float
        Factor of the difference between left and right.
    takes : int
        How many parts of its role play this instrument: two guitars are a pair.
    """

    level_db: float
    pan: float
    width: float
    takes: int


def draw_places(
    players: Sequence[tuple[str, str]], style: str, rng: np.random.Generator
) -> list[Place]:
    """Draw a place for each role and instrument, left and right in turn off the middle."""
    profile = profiles.profile_of(style)
    takes = Counter(players)
    keys = Counter(role for role, _ in takes)
    crowd = max(1, sum(keys[role] for role in profiles.CROWD))
    side = float(rng.choice([-1, 1]))
    distances: dict[tuple[str, str], float] = {}
    places = []
    for player in players:
        role, instrument = player
        mean, spread = profiles.LEVELS_DB[role]
        if role == "lead" and not keys["vocals"]:
            mean += _LEAD_WITHOUT_SINGER_DB
        most = profiles.FARTHEST_LEVEL_DB
        level = mean + float(np.clip(rng.normal(0, spread), -most, most))
        level += profile.levels_db.get(role, 0.0) - 10 * math.log10(takes[player])
        if role in profiles.CROWD:
            level -= profiles.CROWD_DB_PER_DECADE * math.log10(crowd)
        else:
            level -= 10 * math.log10(keys[role])
        is_pair = takes[player] > 1 and profiles.is_guitar(instrument)
        distance = float(rng.uniform(*(_GUITAR_PAIR if is_pair else profiles.PLACES[role])))
        distance = distances.setdefault(player, distance)  # takes of one part are a pair
        if profiles.PLACES[role][0] > 0:
            side = -side
        width = float(rng.uniform(*profiles.WIDTHS.get(role, profiles.OTHER_WIDTH)))
        places.append(Place(level, side * distance, width, takes[player]))
    return places


def placed(samples: Samples, place: Place, sample_rate: int) -> Samples:
    """Return a part at its place ``[2, samples]``, at its level.

    Parameters
    ----------
    samples : ndarray ``[1 or 2, samples]``
        Not silent.
    place : Place
    sample_rate : int
    """
    is_wide = len(samples) == 2 and place.takes == 1  # stays nearer to the middle
    angle = (place.pan * (0.5 if is_wide else 1) + 1) * math.pi / 4
    left, right = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    stereo = np.empty((2, samples.shape[1]), np.float32)
    if len(samples) == 1:  # both sides together have the power of the one
        factor = np.float32(_factor(samples, place.level_db, sample_rate))
        np.multiply(samples[0], left * factor, out=stereo[0])
        np.multiply(samples[0], right * factor, out=stereo[1])
        return stereo
    louder = max(left, right)  # a balance control: the near side stays as it is
    own, others = np.float32(0.5 * (1 + place.width)), np.float32(0.5 * (1 - place.width))
    for side, (near, far), gain in zip(
        stereo, (samples, samples[::-1]), (left / louder, right / louder), strict=True
    ):
        np.multiply(near, own * gain, out=side)
        np.add(side, far * (others * gain), out=side)
    set_level(stereo, place.level_db, sample_rate)
    return stereo


def set_level(samples: Samples, level_db: float, sample_rate: int) -> None:
    """Scale samples, in place, to a level over `REFERENCE_DB`; silence stays."""
    samples *= np.float32(_factor(samples, level_db, sample_rate))


def _factor(samples: Samples, level_db: float, sample_rate: int) -> float:
    now = playing_level_db(samples, sample_rate)
    return float(10 ** ((REFERENCE_DB + level_db - now) / 20)) if math.isfinite(now) else 1.0


def playing_level_db(samples: Samples, sample_rate: int) -> float:
    """Return the level while something plays, in dB of the mean square summed over channels.

    Pieces of 0.4 s count that are at most 25 dB below the loudest; −inf of silence. A short last
    piece counts as if silence followed, unless it is all there is.
    """
    frame = min(max(1, round(_FRAME_S * sample_rate)), samples.shape[1])
    starts = np.arange(0, samples.shape[1], frame)
    means = sum(np.add.reduceat(np.square(row), starts) for row in samples) / frame
    loud = means[means > np.max(means, initial=0) * 10 ** (-_GATE_DB / 10)]
    return 10 * math.log10(loud.mean()) if len(loud) else -math.inf
