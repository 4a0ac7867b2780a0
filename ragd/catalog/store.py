"""Opens catalog.db: one writing connection and one transaction at a time, or for reading only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ragd.catalog.connection import Connection, connect, damaged
from ragd.catalog.migrate import migrate, require_current
from ragd.disk.atomic import sync_folder
from ragd.disk.faults import reach
from ragd.disk.mark import require_whole
from ragd.domain.errors import StateGone

CATALOG = "catalog.db"


class Store:
    """The writing connection to one state folder's catalog; only the daemon's main thread holds one.

    WAL mode with `synchronous=NORMAL`: a kill loses nothing, a power cut may lose the last
    transactions but never tears one, and the scan at start finds what they were about.
    """

    def __init__(self, state: Path) -> None:
        self.path = state / CATALOG
        require_whole(state)
        if not self.path.exists():
            _create(self.path)
        _refuse_emptied(self.path)
        self.connection = connect(self.path, cached_statements=512)
        migrate(self.connection)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = NORMAL")
        self.connection.execute("PRAGMA temp_store = MEMORY")
        self.connection.execute("PRAGMA cache_size = -16384")
        self.connection.execute("PRAGMA journal_size_limit = 67108864")
        self._inode = self.path.stat().st_ino

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All or nothing; nested use joins the outer one. Raises DiskFull, StateBusy, StateCorrupt, StateUnwritable."""
        if self.connection.in_transaction:
            yield self.connection
            return
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
            reach("catalog.before_commit")
            self.connection.execute("COMMIT")
            reach("catalog.after_commit")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        # A full disk makes SQLite roll back by itself.
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def check_place(self) -> None:
        """Raises StateGone when the catalog's file is not the one that was opened: writes would reach nobody."""
        try:
            is_same = self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            is_same = False
        if not is_same:
            raise StateGone(
                f"{self.path} was deleted or replaced while ragd ran",
                hint="put the state folder back, or restore a backup, and start again; without either a start "
                "reads your documents anew",
            )

    def close(self) -> None:
        """Closes the connection; the write-ahead log is folded into the catalog."""
        self.connection.close()


def open_readonly(state: Path) -> Connection:
    """A connection that cannot write, for one thread.

    Raises StateCorrupt, StateNewer or StateOlder, StateUnwritable, FileNotFoundError.
    """
    require_whole(state)
    path = state / CATALOG
    if not path.exists():
        raise FileNotFoundError(path)
    _refuse_emptied(path)
    # A read-only connection still needs the shared memory file beside the log, hence query_only, not mode=ro.
    log = path.with_name(f"{path.name}-wal")
    is_immutable = not os.access(state, os.W_OK) and not (log.exists() and log.stat().st_size)
    connection = connect(path, cached_statements=256, is_immutable=is_immutable)
    require_current(connection)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA cache_size = -4096")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _create(path: Path) -> None:
    """A new catalog gets its name when it has its tables: one of no bytes was something else before."""
    arriving = path.with_name(f".{path.name}.tmp")
    arriving.unlink(missing_ok=True)
    with closing(connect(arriving)) as connection:
        # Before there is any table: free pages can be given back to the disk, a few at a time.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        migrate(connection)
        connection.execute("PRAGMA journal_mode = WAL")
    os.replace(arriving, path)
    sync_folder(path.parent)


def _refuse_emptied(path: Path) -> None:
    """SQLite would take a catalog of no bytes for a new one, and forget without a word all that was in it."""
    if not path.stat().st_size:
        raise damaged(path, "it is empty, and was not")
