"""Time that may jump: what is due by a clock that somebody sets, and how far that clock went astray."""

from __future__ import annotations

import time
from dataclasses import dataclass


def is_due(now: float, since: float, after_s: float) -> bool:
    """Whether `after_s` seconds have passed; a clock that was set back makes it due at once instead of days late."""
    return not 0 <= now - since < after_s


def steady() -> float:
    """Seconds that pass alike whatever the clock is set to, suspended or not where the system tells (boot time)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(slots=True)
class Jumps:
    """How far the wall clock (Unix seconds) went from steady time since this was made; forwards is positive."""

    _wall: float
    _steady: float

    def astray_s(self, wall: float, steady_s: float) -> float:
        """Seconds by which the clock was set since the first look."""
        return (wall - self._wall) - (steady_s - self._steady)
