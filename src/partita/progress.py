"""How long work says how far it is: one signature for all of it."""

from __future__ import annotations

from collections.abc import Callable

#: Called as ``progress(done_s, total_s)`` with the seconds of audio that are done and that there
#: are in all, None where nobody knows. Work that is not counted in seconds (bytes of a download,
#: steps of a training) says what it counts instead.
Progress = Callable[[float, float | None], None]
