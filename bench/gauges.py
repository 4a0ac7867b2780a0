"""What a daemon takes up, sampled from outside: memory, handles and threads of its processes, its folder, its Redis."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil

from bench.daemon import Running
from bench.slopes import Point

MIB = 1024 * 1024
_PARTS = ("generations", "runs", "broker", "models", "observed", "hosts")
_NO_ROWS = "_config", "_data", "_idx", "_content"


class Gauges:
    """The points of every quantity, by name; `sample` adds one of each. `work` gives the edits done so far."""

    def __init__(self, state: Path, work: Callable[[], int]) -> None:
        self.points: dict[str, list[Point]] = {}
        self._state, self._work = state, work
        self._lock = threading.Lock()
        self._born: dict[object, float] = {}

    def sample(self, daemon: Running, status: dict[str, Any]) -> None:
        """One point of every quantity. A process that ends meanwhile has none."""
        work, now = self._work() / 1000, time.monotonic()
        found = [*self._processes(daemon), *self._folder(), *self._rows(), *_told(daemon, status)]
        with self._lock:
            for name, life, value in found:
                age_s = now - self._born.setdefault((name, life), now)
                self.points.setdefault(name, []).append(Point(life, age_s, work, float(value)))

    def write(self, path: Path) -> None:
        """Every point as a line of JSON: quantity, life, age in it, thousands of edits, value."""
        with self._lock, path.open("w", encoding="utf-8") as file:
            for name, points in self.points.items():
                for point in points:
                    row = [name, str(point.life), round(point.age_s, 1), point.work, point.value]
                    file.write(json.dumps(row) + "\n")

    def _processes(self, daemon: Running) -> Iterator[tuple[str, object, float]]:
        children = daemon.children()
        everyone = {"daemon": [psutil.Process(daemon.process.pid)], **children}
        for what, processes in everyone.items():
            for process in processes:
                with suppress(psutil.Error):
                    with process.oneshot():
                        memory, handles, threads = process.memory_info().rss, process.num_fds(), process.num_threads()
                    # The reading child is started anew every 5,000 files, for what it remembers of words: one place,
                    # whoever fills it.
                    life = "" if what == "sandbox" else process.pid
                    yield f"{what}_memory_mib", life, memory / MIB
                    yield f"{what}_handles", life, handles
                    yield f"{what}_threads", life, threads
        yield "children", daemon.process.pid, sum(map(len, children.values()))

    def _folder(self) -> Iterator[tuple[str, object, float]]:
        """The state folder's parts in MiB, and how many files it has."""
        sizes = dict.fromkeys(("catalog", "wal", *_PARTS, "rest"), 0)
        files = 0
        for folder, _, names in os.walk(self._state):
            for name in names:
                with suppress(OSError):
                    sizes[self._part(Path(folder, name))] += os.lstat(os.path.join(folder, name)).st_size
                    files += 1
        for part, size in sizes.items():
            yield f"state_{part}_mib", "", size / MIB
        yield "state_mib", "", sum(sizes.values()) / MIB
        yield "state_files", "", files

    def _part(self, path: Path) -> str:
        first = path.relative_to(self._state).parts[0]
        if first.startswith("catalog.db"):
            return "wal" if first.endswith("-wal") else "catalog"
        return first if first in _PARTS else "rest"

    def _rows(self) -> Iterator[tuple[str, object, float]]:
        with closing(sqlite3.connect(f"file:{self._state / 'catalog.db'}?mode=ro", uri=True)) as catalog:
            tables = [row[0] for row in catalog.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            for table in tables:
                if table != "words" and not table.endswith(_NO_ROWS) and not table.startswith("sqlite_"):
                    yield f"rows_{table}", "", catalog.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
            yield "catalog_free_pages", "", catalog.execute("PRAGMA freelist_count").fetchone()[0]


def _told(daemon: Running, status: dict[str, Any]) -> Iterator[tuple[str, object, float]]:
    redis, documents = status["redis"], status["documents"]
    if "keys" in redis:
        life = [process.pid for process in daemon.children()["redis"]]
        yield "redis_keys", tuple(life), redis["keys"]
        yield "redis_used_mib", tuple(life), redis["memory_bytes"] / MIB
    yield "documents", "", sum(documents[each] for each in ("searchable", "text", "pending", "failed"))
    yield "documents_waiting", "", documents["pending"] + documents["text"]
