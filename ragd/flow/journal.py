"""What was asked lately: query vectors in memory for drift, and, where it was asked for, the journal in the catalog."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from ragd.catalog.journal import Journal, JournalEntry
from ragd.config.events import get_log
from ragd.domain.clock import is_due
from ragd.domain.index import HalfVectors, Vectors
from ragd.domain.search import Query

_LOG = get_log("ragd.flow")
QUERIES_REMEMBERED = 2000
_FLUSH_EVERY_S = 2.0
_DAY_S = 86400.0
_MOST_WAITING = 10_000
_MICROSECONDS = 1_000_000


class QueryJournal:
    """Takes answered queries from any thread; only the main thread flushes them into the catalog and judges them.

    Without `is_kept` nothing of a query outlives the process: its vector alone stays in memory, the last
    `remembered` of them. No text of a query is ever logged.
    """

    def __init__(
        self,
        table: Journal,
        *,
        is_kept: bool,
        keep_days: float = 90.0,
        keep_queries: int = 1_000_000,
        trim_every_s: float = 60.0,
        newest_id: int = 0,
        remembered: int = QUERIES_REMEMBERED,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self.keep(is_kept=is_kept, days=keep_days, most=keep_queries)
        self._trim_every_s = trim_every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._last_id = newest_id
        self._waiting: deque[JournalEntry] = deque()
        self._vectors: deque[tuple[str, HalfVectors]] = deque(maxlen=remembered)
        self._heard = 0
        self._dropped = 0
        self._flushed_at = 0.0
        self._trimmed_at = 0.0

    def keep(self, *, is_kept: bool, days: float, most: int) -> None:
        """Whether queries are kept from now on, for how long, and how many of them at most."""
        self._is_kept, self._keep_s, self._keep_queries = is_kept, days * _DAY_S, most

    def note(
        self, query: Query, hits: Sequence[tuple[int, int]], took_ms: float, vector: Vectors | None, space: str
    ) -> int | None:
        """Takes one answered query and gives it its id at once; None when no journal is kept. Any thread.

        `hits` are (chunk id, document id), best first; `vector` is the encoder's (dimension,), before any adapter,
        in the space with the fingerprint `space`. Ids rise, also over restarts: they are the microsecond of the answer.
        """
        now = self._clock()
        half = None if vector is None else np.asarray(vector, dtype=np.float16).reshape(-1)
        with self._lock:
            if half is not None:
                self._heard += 1
                self._vectors.append((space, half))
            if not self._is_kept:
                return None
            self._last_id = max(self._last_id + 1, int(now * _MICROSECONDS))
            entry = JournalEntry(self._last_id, now, query.text, query.mode.value, took_ms, tuple(hits), half, space)
            if len(self._waiting) >= _MOST_WAITING:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(entry)
            return entry.id

    def flush(self, *, at_once: bool = False) -> int:
        """Keeps what was noted, at most every two seconds unless `at_once`; returns how many queries. Main thread.

        Raises DiskFull; then what was noted stays in memory for the next time.
        """
        now = self._clock()
        if not at_once and not is_due(now, self._flushed_at, _FLUSH_EVERY_S):
            return 0
        self._flushed_at = now
        with self._lock:
            entries, dropped = list(self._waiting), self._dropped
            self._dropped = 0
        if dropped:
            _LOG.warning("journal_overflowed", queries=dropped)
        if entries:
            self._table.add(entries)
            with self._lock:
                kept = entries[-1].id
                while self._waiting and self._waiting[0].id <= kept:
                    self._waiting.popleft()
        if now - self._trimmed_at >= self._trim_every_s:
            self._trimmed_at = now
            forgotten = self._table.trim(now - self._keep_s, self._keep_queries)
            if forgotten:
                _LOG.info("journal_trimmed", queries=forgotten)
        return len(entries)

    def judge(self, query_id: int, chunk_id: int, *, is_good: bool) -> None:
        """Notes whether a hit answered a query. Main thread. Raises NotFound."""
        self.flush(at_once=True)
        self._table.judge(query_id, chunk_id, is_good=is_good, at=self._clock())

    def remember(self, vectors: HalfVectors, space: str) -> None:
        """Puts vectors of an earlier process (oldest first) in front of what is heard from now on."""
        with self._lock:
            self._vectors.extend((space, vector) for vector in vectors)

    def recent(self, space: str) -> tuple[int, HalfVectors]:
        """How many query vectors were heard since the start, and the last ones of a space, oldest first. Any thread.

        The vectors have the shape (n, dimension); those of another space mean nothing there and are left out.
        """
        with self._lock:
            heard, vectors = self._heard, [vector for of, vector in self._vectors if of == space]
        return heard, np.stack(vectors) if vectors else np.empty((0, 0), dtype=np.float16)
