"""An older catalog becomes a current one with everything it held; nobody reads one that is not upgraded yet."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragd.catalog.digests import digest_in
from ragd.catalog.migrate import FORMAT
from ragd.catalog.store import CATALOG, Store, open_readonly
from ragd.domain.digest import Digest, digest_of
from ragd.domain.errors import StateOlder

OLD = (Path(__file__).parent / "format_1.sql").read_text("utf-8")
ROWS = (
    "INSERT INTO roots VALUES (1, 'docs', X'2F646F6373', NULL, NULL)",
    "INSERT INTO generations VALUES (1, 'old', 4, 'tiny', 16, 10.0, 0), (2, 'new', 4, 'tiny', 16, 20.0, 1)",
    "INSERT INTO contents VALUES (1, X'01', 'md', 'reader 1', 'Title', 30, 2, 1, 1, NULL)",
    "INSERT INTO documents (root_id, folder, name, kind, size_bytes, mtime_ns, ctime_ns, inode, content_id, state)"
    " VALUES (1, X'', X'61', 'md', 30, 1, 1, 1, 1, 'ready')",
    "INSERT INTO chunks VALUES (1, X'0A', '', 'one', 1, NULL), (2, X'0B', 'Head', 'two', 1, NULL)",
    "INSERT INTO content_chunks VALUES (1, 0, 1, 0, 3, NULL), (1, 1, 2, 3, 6, NULL)",
    "INSERT INTO words (rowid, context, body) VALUES (1, '', 'one'), (2, 'Head', 'two')",
    "INSERT INTO vectors VALUES (2, 1, X'0000000000000000')",
    "INSERT INTO to_embed VALUES (2, 2, 1)",
    "INSERT INTO changes (generation, chunk_id) VALUES (2, 1)",
    "INSERT INTO facts VALUES ('live_chunks', 2)",
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A state folder as ragd with format 1 left it, with a row in every table that matters."""
    connection = sqlite3.connect(tmp_path / CATALOG)
    connection.executescript(OLD)
    for statement in ROWS:
        connection.execute(statement)
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    return tmp_path


def shape(connection: sqlite3.Connection) -> dict[str, Any]:
    """Every table with its columns, every index with what it sorts by, as SQLite itself understands them."""
    found: dict[str, Any] = {}
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name"):
        if kind == "table":
            keys = connection.execute(f"PRAGMA foreign_key_list({name})").fetchall()
            found[name] = connection.execute(f"PRAGMA table_xinfo({name})").fetchall(), keys
        elif sql is None:
            found[name] = "made by SQLite"
        else:
            condition = re.sub(r"\s+", " ", sql.partition("WHERE")[2]).strip()
            found[name] = connection.execute(f"PRAGMA index_xinfo({name})").fetchall(), condition
    return found


def test_an_upgraded_catalog_has_the_shape_of_a_new_one(old: Path, tmp_path: Path) -> None:
    (tmp_path / "fresh").mkdir()
    upgraded, fresh = Store(old), Store(tmp_path / "fresh")
    assert upgraded.connection.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    assert shape(upgraded.connection) == shape(fresh.connection)
    assert {"runs", "models", "queries", "runs_open"} <= shape(fresh.connection).keys()
    upgraded.close()
    fresh.close()


def test_what_an_older_catalog_held_is_there_after_the_upgrade(old: Path) -> None:
    store = Store(old)
    db = store.connection
    assert db.execute("SELECT id, state, spec, serving FROM generations").fetchall() == [
        (1, "retired", "", 0),
        (2, "live", "", 1),
    ]
    assert db.execute("SELECT * FROM to_embed").fetchall() == [(2, 2, 1, 0)]
    assert db.execute("SELECT rowid FROM words WHERE words MATCH 'two'").fetchall() == [(2,)]
    counts = {
        table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("roots", "contents", "documents", "chunks", "content_chunks", "vectors", "changes", "facts")
    }
    assert counts == {
        "roots": 1,
        "contents": 1,
        "documents": 1,
        "chunks": 2,
        "content_chunks": 2,
        "vectors": 1,
        "changes": 1,
        "facts": 3,
    }
    one = (np.array([1]), np.zeros((1, 4), np.float16))
    assert digest_in(db, 2) == digest_of(*one), "only what is live and has a vector"
    assert digest_in(db, 1) == Digest(), "a retired generation has none"
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store.close()
    again = Store(old)
    assert again.connection.execute("SELECT count(*) FROM generations").fetchone() == (2,)
    again.close()


def test_an_upgrade_that_fails_leaves_the_old_catalog_as_it_was(old: Path) -> None:
    before = sqlite3.connect(old / CATALOG)
    before.execute("CREATE TABLE runs (id)")
    before.commit()
    told = shape(before)
    with pytest.raises(sqlite3.OperationalError, match="runs already exists"):
        Store(old)
    assert shape(before) == told
    assert before.execute("PRAGMA user_version").fetchone() == (1,)
    before.close()


def test_reading_an_older_catalog_asks_for_a_daemon_that_upgrades_it(old: Path) -> None:
    with pytest.raises(StateOlder, match="has format 1") as caught:
        open_readonly(old)
    assert "ragd run" in caught.value.hint
    Store(old).close()
    open_readonly(old).close()
