"""Tells trackers how runs go, each in a thread of its own: one that fails or hangs costs a line in the log, no run."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ragd.config.events import get_log
from ragd.domain.plugins import Tracker

_MOST_WAITING: Final = 1_000
_END_S: Final = 30.0
_LOG = get_log("ragd.jobs")


class Tracking:
    """The trackers of one run. What they are told arrives in order; a tracker is told nothing more after it raised."""

    def __init__(self, trackers: Sequence[Tracker], run_id: str) -> None:
        self._run_id = run_id
        self._lines = [_Line(tracker) for tracker in trackers]

    def started(self, facts: Mapping[str, Any]) -> None:
        """The run starts, or goes on after a break: then it is told again."""
        self._tell(lambda tracker: tracker.started(self._run_id, facts))

    def logged(self, step: int, metrics: Mapping[str, float]) -> None:
        """The run has reported numbers."""
        self._tell(lambda tracker: tracker.logged(self._run_id, step, metrics))

    def ended(self, state: str, facts: Mapping[str, Any]) -> None:
        """The run has ended; waits until the trackers know, half a minute at most."""
        self._tell(lambda tracker: tracker.ended(self._run_id, state, facts))
        self.close()

    def close(self) -> None:
        """Ends the threads once they have told what they have; safe to call twice."""
        deadline = time.monotonic() + _END_S
        for line in self._lines:
            line.close(deadline)

    def _tell(self, news: Callable[[Tracker], None]) -> None:
        for line in self._lines:
            line.put(news)


class _Line:
    """One tracker behind its thread."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._news: queue.Queue[Callable[[Tracker], None] | None] = queue.Queue(_MOST_WAITING)
        self._is_dropped = False
        self._thread = threading.Thread(target=self._run, name=f"tracker-{tracker.name}", daemon=True)
        self._thread.start()

    def put(self, news: Callable[[Tracker], None]) -> None:
        """Adds to what is told; nothing when the tracker is far behind."""
        if not self._is_dropped and not self._news.full():
            self._news.put_nowait(news)

    def close(self, deadline: float) -> None:
        """Waits for the thread until `deadline` (monotonic seconds)."""
        if self._thread.is_alive() and not self._news.full():
            self._news.put_nowait(None)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive() and not self._is_dropped:
            self._is_dropped = True
            _LOG.warning("tracker_left_behind", tracker=self._tracker.name, waited_s=_END_S)

    def _run(self) -> None:
        while (news := self._news.get()) is not None:
            if self._is_dropped:
                return
            try:
                news(self._tracker)
            except Exception as error:  # noqa: BLE001 - a tracker may fail in any way, and must not take the run along
                self._is_dropped = True
                words = " ".join(str(error).split())[:500]
                _LOG.warning("tracker_failed", tracker=self._tracker.name, error=f"{type(error).__name__}: {words}")
