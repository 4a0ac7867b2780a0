"""Read-only connections to one catalog, one a thread."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from ragd.catalog.store import open_readonly


class Connections:
    """Hands every thread a connection of its own, opened on first use. Raises StateCorrupt, StateNewer."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._local = threading.local()
        self._guard = threading.Lock()
        self._open: list[sqlite3.Connection] = []

    @property
    def mine(self) -> sqlite3.Connection:
        """This thread's connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = open_readonly(self._state)
            self._local.connection = found
            with self._guard:
                self._open.append(found)
        return found

    def close(self) -> None:
        """Closes the connections of every thread; none may be in use."""
        with self._guard:
            for connection in self._open:
                connection.close()
            self._open.clear()
