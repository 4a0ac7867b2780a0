"""Opens catalog.db: one writing connection, one transaction at a time, SQLite's errors in ragd's words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ragd.catalog.migrate import migrate, require_current
from ragd.domain.errors import DiskFull, RagdError, StateCorrupt

CATALOG = "catalog.db"


class Store:
    """The writing connection to one state folder's catalog; only the daemon's main thread holds one.

    WAL mode with `synchronous=NORMAL`: a kill loses nothing, a power cut may lose the last
    transactions but never tears one, and the scan at start finds what they were about.
    """

    def __init__(self, state: Path) -> None:
        self.path = state / CATALOG
        with _translated(self.path):
            self.connection = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, cached_statements=512
            )
            migrate(self.connection, str(self.path))
            self.connection.execute("PRAGMA journal_mode = WAL")
            self.connection.execute("PRAGMA synchronous = NORMAL")
            self.connection.execute("PRAGMA busy_timeout = 10000")
            self.connection.execute("PRAGMA temp_store = MEMORY")
            self.connection.execute("PRAGMA cache_size = -16384")
            self.connection.execute("PRAGMA journal_size_limit = 67108864")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; nested use joins the outer one. Raises DiskFull, StateCorrupt."""
        with _translated(self.path):
            if self.connection.in_transaction:
                yield self.connection
                return
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
            except BaseException:
                self._roll_back()
                raise
            self.connection.execute("COMMIT")

    def _roll_back(self) -> None:
        # A full disk makes SQLite roll back by itself.
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def close(self) -> None:
        """Closes the connection; the write-ahead log is folded into the catalog."""
        self.connection.close()


def open_readonly(state: Path) -> sqlite3.Connection:
    """A connection that cannot write, for one thread. Raises StateCorrupt, StateNewer or -Older, FileNotFoundError."""
    path = state / CATALOG
    if not path.exists():
        raise FileNotFoundError(path)
    with _translated(path):
        # A read-only connection still needs the shared memory file beside the log, hence query_only, not mode=ro.
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
        require_current(connection, str(path))
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA busy_timeout = 10000")
        connection.execute("PRAGMA cache_size = -4096")
        connection.execute("PRAGMA temp_store = MEMORY")
    return connection


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _in_our_words(error, path) from error


def _in_our_words(error: sqlite3.DatabaseError, path: Path) -> RagdError | sqlite3.DatabaseError:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_SHMSIZE")):
        return DiskFull(
            f"the disk of {path} is full; nothing was lost",
            hint="make room; ragd goes on by itself",
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StateCorrupt(
            f"{path} is damaged ({error})",
            hint="move the state folder away and start again: ragd rebuilds it from your documents",
        )
    if name.startswith("SQLITE_CANTOPEN"):
        return StateCorrupt(f"{path} cannot be opened", hint="check that the folder exists and may be written")
    return error
