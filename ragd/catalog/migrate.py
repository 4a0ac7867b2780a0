"""Brings a catalog to the current format, one numbered step at a time, and refuses a newer one."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from importlib.resources import files
from types import MappingProxyType

from ragd.catalog.connection import Connection, translated
from ragd.catalog.digests import recount
from ragd.domain.errors import StateNewer, StateOlder

FORMAT = 3
"""The state folder's format number, kept in SQLite's user_version."""

_CREATED = re.compile(r"\s*CREATE (?:TABLE|INDEX|VIRTUAL TABLE) (\w+)")
_SINCE_2 = (
    *("found", "models", "champions", "promotions", "runs", "runs_requested", "runs_open", "spend", "spend_at"),
    *("decisions", "decisions_trainer", "windows", "queries", "queries_at", "feedback"),
)


def migrate(connection: Connection) -> None:
    """Creates or upgrades the schema in one transaction. Raises StateNewer, and as the connection does."""
    found = format_of(connection)
    if found == FORMAT:
        return
    with translated(connection.path), connection:
        connection.execute("BEGIN IMMEDIATE")
        if found == 0:
            for statement in _schema():
                connection.execute(statement)
        else:
            for step in range(found, FORMAT):
                _STEPS[step](connection)
        connection.execute(f"PRAGMA user_version = {FORMAT}")


def format_of(connection: Connection) -> int:
    """The format number of an open catalog, 0 when it is new. Raises StateNewer, and as the connection does."""
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found > FORMAT:
        raise StateNewer(
            f"{connection.path} has format {found}, this ragd reads up to {FORMAT}",
            hint="upgrade ragd, or give it another --state folder",
        )
    return found


def require_current(connection: Connection) -> None:
    """Only a catalog in the current format can be read without being changed. Raises StateOlder and as `format_of`."""
    found = format_of(connection)
    if found < FORMAT:
        raise StateOlder(
            f"{connection.path} has format {found}, this ragd reads format {FORMAT}",
            hint="start the daemon once: `ragd run` upgrades it",
        )


def _learns(connection: Connection) -> None:
    """Format 1 to 2: generations live side by side, and models are trained."""
    connection.execute("ALTER TABLE generations ADD COLUMN state TEXT NOT NULL DEFAULT 'live'")
    connection.execute("ALTER TABLE generations ADD COLUMN spec TEXT NOT NULL DEFAULT ''")
    connection.execute("UPDATE generations SET state = 'retired' WHERE NOT serving")
    connection.execute("ALTER TABLE to_embed ADD COLUMN weight INTEGER NOT NULL DEFAULT 0")
    connection.execute("DROP INDEX to_embed_order")
    for statement in _schema():
        created = _CREATED.match(statement)
        if created and created[1] in (*_SINCE_2, "to_embed_order"):
            connection.execute(statement)


def _proves(connection: Connection) -> None:
    """Format 2 to 3: every live generation has a digest."""
    for (generation,) in connection.execute("SELECT id FROM generations WHERE state = 'live'").fetchall():
        recount(connection, generation)


_STEPS: MappingProxyType[int, Callable[[Connection], None]] = MappingProxyType({1: _learns, 2: _proves})
"""Format n -> what turns format n into n + 1."""


def _schema() -> list[str]:
    statements: list[str] = []
    pending = ""
    for line in (files("ragd.catalog") / "schema.sql").read_text("utf-8").splitlines():
        pending += line.split("--", 1)[0] + "\n"
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements
