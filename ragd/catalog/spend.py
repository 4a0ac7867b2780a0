"""Spending: what every piece of paid work took, so that budgets bind and accounts add up."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final, Literal

from ragd.catalog.store import Store
from ragd.domain.deciding import Cost

What = Literal["prepare", "train", "evaluate", "backfill", "observe"]
_TOGETHER_S: Final = 3600.0
"""Small charges that belong to no run share a row within an hour."""


class Spend:
    """Writes the spend table of one store, and with it what each run has cost; main thread only."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def charge(self, what: What, cost: Cost, *, run_id: str | None = None, generation: int | None = None) -> None:
        """Charges work that was just done; a charge of a run is part of the run's own figures from here on."""
        if cost.cpu_s <= 0 and cost.gpu_s <= 0:
            return
        now = self._clock()
        with self._store.transaction() as db:
            if run_id is not None:
                db.execute(
                    "UPDATE runs SET cpu_s = cpu_s + ?, gpu_s = gpu_s + ? WHERE id = ?",
                    (cost.cpu_s, cost.gpu_s, run_id),
                )
            elif db.execute(
                "UPDATE spend SET cpu_s = cpu_s + ?, gpu_s = gpu_s + ? WHERE id = (SELECT id FROM spend WHERE what = ?"
                " AND run_id IS NULL AND generation IS ? AND at > ? ORDER BY at DESC LIMIT 1)",
                (cost.cpu_s, cost.gpu_s, what, generation, now - _TOGETHER_S),
            ).rowcount:
                return
            db.execute(
                "INSERT INTO spend (at, what, run_id, generation, cpu_s, gpu_s) VALUES (?, ?, ?, ?, ?, ?)",
                (now, what, run_id, generation, cost.cpu_s, cost.gpu_s),
            )

    def fold(self, before: float) -> int:
        """Makes one sum for each kind of work of the charges from before a moment whose runs are forgotten; how many.

        What was spent in all stays true; when, and by which trainer, is forgotten.
        """
        old = "at < ? AND (run_id IS NULL OR run_id NOT IN (SELECT id FROM runs))"
        with self._store.transaction() as db:
            count = int(db.execute(f"SELECT count(*) FROM spend WHERE {old}", (before,)).fetchone()[0])
            sums = db.execute(
                f"SELECT min(at), what, sum(cpu_s), sum(gpu_s) FROM spend WHERE {old} GROUP BY what", (before,)
            ).fetchall()
            if count <= len(sums):
                return 0
            db.execute(f"DELETE FROM spend WHERE {old}", (before,))
            db.executemany("INSERT INTO spend (at, what, cpu_s, gpu_s) VALUES (?, ?, ?, ?)", sums)
            return count - len(sums)

    def settle(self, run_id: str, what: What, total: Cost) -> Cost:
        """Charges what a run took in all for this kind of work, less what was charged before; returns the difference.

        A run that is told twice, or resumed, is so charged once.
        """
        row = self._store.connection.execute(
            "SELECT coalesce(sum(cpu_s), 0), coalesce(sum(gpu_s), 0) FROM spend WHERE run_id = ? AND what = ?",
            (run_id, what),
        ).fetchone()
        rest = Cost(max(0.0, total.cpu_s - row[0]), max(0.0, total.gpu_s - row[1]))
        self.charge(what, rest, run_id=run_id)
        return rest


class SpendRows:
    """Reads what was spent; `connect` gives the calling thread's connection."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect

    def charges(self, since: float = 0.0) -> list[tuple[float, str, Cost]]:
        """(Unix seconds, what for, cost) of every charge after a moment, oldest first."""
        rows = self._connect().execute("SELECT at, what, cpu_s, gpu_s FROM spend WHERE at > ? ORDER BY at", (since,))
        return [(row[0], row[1], Cost(row[2], row[3])) for row in rows]

    def by_what(self, since: float = 0.0) -> dict[str, Cost]:
        """What each kind of work took after a moment."""
        rows = self._connect().execute(
            "SELECT what, sum(cpu_s), sum(gpu_s) FROM spend WHERE at > ? GROUP BY what ORDER BY what", (since,)
        )
        return {row[0]: Cost(row[1], row[2]) for row in rows}

    def total(self, *whats: What, since: float = 0.0) -> Cost:
        """The sum of these kinds of work after a moment; of all kinds when none is named."""
        costs = [cost for _, what, cost in self.charges(since) if not whats or what in whats]
        return Cost(sum(cost.cpu_s for cost in costs), sum(cost.gpu_s for cost in costs))

    def by_trainer(self, since: float = 0.0) -> list[dict[str, Any]]:
        """Each charge after a moment: `at`, `what`, `cost`, `run_id`, `generation`, and `trainer`, oldest first.

        The trainer is "" for work of no run, and of a run that was forgotten.
        """
        rows = self._connect().execute(
            "SELECT s.at, s.what, s.run_id, coalesce(r.trainer, ''), s.generation, s.cpu_s, s.gpu_s FROM spend s"
            " LEFT JOIN runs r ON r.id = s.run_id WHERE s.at > ? ORDER BY s.at, s.id",
            (since,),
        )
        return [
            {
                "at": at,
                "what": what,
                "cost": Cost(*cost),
                "run_id": run_id,
                "generation": generation,
                "trainer": trainer,
            }
            for at, what, run_id, trainer, generation, *cost in rows
        ]

    def past_costs(self, trainer: str, limit: int = 9) -> list[tuple[int, Cost]]:
        """(examples, cost with its evaluation) of the trainer's last runs that trained to the end, newest first."""
        rows = self._connect().execute(
            "SELECT examples, cpu_s, gpu_s FROM runs WHERE trainer = ? AND state = 'done' AND examples > 0"
            " AND cpu_s + gpu_s > 0 ORDER BY requested_at DESC, id DESC LIMIT ?",
            (trainer, limit),
        )
        return [(row[0], Cost(row[1], row[2])) for row in rows]

    def per_thousand(self, trainer: str) -> Cost | None:
        """Seconds per thousand examples, learned: the median over the trainer's last runs; None before the first."""
        past = self.past_costs(trainer)
        if not past:
            return None
        return Cost(
            median([cost.cpu_s / examples * 1000 for examples, cost in past]),
            median([cost.gpu_s / examples * 1000 for examples, cost in past]),
        )

    def of_runs(self) -> Cost:
        """What all runs that are known say that they cost."""
        row = self._connect().execute("SELECT coalesce(sum(cpu_s), 0), coalesce(sum(gpu_s), 0) FROM runs").fetchone()
        return Cost(row[0], row[1])

    def promoted(self) -> list[tuple[str, str, int, float]]:
        """(trainer, role, examples, seconds of CPU and GPU) of every model that won and went live, its run known."""
        rows = self._connect().execute(
            "SELECT r.trainer, m.role, r.examples, r.cpu_s + r.gpu_s FROM promotions p"
            " JOIN models m ON m.id = p.model_id JOIN runs r ON r.id = m.run_id"
            " WHERE p.action = 'promote' AND NOT p.forced GROUP BY m.id ORDER BY min(p.id)"
        )
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def embedding(self) -> dict[str, Any]:
        """The encoder's work by file and by chunk: the fields of `learn.savings.Embedded`.

        What changed is counted over the receipts that are kept and whose text still is.
        """
        connection = self._connect()
        facts = dict(connection.execute("SELECT name, value FROM facts"))
        changed = connection.execute(
            "SELECT count(*), coalesce(sum(k.size_chars), 0), coalesce(sum(min(p.new_chars, k.size_chars)), 0),"
            " coalesce(sum(p.new_chars = 0), 0) FROM receipts p JOIN contents k ON k.id = p.content_id"
        ).fetchone()
        live_chars = connection.execute("SELECT coalesce(sum(size_chars), 0) FROM contents WHERE refs > 0").fetchone()[
            0
        ]
        return {
            "encoded_chars": facts.get("encoded_chars", 0),
            "encode_s": facts.get("encode_s", 0.0),
            "changes": changed[0],
            "changed_chars": changed[1],
            "new_chars": changed[2],
            "reused": changed[3],
            "live_chars": live_chars,
            "live_chunks": facts.get("live_chunks", 0),
        }
