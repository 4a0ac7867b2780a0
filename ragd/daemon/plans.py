"""Counts plans on their way from the watcher to the main thread, so that `all searchable` is never said too early."""

from __future__ import annotations

import threading


class Plans:
    """Sent by the watcher, done by the main thread. A plan that Redis lost is written off by the next tick:

    plans and ticks travel in one lane, so when a tick arrives everything sent before it has arrived or never will.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent = 0
        self._done = 0
        self._before_tick = 0

    def sent(self) -> None:
        """The watcher is about to queue a plan."""
        with self._lock:
            self._sent += 1

    def done(self) -> None:
        """The main thread carried one out."""
        with self._lock:
            self._done = min(self._sent, self._done + 1)

    def tick_sent(self, sent_before: int) -> None:
        """A tick was queued when this many plans had been sent."""
        with self._lock:
            self._before_tick = sent_before

    def tick_done(self) -> None:
        """That tick arrived."""
        with self._lock:
            self._done = max(self._done, self._before_tick)

    @property
    def count(self) -> int:
        """Plans sent so far."""
        with self._lock:
            return self._sent

    @property
    def waiting(self) -> int:
        """Plans on their way."""
        with self._lock:
            return self._sent - self._done

    @property
    def are_waiting(self) -> bool:
        """True while a plan is on its way."""
        return self.waiting > 0
