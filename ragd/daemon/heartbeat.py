"""Whether the committing thread gets on: it beats as it works, and whoever feeds the watchdog asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class Heartbeat:
    """Silence of the main thread for longer than `limit_s` seconds is a hang, unless work that takes longer was told.

    The main thread beats, whoever may excuse it excuses it, and any thread asks.
    """

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s, self._clock = limit_s, clock
        self._last = (clock(), 0.0)

    def beat(self, busy_s: float = 0.0) -> None:
        """The main thread works; what it begins now may take `busy_s` seconds more than usual."""
        self._last = (self._clock(), busy_s)

    def excuse(self) -> None:
        """Nothing can be expected of the main thread now: its work comes through a Redis that is away."""
        self._last = (self._clock(), self._last[1])

    @property
    def silent_s(self) -> float:
        """Seconds since it was heard of."""
        return self._clock() - self._last[0]

    @property
    def is_beating(self) -> bool:
        """True while it gets on, as far as can be known."""
        at, busy_s = self._last
        return self._clock() - at <= self._limit_s + busy_s

    def through(self, handlers: Mapping[str, Callable[[T], Any]]) -> dict[str, Callable[[T], Any]]:
        """The same handlers of jobs, each with a beat before and after it."""
        return {name: self._beaten(handler) for name, handler in handlers.items()}

    def _beaten(self, handler: Callable[[T], Any]) -> Callable[[T], Any]:
        def run(task: T) -> Any:
            self.beat()
            try:
                return handler(task)
            finally:
                self.beat()

        return run
