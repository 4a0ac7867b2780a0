"""Keeps the daemon's footing in its Redis: the claim, the workers' settings, strange values, a server that hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ragd.config.events import get_log
from ragd.domain.errors import BrokerUnavailable, PayloadInvalid
from ragd.jobs.broker import Broker, is_silence
from ragd.jobs.repair import put_away
from ragd.jobs.settings import WorkerSettings, publish, published

HUNG_S: Final = 15.0
_LOG = get_log("ragd.daemon")


class BrokerWatch:
    """One `step` every few seconds, from one thread; `problem` says what is wrong, to any thread.

    `settings` are what workers are to be told. `on_forgotten` is called when Redis lost what was queued: the folders
    are to be walked again. `end_server` ends a private server; it is called when that one runs and has answered nothing
    for HUNG_S seconds, so that it is started anew.
    """

    def __init__(
        self,
        broker: Broker,
        state_id: str,
        settings: Callable[[], WorkerSettings],
        on_forgotten: Callable[[], object],
        *,
        end_server: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker, self._state_id = broker, state_id
        self._settings, self._on_forgotten = settings, on_forgotten
        self._end_server, self._clock = end_server, clock
        self._identity = ""
        self._silent_since: float | None = None
        self.problem = ""

    def step(self) -> None:
        """A look at Redis. Raises BrokerUnavailable, which `problem` then tells with its remedy."""
        begun = self._clock()
        try:
            self._look()
        except BrokerUnavailable as error:
            self.problem = f"{error} ({error.hint})" if error.hint else str(error)
            self._end_if_hung(error, begun)
            raise
        self.problem, self._silent_since = "", None

    def _look(self) -> None:
        strange = put_away(self._broker)
        if strange:
            _LOG.warning("broker_strange", keys=",".join(strange), action="removed")
        self._broker.claim(self._state_id)
        identity, before = self._broker.identity(), self._identity
        known, settings = self._published(), self._settings()
        if identity == before and known is not None and not strange:
            if known != settings:
                publish(self._broker, settings)
            return
        publish(self._broker, settings)
        self._identity = identity
        if before:
            # It was started anew, emptied, or written over: what was seen may be lost, the folders know.
            _LOG.warning("broker_forgot", what="jobs", action="rescan")
            self._on_forgotten()

    def _published(self) -> WorkerSettings | None:
        try:
            found = published(self._broker)
        except PayloadInvalid as error:
            _LOG.warning("settings_strange", reason=error, action="publish")
            return None
        return found[0] if found is not None else None

    def _end_if_hung(self, error: BrokerUnavailable, begun: float) -> None:
        if self._end_server is None or not is_silence(error):
            self._silent_since = None
            return
        self._silent_since = begun if self._silent_since is None else self._silent_since
        silent_s = self._clock() - self._silent_since
        if silent_s >= HUNG_S:
            _LOG.warning("redis_hung", silent_s=round(silent_s, 1), action="restart")
            self._silent_since = None
            self._end_server()
