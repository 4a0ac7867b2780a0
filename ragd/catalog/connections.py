"""Read-only connections to one catalog, one a thread; those of threads that ended are closed."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from ragd.catalog.store import open_readonly


class Connections:
    """Hands every thread a connection of its own, opened on first use. Raises StateCorrupt, StateNewer.

    Threads of an HTTP server come and go: whoever opens a connection closes those whose threads have ended, so that
    there are never more than there were threads at once.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._local = threading.local()
        self._guard = threading.Lock()
        self._open: dict[threading.Thread, sqlite3.Connection] = {}

    @property
    def mine(self) -> sqlite3.Connection:
        """This thread's connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = open_readonly(self._state)
            self._local.connection = found
            with self._guard:
                self._close_orphans()
                self._open[threading.current_thread()] = found
        return found

    def close(self) -> None:
        """Closes the connections of every thread; none may be in use."""
        with self._guard:
            for connection in self._open.values():
                connection.close()
            self._open.clear()

    def _close_orphans(self) -> None:
        for thread in [thread for thread in self._open if not thread.is_alive()]:
            self._open.pop(thread).close()
