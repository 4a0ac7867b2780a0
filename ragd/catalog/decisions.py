"""Decisions with what they were made on, and drift windows: what `explain` shows and `simulate` replays."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, Final

from ragd.catalog.json_columns import dumped
from ragd.catalog.store import Store
from ragd.domain.deciding import Decision, Observed, Window

_AT_LEAST_EVERY_S: Final = 3600.0
"""An answer that stays the same is kept this often, so that a replay sees how the figures went in between."""

_WINDOW_COLUMNS: Final = ("kind", "at", "size", "novelty", "histogram", "mmd_p", "is_drift", "cost_s")


class Decisions:
    """Writes the decisions and windows tables of one store; main thread only."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def record(self, decision: Decision, observed: Observed, run_id: str | None = None) -> bool:
        """Keeps a decision where its answer changed, a run began, or an hour went by; returns whether it was kept.

        The answer is whether it fires and which conditions hold; their figures change all the time.
        """
        with self._store.transaction() as db:
            last = db.execute(
                "SELECT at, fires, reasons FROM decisions WHERE trainer = ? ORDER BY at DESC, id DESC LIMIT 1",
                (decision.trainer,),
            ).fetchone()
            reasons = [asdict(reason) for reason in decision.reasons]
            if run_id is None and last is not None and decision.at - last[0] < _AT_LEAST_EVERY_S:
                same = bool(last[1]) == decision.fires and _answer(json.loads(last[2])) == _answer(reasons)
                if same:
                    return False
            db.execute(
                "INSERT INTO decisions (at, trainer, fires, reasons, observed, wait_until, run_id)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(decision.at, decision.trainer, decision.fires, dumped(reasons), dumped(asdict(observed))),
                    *(decision.wait_until, run_id),
                ),
            )
            return True

    def add_window(self, window: Window) -> None:
        """Keeps one look at what came in."""
        marks = ", ".join("?" * len(_WINDOW_COLUMNS))
        with self._store.transaction() as db:
            db.execute(
                f"INSERT INTO windows ({', '.join(_WINDOW_COLUMNS)}) VALUES ({marks})",
                [getattr(window, name) for name in _WINDOW_COLUMNS],
            )

    def trim(self, decisions: int, windows: int) -> None:
        """Keeps the newest so many decisions of each trainer, and windows of each kind."""
        with self._store.transaction() as db:
            for table, group, keep in (("decisions", "trainer", decisions), ("windows", "kind", windows)):
                db.execute(
                    f"DELETE FROM {table} WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER"
                    f" (PARTITION BY {group} ORDER BY at DESC, id DESC) AS place FROM {table}) WHERE place > ?)",
                    (keep,),
                )


class DecisionRows:
    """Reads decisions and windows; `connect` gives the calling thread's connection."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect

    def history(self, trainer: str | None = None, limit: int = 50, since: float = 0.0) -> list[dict[str, Any]]:
        """Decisions as dictionaries, newest first, with their `reasons` and what was `observed`."""
        where, values = ("", ()) if trainer is None else ("AND trainer = ? ", (trainer,))
        rows = self._connect().execute(
            "SELECT at, trainer, fires, reasons, observed, wait_until, run_id FROM decisions WHERE at >= ? "
            f"{where}ORDER BY at DESC, id DESC LIMIT ?",
            (since, *values, limit),
        )
        return [
            {
                "at": at,
                "trainer": name,
                "fires": bool(fires),
                "reasons": json.loads(reasons),
                "observed": json.loads(observed),
                "wait_until": wait_until,
                "run_id": run_id,
            }
            for at, name, fires, reasons, observed, wait_until, run_id in rows
        ]

    def windows(self, kind: str, limit: int = 50) -> tuple[Window, ...]:
        """The newest windows of a kind (`documents` or `queries`), newest first."""
        rows = self._connect().execute(
            f"SELECT {', '.join(_WINDOW_COLUMNS)} FROM windows WHERE kind = ? ORDER BY at DESC, id DESC LIMIT ?",
            (kind, limit),
        )
        return tuple(_window(dict(zip(_WINDOW_COLUMNS, row, strict=True))) for row in rows)


def observed_from(kept: Mapping[str, Any]) -> Observed:
    """What was observed, from a kept decision's `observed`; fields of another version of ragd are left out."""
    given = {name: value for name, value in kept.items() if name in {field.name for field in fields(Observed)}}
    for name in ("document_windows", "query_windows"):
        given[name] = tuple(Window(**window) for window in given.get(name, ()))
    return Observed(**given)


def _window(row: Mapping[str, Any]) -> Window:
    return Window(**{**row, "is_drift": bool(row["is_drift"])})


def _answer(reasons: list[dict[str, Any]]) -> list[tuple[str, bool]]:
    return [(reason["condition"], bool(reason["holds"])) for reason in reasons]
