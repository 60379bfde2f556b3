"""Progress functions: one signature for all long work."""

from __future__ import annotations

from collections.abc import Callable

#: Called as ``progress(done_s, total_s)``, in seconds of audio; the total is None if unknown.
#: Downloads count bytes and trainings count steps, as their docstrings say.
Progress = Callable[[float, float | None], None]
