"""Whether the main thread, the only writer, gets on: what it turned to last, and how long ago."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

STUCK_S: Final = 120.0
"""A turn that takes longer than this is no slow commit: nothing that the main thread does waits that long."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The last turn: what the thread turned to (empty: to look for work), and how many seconds ago.

    `since_s` is None before the first one. `is_ending` once the daemon was told to stop.
    """

    doing: str
    since_s: float | None
    is_ending: bool = False

    @property
    def is_stuck(self) -> bool:
        """True when the last turn is too long ago."""
        return self.since_s is not None and self.since_s > STUCK_S


class Heart:
    """Told by the main thread's loop at every turn, asked from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: tuple[str, float] | None = None  # replaced whole
        self._is_ending = False

    def turned(self, task: str) -> None:
        """The loop turns to this task, or to looking for one."""
        self._last = (task, self._clock())

    def end(self) -> None:
        """No turn is to be expected any more."""
        self._is_ending = True

    @property
    def beat(self) -> Beat:
        """How it stands now."""
        last = self._last
        if last is None:
            return Beat("", None, self._is_ending)
        return Beat(last[0], self._clock() - last[1], self._is_ending)
