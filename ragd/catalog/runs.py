"""Runs: each training from its request to its end, in states that follow one another in one way only."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from ragd.catalog.json_columns import dumped, with_parsed
from ragd.catalog.store import Store
from ragd.domain.deciding import Cost, Reason, RunState
from ragd.domain.errors import BadRequest, NotFound
from ragd.domain.learning import Role
from ragd.domain.training import RunOutcome

NEXT = MappingProxyType(
    {
        RunState.WAITING: frozenset({RunState.QUEUED, RunState.FAILED, RunState.STOPPED}),
        RunState.QUEUED: frozenset({RunState.WAITING, RunState.RUNNING, RunState.FAILED, RunState.STOPPED}),
        # A worker that died gives its run back to the queue.
        RunState.RUNNING: frozenset({RunState.QUEUED, RunState.EVALUATING, RunState.FAILED, RunState.STOPPED}),
        RunState.EVALUATING: frozenset({RunState.DONE, RunState.FAILED, RunState.STOPPED}),
        RunState.DONE: frozenset(),
        # A run that is resumed goes on where it ended.
        RunState.FAILED: frozenset({RunState.WAITING, RunState.QUEUED, RunState.EVALUATING}),
        RunState.STOPPED: frozenset({RunState.WAITING, RunState.QUEUED, RunState.EVALUATING}),
    }
)
"""Which states may follow each state."""

OPEN = (RunState.WAITING, RunState.QUEUED, RunState.RUNNING, RunState.EVALUATING)
_IS_OPEN = f"state IN ({','.join(repr(str(state)) for state in OPEN)})"
_PARSED = ("reasons", "settings", "data_report", "metrics")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


class Runs:
    """Writes the runs table of one store; only the daemon's main thread does."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def begin(
        self,
        trainer: str,
        role: Role,
        *,
        cause: str,
        seed: int,
        reasons: Iterable[Reason] = (),
        settings: Mapping[str, Any] | None = None,
        changes: int = 0,
        wait_until: float | None = None,
    ) -> str:
        """A new run in state `waiting`; returns its id, which is also the name of its folder and sorts by time."""
        now = self._clock()
        told = [{"condition": r.condition, "holds": r.holds, "text": r.text} for r in reasons]
        with self._store.transaction() as db:
            run_id = _new_id(db, trainer, now)
            db.execute(
                "INSERT INTO runs (id, trainer, role, state, cause, reasons, seed, settings, changes, requested_at,"
                " wait_until) VALUES (?, ?, ?, 'waiting', ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(run_id, trainer, str(role), cause, dumped(told), seed, dumped(settings or {}), changes, now),
                    wait_until,
                ),
            )
        return run_id

    def move(
        self,
        run_id: str,
        state: RunState,
        *,
        reason: str = "",
        hint: str = "",
        wait_until: float | None = None,
        worker: str = "",
    ) -> None:
        """Takes a run to another state, with why and what to do where it ended or waits.

        Running counts as an attempt by `worker`. Raises NotFound, and BadRequest when the state cannot follow.
        """
        now = self._clock()
        with self._store.transaction() as db:
            found = db.execute("SELECT state FROM runs WHERE id = ?", (run_id,)).fetchone()
            if found is None:
                raise _unknown(run_id)
            if state not in NEXT[RunState(found[0])]:
                raise BadRequest(
                    f"the run {run_id} is {found[0]}, so it cannot become {state}",
                    hint="`ragd runs show` tells where it stands",
                )
            db.execute(
                "UPDATE runs SET state = ?, reason = ?, hint = ?, wait_until = ?, ended_at = ?,"
                " worker = CASE WHEN ? <> '' THEN ? ELSE worker END WHERE id = ?",
                (str(state), reason, hint, wait_until, None if state in OPEN else now, worker, worker, run_id),
            )
            if state is RunState.RUNNING:
                db.execute(
                    "UPDATE runs SET started_at = coalesce(started_at, ?), attempts = attempts + 1 WHERE id = ?",
                    (now, run_id),
                )

    def waits(self, run_id: str, reason: str, until: float | None) -> None:
        """Why a waiting run does not begin yet, and until when (Unix seconds) where that is known."""
        self._update(run_id, reason=reason, wait_until=until)

    def prepared(self, run_id: str, *, examples: int, sha256: str, report: Mapping[str, Any], changes: int) -> None:
        """The run's data is frozen: its examples, its hash, what was dropped, the change sequence it stands for."""
        self._update(run_id, examples=examples, data_sha256=sha256, data_report=dumped(report), changes=changes)

    def reserve(self, run_id: str, cost: Cost) -> None:
        """Holds this much of the budget until the run ends."""
        self._update(run_id, reserved_cpu_s=cost.cpu_s, reserved_gpu_s=cost.gpu_s)

    def saw(self, run_id: str, *, changes: int, available: int) -> None:
        """What there is as the run begins, perhaps long after it was asked for: changes so far, and examples."""
        with self._store.transaction() as db:
            self._update(run_id, changes=changes)
            db.execute(
                "UPDATE runs SET settings = json_set(settings, '$.available', ?) WHERE id = ?", (available, run_id)
            )

    def progress(self, run_id: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        """The newest step that the trainer reported."""
        self._update(run_id, done=done, total=total, metrics=dumped(metrics))

    def outcome(self, run_id: str, outcome: RunOutcome) -> None:
        """What the training's process said at its end; the state and the cost are told apart from it."""
        with self._store.transaction() as db:
            self._update(run_id, peak_memory_mb=outcome.peak_memory_mb)
            if outcome.examples:
                self._update(run_id, examples=outcome.examples)
            if outcome.loss is not None:
                db.execute(
                    "UPDATE runs SET metrics = json_set(metrics, '$.loss', ?) WHERE id = ?", (outcome.loss, run_id)
                )

    def judged(self, run_id: str, verdict: str, model_id: int | None) -> None:
        """What the gate said of the run's model; "" where nothing could be measured."""
        self._update(run_id, verdict=verdict, model_id=model_id)

    def requeue(self) -> list[str]:
        """After a restart: runs whose worker ended with the daemon wait for one again; returns their ids."""
        with self._store.transaction() as db:
            rows = db.execute("UPDATE runs SET state = 'queued', worker = '' WHERE state = 'running' RETURNING id")
            return sorted(row[0] for row in rows)

    def trim(self, keep: int) -> list[str]:
        """Forgets ended runs but the newest `keep`; returns their ids, whose folders may go.

        Runs stay while their model may still serve.
        """
        with self._store.transaction() as db:
            rows = db.execute(
                f"DELETE FROM runs WHERE NOT {_IS_OPEN} AND id NOT IN (SELECT id FROM runs WHERE NOT {_IS_OPEN}"
                " ORDER BY requested_at DESC, id DESC LIMIT ?) AND NOT EXISTS (SELECT 1 FROM models m"
                " WHERE m.run_id = runs.id AND m.status IN ('candidate', 'champion', 'retired')) RETURNING id",
                (keep,),
            )
            return sorted(row[0] for row in rows)

    def _update(self, run_id: str, **columns: object) -> None:
        assignments = ", ".join(f"{name} = ?" for name in columns)
        with self._store.transaction() as db:
            changed = db.execute(f"UPDATE runs SET {assignments} WHERE id = ?", (*columns.values(), run_id)).rowcount
            if not changed:
                raise _unknown(run_id)


class RunRows:
    """Reads runs as dictionaries, JSON columns parsed; `connect` gives the calling thread's connection."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect

    def named(self, name: str) -> dict[str, Any]:
        """The run of this id, or the only one whose id begins like that. Raises NotFound, BadRequest."""
        found = self._rows("WHERE id = ?", name) or self._rows(
            "WHERE substr(id, 1, ?) = ? ORDER BY id LIMIT 3", len(name), name
        )
        if not name or not found:
            raise _unknown(name)
        if len(found) > 1:
            raise BadRequest(
                f"several runs begin with {name}: {found[0]['id']}, {found[1]['id']}", hint="give more of the id"
            )
        return found[0]

    def newest(self, *, limit: int = 50, trainer: str | None = None) -> list[dict[str, Any]]:
        """Runs, newest first."""
        if trainer is None:
            return self._rows("ORDER BY requested_at DESC, id DESC LIMIT ?", limit)
        return self._rows("WHERE trainer = ? ORDER BY requested_at DESC, id DESC LIMIT ?", trainer, limit)

    def open(self) -> list[dict[str, Any]]:
        """Runs that have not ended, oldest first."""
        return self._rows(f"WHERE {_IS_OPEN} ORDER BY requested_at, id")

    def ended(self, *, but: int) -> list[tuple[str, RunState]]:
        """Runs that have ended, by id with how, newest first, without the newest so many."""
        rows = self._connect().execute(
            f"SELECT id, state FROM runs WHERE NOT {_IS_OPEN} ORDER BY requested_at DESC, id DESC LIMIT -1 OFFSET ?",
            (but,),
        )
        return [(row[0], RunState(row[1])) for row in rows]

    def last(self, trainer: str) -> dict[str, Any] | None:
        """The trainer's newest run, in whatever state; None when there was none."""
        return next(iter(self.newest(limit=1, trainer=trainer)), None)

    def last_prepared(self, trainer: str) -> dict[str, Any] | None:
        """The trainer's newest run that had its data: what came since is counted from its `changes`.

        Runs on a file that a person named are left out: what is configured is as new as it was.
        """
        rows = self._rows(
            "WHERE trainer = ? AND data_sha256 <> '' AND json_extract(settings, '$.on') IS NULL"
            " ORDER BY requested_at DESC, id DESC LIMIT 1",
            trainer,
        )
        return next(iter(rows), None)

    def unpromoted(self) -> list[int]:
        """Models that passed the gate and never served, the newest of each role, unless the role changed since."""
        rows = self._connect().execute(
            "SELECT max(m.id) FROM runs r JOIN models m ON m.id = r.model_id LEFT JOIN champions c ON c.role = m.role"
            " WHERE r.state = 'done' AND r.verdict = 'passed' AND m.status = 'candidate'"
            " AND m.created_at > coalesce(c.since, 0) GROUP BY m.role ORDER BY 1"
        )
        return [row[0] for row in rows]

    def on_like_data(self, trainer: str, sha256: str) -> list[dict[str, Any]]:
        """The trainer's ended runs on this very data, newest first."""
        return self._rows(
            f"WHERE trainer = ? AND data_sha256 = ? AND NOT {_IS_OPEN} ORDER BY requested_at DESC, id DESC",
            *(trainer, sha256),
        )

    def failures_in_a_row(self, trainer: str) -> int:
        """How many of the trainer's newest ended runs failed, one after the other."""
        states = self._connect().execute(
            f"SELECT state FROM runs WHERE trainer = ? AND NOT {_IS_OPEN} ORDER BY requested_at DESC, id DESC",
            (trainer,),
        )
        count = 0
        for (state,) in states:
            if state != RunState.FAILED:
                break
            count += 1
        return count

    def reserved(self) -> Cost:
        """What open runs hold of the budget beyond what they have spent already."""
        row = (
            self._connect()
            .execute(
                "SELECT sum(max(0, reserved_cpu_s - cpu_s)), sum(max(0, reserved_gpu_s - gpu_s)) FROM runs"
                f" WHERE {_IS_OPEN}"
            )
            .fetchone()
        )
        return Cost(row[0] or 0.0, row[1] or 0.0)

    def _rows(self, condition: str, *values: object) -> list[dict[str, Any]]:
        cursor = self._connect().execute(f"SELECT * FROM runs {condition}", values)
        names = [column[0] for column in cursor.description]
        return [with_parsed(dict(zip(names, row, strict=True)), _PARSED) for row in cursor]


def _new_id(db: sqlite3.Connection, trainer: str, now: float) -> str:
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d-%H%M%S")
    base = f"{stamp}-{_NOT_IN_A_NAME.sub('_', trainer)[:80]}"
    run_id, number = base, 1
    while db.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone():
        number += 1
        run_id = f"{base}-{number}"
    return run_id


def _unknown(name: str) -> NotFound:
    return NotFound(f"there is no run {name}", hint="`ragd runs list` lists them")
