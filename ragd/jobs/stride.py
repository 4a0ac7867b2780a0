"""Ends a worker whose work does not get on: its heartbeat has a thread of its own, and tells nothing of that."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable

from ragd.config.events import get_log
from ragd.domain.errors import WorkerStuck

_LOG = get_log("ragd.jobs")


class Stride:
    """When the work last got on. `step` is called by who works, the rest by any thread.

    `limit_s` is how many seconds one step may take, by a clock that no jump of the time moves.
    """

    def __init__(self, limit_s: float = math.inf, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit_s, self._clock = limit_s, clock
        self._since: float | None = None
        self._doubted: float | None = None

    def step(self) -> None:
        """Work got on: a job was asked for, a file was read, a slice encoded."""
        self._since = self._clock()

    def rest(self) -> None:
        """From here on it may take for ever until the next step: what is needed is away."""
        self._since = None

    @property
    def overdue_s(self) -> float:
        """Seconds since the last step where that is longer than one may take, else 0."""
        since = self._since
        waited_s = 0.0 if since is None else self._clock() - since
        return waited_s if waited_s > self.limit_s else 0.0

    def end_if_stuck(self) -> None:
        """Ends this process with WorkerStuck's exit status when a step is overdue at two looks in a row.

        At the first one after the whole process was frozen the work had no time to get on.
        What it held stays in Redis: whoever replaces it takes that back, and a batch that ends several workers is
        taken apart until the file that does it stands alone.
        """
        since, overdue_s = self._since, self.overdue_s
        was_doubted, self._doubted = since == self._doubted, since if overdue_s else None
        if overdue_s and was_doubted:
            _LOG.error("work_stuck", pid=os.getpid(), silent_s=round(overdue_s, 1), action="ends")
            sys.stderr.flush()
            os._exit(WorkerStuck.exit_code)
