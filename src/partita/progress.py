"""Progress functions: one signature for all long work."""

from __future__ import annotations

from collections.abc import Callable

#: Called as ``progress(done_s, total_s)``, in seconds of audio; the total is None if unknown.
#: Downloads count bytes and trainings count steps, as their docstrings say.
Progress = Callable[[float, float | None], None]


def added_up(progress: Progress | None, total_s: float) -> Callable[[float], None]:
    """Return a function that takes further seconds of audio and reports the sum so far.

    Parameters
    ----------
    progress : callable or None
        None: nothing is reported.
    total_s : float
        The sum never exceeds it.
    """
    done_s = 0.0

    def advance(seconds: float) -> None:
        nonlocal done_s
        done_s += seconds
        if progress is not None:
            progress(min(done_s, total_s), total_s)

    return advance
