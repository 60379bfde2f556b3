"""How much of the paper's experiment is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from partita.errors import UnknownNameError


@dataclass(frozen=True)
class Budget:
    """What is spent; trainings have so many steps, not minutes, so that they can be repeated.

    Attributes
    ----------
    name : str
    open_unmix, demucs, dictionaries, small : tuple of str
        ``key=value`` settings of the trainings of Open-Unmix, with and without cross-talk, of
        Demucs, with one decoder and with several, of NMFD's dictionaries, and of the small networks
        that hypotheses are tested with; none: as the recipes say.
    tracks : int or None
        That are scored; None: all of the test set.
    excerpt_s : float or None
        Of each; None: whole tracks.
    train_tracks, train_excerpt_s : int, float or None
        The same of the tracks that models learn from.
    synthetic_songs, synthetic_s : int, float
        Synthesised songs to learn from, and their length; a quarter as many are scored. 0: none.
    """

    name: str
    open_unmix: tuple[str, ...]
    demucs: tuple[str, ...]
    dictionaries: tuple[str, ...]
    small: tuple[str, ...]
    tracks: int | None
    excerpt_s: float | None
    train_tracks: int | None
    train_excerpt_s: float | None
    synthetic_songs: int
    synthetic_s: float


#: Of trainings that are cut short: no track is held out, the last weights count.
_SHORT = ("epochs=8", "steps_per_epoch=30", "valid_tracks=0")
_SMALL = ("epochs=8", "steps_per_epoch=25", "valid_tracks=0")
#: What the recipe demucs-light has, for the model with several decoders as well.
_TABLE_13 = (
    *("epochs=2", "steps_per_epoch=5000", "batch_size=4", "accumulate=1"),
    *("excerpt_s=0.453515", "loss=l2"),
)
BUDGETS: Mapping[str, Budget] = MappingProxyType(
    {
        budget.name: budget
        for budget in (
            Budget(
                "minutes",
                open_unmix=(*_SHORT, "hidden=256", "excerpt_s=2"),
                demucs=(*_TABLE_13[2:], *_SHORT),
                dictionaries=("seconds=10", "learn_iterations=30"),
                small=_SMALL,
                tracks=2,
                excerpt_s=40.0,
                train_tracks=8,
                train_excerpt_s=180.0,
                synthetic_songs=16,
                synthetic_s=15.0,
            ),
            Budget(
                "hours",
                open_unmix=("epochs=25", "steps_per_epoch=100", "hidden=512", "excerpt_s=4"),
                demucs=("epochs=25", "steps_per_epoch=200", *_TABLE_13[2:]),
                dictionaries=(),
                small=("epochs=20", "steps_per_epoch=100"),
                tracks=10,
                excerpt_s=60.0,
                train_tracks=40,
                train_excerpt_s=None,
                synthetic_songs=100,
                synthetic_s=30.0,
            ),
            Budget(
                "paper",
                open_unmix=(),
                demucs=_TABLE_13,
                dictionaries=(),
                small=("epochs=20", "steps_per_epoch=200"),
                tracks=None,
                excerpt_s=None,
                train_tracks=None,
                train_excerpt_s=None,
                synthetic_songs=200,
                synthetic_s=30.0,
            ),
        )
    }
)


def get_budget(name: str) -> Budget:
    """Return the budget of a name.

    Raises
    ------
    UnknownNameError
        There is none.
    """
    if name not in BUDGETS:
        raise UnknownNameError("budget", name, BUDGETS)
    return BUDGETS[name]
