"""The daemon's own round, in a thread that lives as long as the process: children, claim, ticks, progress, watchdog."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

from ragd.config.events import get_log
from ragd.daemon.broker_watch import BrokerWatch
from ragd.daemon.ending import FATAL, Ending
from ragd.daemon.heartbeat import Heartbeat
from ragd.daemon.progress import Count, Progress
from ragd.daemon.sdnotify import Notifier
from ragd.daemon.supervisor import Supervisor
from ragd.domain.errors import BrokerUnavailable, StateBusy

_LOG = get_log("ragd.daemon")
_ROUND_S = 0.25
_TICK_S = 2.0
_SHOW_S = 0.5
_CLAIM_S = 5.0
_STOP_BUDGET_S = 10.0


class Crew:
    """Keeps the children alive and the main thread ticking. Children are bound to this thread, which ends last."""

    def __init__(
        self,
        supervisor: Supervisor,
        broker_watch: BrokerWatch,
        tick: Callable[[], None],
        notifier: Notifier,
        heartbeat: Heartbeat,
        *,
        ending: Ending,
        count: Callable[[], Count],
        progress: Progress | None,
        until_indexed: bool,
    ) -> None:
        self._supervisor = supervisor
        self._broker_watch = broker_watch
        self._tick = tick
        self._notifier = notifier
        self._heartbeat = heartbeat
        self._ending = ending
        self._count = count
        self._progress = progress
        self._until_indexed = until_indexed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="crew", daemon=True)
        self._due = {"place": 0.0, "tick": 0.0, "claim": 0.0, "watchdog": 0.0, "show": 0.0}
        self._was_done = False
        self._is_indexed = False

    def start(self) -> None:
        """Starts the children and returns."""
        self._thread.start()

    def stop(self) -> None:
        """Stops the workers (Redis is left running) and returns when they have ended."""
        self._stopping.set()
        self._thread.join(_STOP_BUDGET_S + 5.0)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                with self._ending.watch():
                    self._round()
                self._stopping.wait(_ROUND_S)
        finally:
            self._supervisor.stop(budget_s=_STOP_BUDGET_S)

    def _round(self) -> None:
        try:
            if self._is_due("place", _TICK_S):
                self._ending.check()
            self._show()
            self._supervisor.step()
            if self._is_due("claim", _CLAIM_S):
                self._broker_watch.step()
            if self._is_due("tick", _TICK_S):
                self._tick()
        except StateBusy as error:
            _LOG.debug("round_waits", reason=error)
        except BrokerUnavailable as error:
            _LOG.debug("round_waits", reason=error)
            self._heartbeat.excuse()  # ticks reach the main thread through Redis: one that is away tells nothing of it
        except FATAL:
            raise
        except Exception:  # noqa: BLE001
            # An edge: a bug in one round must not leave the children without their keeper.
            _LOG.exception("round_broke")
        self._feed_watchdog()

    def _show(self) -> None:
        if self._is_indexed or not self._is_due("show", _SHOW_S):
            return
        count = self._count()
        # Twice in a row: between a scan's end and its last plan, a single look may see nothing to do.
        is_settled, self._was_done = count.is_done and self._was_done, count.is_done
        if self._progress is not None and (is_settled or not count.is_done):
            self._progress.step(count)
        if is_settled:
            self._is_indexed = True
            _LOG.info("indexed", files=count.files, chunks=count.chunks, failed=count.failed)
            if self._until_indexed:
                os.kill(os.getpid(), signal.SIGTERM)

    def _feed_watchdog(self) -> None:
        limit_s = self._notifier.watchdog_s
        is_well = self._supervisor.is_healthy and self._heartbeat.is_beating
        if limit_s is not None and is_well and self._is_due("watchdog", limit_s / 3):
            self._notifier.alive()

    def _is_due(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._due[what]:
            return False
        self._due[what] = now + every_s
        return True
