"""What ends a daemon that must not go on: its state folder is gone, or its catalog is of no use any more."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ragd.config.events import get_log
from ragd.domain.errors import RagdError, StateCorrupt, StateGone

_LOG = get_log("ragd.daemon")
FATAL = (StateCorrupt, StateGone)


class Ending:
    """Keeps the first reason to end, and asks the main thread to stop in order; from any thread.

    Each of `checks` raises when the daemon's place is not what it was.
    """

    def __init__(self, checks: Sequence[Callable[[], None]]) -> None:
        self._checks = checks
        self.reason: RagdError | None = None

    def give_up(self, error: RagdError) -> None:
        """Ends the daemon because of this."""
        if self.reason is None:
            self.reason = error
            _LOG.error("ends", reason=error, hint=error.hint)
            os.kill(os.getpid(), signal.SIGTERM)

    def unless_given_up(self, last: Callable[[], None]) -> None:
        """What is done last before an ordinary end; else there is no place, or no truth, for it."""
        if self.reason is None:
            last()

    def raise_reason(self) -> None:
        """Raises the reason to end, if there is one."""
        if self.reason is not None:
            raise self.reason

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Gives up when the block raises what nobody can go on with; other errors pass through."""
        try:
            yield
        except FATAL as error:
            self.give_up(error)

    def check(self) -> None:
        """Looks whether the daemon still is where it was."""
        with self.watch():
            for check in self._checks:
                check()
