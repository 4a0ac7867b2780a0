"""Counting what was found."""

from __future__ import annotations

from pathlib import Path

from ragd.catalog.found import Found
from ragd.catalog.store import Store


def test_hits_add_up_fade_by_the_week_and_forget_chunks_that_are_gone(tmp_path: Path) -> None:
    now = [1000.0]
    store = Store(tmp_path)
    for key in (b"a", b"b"):
        store.connection.execute("INSERT INTO chunks (key, context, text) VALUES (?, '', '')", (key,))
    found = Found(store, lambda: now[0])

    def counts() -> dict[int, float]:
        return dict(store.connection.execute("SELECT chunk_id, hits FROM found").fetchall())

    found.add({1: 2, 99: 5})
    found.add({1: 1, 2: 1})
    assert counts() == {1: 3.0, 2: 1.0}
    now[0] += 7 * 86400
    found.add({})
    assert counts() == {1: 1.5, 2: 0.5}
    for _ in range(2):
        now[0] += 7 * 86400
        found.add({})
    assert counts() == {1: 0.375}
    store.close()
