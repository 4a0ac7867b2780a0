"""Reads the configuration again when asked to, and lets the parts of a running daemon go by the new one."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

from ragd.config.events import get_log
from ragd.config.live import Change, LiveConfig, Load, change
from ragd.daemon.sdnotify import Notifier
from ragd.domain.errors import BadRequest, RagdError

_LOG = get_log("ragd.daemon")


class Reloading:
    """`load` reads everything anew; `adopt` makes the parts follow. All but `ask` belongs to the main thread.

    What is refused leaves everything as it is, and `problem` says why until a later one is accepted.
    """

    def __init__(
        self, live: LiveConfig, load: Load | None, adopt: Callable[[Change], None], notifier: Notifier
    ) -> None:
        self._live, self._load, self._adopt, self._notifier = live, load, adopt, notifier
        self._is_wanted = False
        self.problem = ""

    def listen(self) -> None:
        """Takes SIGHUP for the wish to reload; on a terminal it goes on to mean that the terminal was closed."""
        if not (sys.stdin is not None and sys.stdin.isatty()):
            signal.signal(signal.SIGHUP, lambda *_: self.ask())

    def ask(self) -> None:
        """Has the next `step` reload; safe in a signal's handler."""
        self._is_wanted = True

    def step(self) -> None:
        """Reloads if that was asked for; what is wrong is logged and told by `problem`."""
        if self._is_wanted:
            self._is_wanted = False
            try:
                self.reload()
            except RagdError as error:
                _LOG.error("reload_refused", reason=error, hint=error.hint)

    def reload(self) -> dict[str, Any]:
        """The keys that changed, and those that wait for a restart. Raises ConfigInvalid, DiskFull, BadRequest."""
        if self._load is None:
            raise BadRequest("this daemon cannot read its configuration again", hint="restart it")
        self._notifier.reloading()
        try:
            found = change(self._live.now, self._load())
            self._adopt(found)
        except RagdError as error:
            self.problem = f"the configuration was not reloaded, the one before goes on: {error} ({error.hint})"
            raise
        finally:
            self._notifier.ready()
        self.problem = ""
        _LOG.info("reloaded", changed=",".join(found.changed), needs_restart=",".join(found.needs_restart))
        return {"changed": list(found.changed), "needs_restart": list(found.needs_restart)}
