"""Brings a catalog to the current format, one numbered step at a time, and refuses a newer one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from importlib.resources import files

from ragd.domain.errors import StateCorrupt, StateNewer

FORMAT = 2
"""The state folder's format number, kept in SQLite's user_version."""

_STEPS: dict[int, Callable[[sqlite3.Connection], None]] = {}
"""Format n -> what turns format n into n + 1."""


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Creates or upgrades the schema in one transaction. Raises StateNewer, StateCorrupt."""
    found = format_of(connection, path)
    if found == FORMAT:
        return
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if found == 0:
            for statement in _statements((files("ragd.catalog") / "schema.sql").read_text("utf-8")):
                connection.execute(statement)
        for step in range(max(found, 1), FORMAT):
            _STEPS[step](connection)
        connection.execute(f"PRAGMA user_version = {FORMAT}")


def format_of(connection: sqlite3.Connection, path: str) -> int:
    """The format number of an open catalog, 0 when it is new. Raises StateNewer, StateCorrupt."""
    try:
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError as error:
        raise StateCorrupt(
            f"{path} is not a readable catalog ({error})",
            hint="move the state folder away and start again: ragd rebuilds it from your documents",
        ) from error
    if found > FORMAT:
        raise StateNewer(
            f"{path} has format {found}, this ragd reads up to {FORMAT}",
            hint="upgrade ragd, or give it another --state folder",
        )
    return found


def _statements(script: str) -> list[str]:
    statements: list[str] = []
    pending = ""
    for line in script.splitlines():
        pending += line.split("--", 1)[0] + "\n"
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements
