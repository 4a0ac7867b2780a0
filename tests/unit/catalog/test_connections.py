"""One connection a thread, and none for threads that ended."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from ragd.catalog.connections import Connections
from ragd.catalog.store import Store


def handles() -> int:
    """Files of a catalog that this process has open."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += "catalog.db" in os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
    return found


def test_threads_that_come_and_go_leave_no_handle_behind(tmp_path: Path) -> None:
    Store(tmp_path).close()
    connections = Connections(tmp_path)
    seen: list[sqlite3.Connection] = []
    before = handles()
    for _ in range(20):
        thread = threading.Thread(target=lambda: seen.append(connections.mine))
        thread.start()
        thread.join()
    assert len(seen) == 20
    assert handles() - before <= 5  # of one, and what SQLite closes a little later
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        seen[0].execute("SELECT 1")
    assert connections.mine is connections.mine
    connections.close()
    assert handles() == before


def test_threads_that_live_keep_their_connection(tmp_path: Path) -> None:
    Store(tmp_path).close()
    connections = Connections(tmp_path)
    is_open, may_end = threading.Barrier(4), threading.Event()
    answers: list[int] = []

    def reads() -> None:
        connection = connections.mine
        is_open.wait(10)
        may_end.wait(10)
        answers.append(connections.mine is connection and connection.execute("SELECT 1").fetchone()[0])

    threads = [threading.Thread(target=reads) for _ in range(3)]
    for thread in threads:
        thread.start()
    is_open.wait(10)
    assert connections.mine.execute("SELECT 1").fetchone() == (1,)
    may_end.set()
    for thread in threads:
        thread.join()
    assert answers == [1, 1, 1]
    connections.close()
