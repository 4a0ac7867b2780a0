"""Connections to catalog.db whose every error is one of ragd's own, with the remedy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from ragd.domain.errors import DiskFull, RagdError, StateBusy, StateCorrupt, StateUnwritable

_NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_SHMSIZE")
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_SHORT_READ")


class Connection(sqlite3.Connection):
    """A connection that raises DiskFull, StateBusy, StateCorrupt or StateUnwritable instead of SQLite's errors.

    Errors in our own statements stay what they are: they are bugs.
    """

    path: Path

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Runs one statement."""
        return self._cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        """Runs one statement for every row of parameters."""
        return self._cursor().executemany(sql, parameters)

    def _cursor(self) -> _Cursor:
        made = super().cursor(_Cursor)
        made.path = self.path
        return made


class _Cursor(sqlite3.Cursor):
    path: Path

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        try:
            return super().execute(sql, parameters)
        except sqlite3.DatabaseError as error:
            raise in_our_words(error, self.path) from error

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Self:
        try:
            return super().executemany(sql, parameters)
        except sqlite3.DatabaseError as error:
            raise in_our_words(error, self.path) from error

    def fetchone(self) -> Any:
        try:
            return super().fetchone()
        except sqlite3.DatabaseError as error:
            raise in_our_words(error, self.path) from error

    def fetchall(self) -> list[Any]:
        try:
            return super().fetchall()
        except sqlite3.DatabaseError as error:
            raise in_our_words(error, self.path) from error

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override] # what it gives is iterated, never asked for more
        # A generator around the rows, not a method for each: an index of a million chunks is read this way.
        with translated(self.path):
            yield from iter(super().__next__, None)  # a row is never None


def connect(
    path: Path, *, cached_statements: int = 128, wait_s: float = 10.0, is_immutable: bool = False
) -> Connection:
    """A connection in autocommit mode, for any thread; created when it is missing. Raises as its statements do.

    `is_immutable` is for a file system that nobody can write: then nothing is made beside the catalog.
    """
    with translated(path):
        made = sqlite3.connect(
            f"file:{quote(bytes(path))}?immutable=1" if is_immutable else path,
            uri=is_immutable,
            timeout=wait_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=cached_statements,
            factory=Connection,
        )
    made.path = path
    return made


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turns SQLite's errors inside the block into ours."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise in_our_words(error, path) from error


def in_our_words(error: sqlite3.DatabaseError, path: Path) -> RagdError | sqlite3.DatabaseError:
    """The error of a catalog as one of ours; the same error where it is a bug."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(_NO_ROOM):
        return DiskFull(f"the disk of {path} is full; nothing was lost", hint="make room; ragd goes on by itself")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StateBusy(
            f"another process keeps {path} locked; nothing was lost",
            hint=f"end what writes there (`fuser {path}` names it); ragd goes on by itself",
        )
    if name.startswith(_DAMAGED):
        return damaged(path, str(error))
    if name.startswith("SQLITE_READONLY"):
        return unwritable(path, str(error))
    if name.startswith("SQLITE_CANTOPEN"):
        return unwritable(path, "it cannot be opened")
    if name.startswith("SQLITE_IOERR"):
        return StateCorrupt(f"{path} cannot be read or written ({error})", hint=f"check its disk; then {_remedy(path)}")
    return error


def damaged(path: Path, reason: str) -> StateCorrupt:
    """A catalog that is of no use any more, and the two ways on from there."""
    return StateCorrupt(f"{path} is damaged ({reason})", hint=_remedy(path))


def unwritable(path: Path, reason: str) -> StateUnwritable:
    """A catalog, or its folder, that this user may not write."""
    return StateUnwritable(
        f"{path} cannot be written ({reason})",
        hint=f"make {path.parent} writable for the user of ragd, or choose another folder with --state",
    )


def _remedy(path: Path) -> str:
    state = path.parent
    return (
        f"put a backup in its place with `ragd --state {state} restore FILE --force`; without one, "
        f"`mv {state} {state}.damaged` and start again: ragd reads your documents anew"
    )
