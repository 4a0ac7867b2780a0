"""What each generation's index must hold, as a digest that changes with the catalog in the same transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from ragd.domain.digest import Digest, digest_of
from ragd.domain.index import HalfVectors, Ids

_SLICE_ROWS = 4096
_SIGN = 1 << 63
_MODULUS = 1 << 64


def digest_in(connection: sqlite3.Connection, generation: int) -> Digest:
    """The digest of a generation's live rows as it was kept; of no rows where nothing ever was live."""
    rows = dict(
        connection.execute("SELECT name, value FROM facts WHERE name IN (?, ?)", (_rows(generation), _sum(generation)))
    )
    return Digest(rows.get(_rows(generation), 0), rows.get(_sum(generation), 0) % _MODULUS)


def change(connection: sqlite3.Connection, generation: int, enter: Digest, leave: Digest) -> None:
    """Brings rows into a generation's digest and takes others away, in the transaction under way."""
    if enter.rows or leave.rows:
        _keep(connection, generation, digest_in(connection, generation).plus(enter).minus(leave))


def recount(connection: sqlite3.Connection, generation: int) -> Digest:
    """Counts a generation's live rows anew from the vectors, keeps the digest and returns it."""
    counted = Digest()
    for ids, vectors in _live_rows(connection, generation):
        counted = counted.plus(digest_of(ids, vectors))
    _keep(connection, generation, counted)
    return counted


def forget(connection: sqlite3.Connection, generation: int) -> None:
    """A generation that gets no changes any more has no digest either."""
    connection.execute("DELETE FROM facts WHERE name IN (?, ?)", (_rows(generation), _sum(generation)))


def of_chunks(connection: sqlite3.Connection, generation: int, chunk_ids: Sequence[int]) -> tuple[list[int], Digest]:
    """Those of `chunk_ids` that have a vector in a generation, in the order given, and the digest of their rows."""
    ids: list[int] = []
    raw: list[bytes] = []
    for chunk_id in chunk_ids:
        row = connection.execute(
            "SELECT vector FROM vectors WHERE generation = ? AND chunk_id = ?", (generation, chunk_id)
        ).fetchone()
        if row is not None:
            ids.append(chunk_id)
            raw.append(row[0])
    return ids, digest_of(*as_rows(ids, raw))


def as_rows(ids: Sequence[int], raw: Sequence[bytes]) -> tuple[Ids, HalfVectors]:
    """Ids (n,) and stored vectors as arrays; vectors (n, dimension)."""
    vectors = np.frombuffer(b"".join(raw), dtype=np.float16)
    return np.asarray(ids, dtype=np.int64), vectors.reshape(len(ids), -1) if ids else vectors.reshape(0, 0)


def _live_rows(connection: sqlite3.Connection, generation: int) -> Iterator[tuple[Ids, HalfVectors]]:
    cursor = connection.execute(
        "SELECT v.chunk_id, v.vector FROM vectors v JOIN chunks c ON c.id = v.chunk_id"
        " WHERE v.generation = ? AND c.refs > 0 ORDER BY v.chunk_id",
        (generation,),
    )
    rows = iter(cursor)
    while part := list(islice(rows, _SLICE_ROWS)):
        yield as_rows([row[0] for row in part], [row[1] for row in part])


def _keep(connection: sqlite3.Connection, generation: int, digest: Digest) -> None:
    # SQLite's integers are signed; a sum made by SQLite itself would turn into a float when it overflows.
    signed = digest.value - _MODULUS if digest.value >= _SIGN else digest.value
    connection.executemany(
        "INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        [(_rows(generation), digest.rows), (_sum(generation), signed)],
    )


def _rows(generation: int) -> str:
    return f"digest_rows {generation}"


def _sum(generation: int) -> str:
    return f"digest_sum {generation}"
