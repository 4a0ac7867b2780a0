"""What is counted while the daemon runs: freshness, encoding and searches, as Prometheus counts and for the status."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from ragd.daemon.metric_names import METRICS
from ragd.domain.landing import Landing, Waited

RECENT_S: Final = 300.0
"""The last minutes, as far as the status tells of them."""
_MOST_RECENT: Final = 4096
_FRESHNESS_S = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 900, 3600, 14400)
_SEARCH_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Recent:
    """The values of the last minutes, at most some thousands of them; from any thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._values: deque[tuple[float, float]] = deque(maxlen=_MOST_RECENT)
        self._lock = threading.Lock()
        self._begun = clock()

    def add(self, value: float) -> None:
        """Notes a value now."""
        with self._lock:
            self._values.append((self._clock(), value))

    def told(self) -> tuple[list[float], float]:
        """The values, sorted, and over how many seconds they came."""
        with self._lock:
            now = self._clock()
            while self._values and now - self._values[0][0] > RECENT_S:
                self._values.popleft()
            is_full = len(self._values) == _MOST_RECENT
            begun = self._values[0][0] if is_full else max(self._begun, now - RECENT_S)
            return sorted(value for _, value in self._values), max(1.0, now - begun)


class Meters:
    """Counters and histograms of one daemon, in a registry of its own."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        self._freshness = _histogram("ragd_freshness_seconds", registry, _FRESHNESS_S)
        self._search = _histogram("ragd_search_seconds", registry, _SEARCH_S)
        self._failures = _counter("ragd_search_failures_total", registry)
        self._edited = _counter("ragd_edited_chars_total", registry)
        self._chars = _counter("ragd_encoded_chars_total", registry)
        self._chunks = _counter("ragd_encoded_chunks_total", registry)
        self._encode = _counter("ragd_encode_seconds_total", registry)
        self._recent = {name: Recent(clock) for name in ("words", "meaning", "search", "chunks")}
        for step in ("words", "meaning"):
            for lane in ("fresh", "bulk"):
                self._freshness.labels(step, lane)
        for why in ("change", "fill"):
            for counter in (self._chars, self._chunks, self._encode):
                counter.labels(why)

    def landed(self, landing: Landing) -> None:
        """A commit made changes searchable; called by the main thread."""
        for step, waited in (("words", landing.by_words), ("meaning", landing.by_meaning)):
            for each in waited:
                self._waited(step, each)
        self._edited.inc(landing.edited_chars)
        if landing.chunks:
            why = "fill" if landing.is_fill else "change"
            self._chars.labels(why).inc(landing.encoded_chars)
            self._chunks.labels(why).inc(landing.chunks)
            self._encode.labels(why).inc(landing.encode_s)
            self._recent["chunks"].add(landing.chunks)

    def searched(self, mode: str, seconds: float) -> None:
        """A search was answered."""
        self._search.labels(mode).observe(seconds)
        self._recent["search"].add(seconds)

    def search_failed(self, code: str) -> None:
        """A search ended with this error."""
        self._failures.labels(code).inc()

    def recent(self) -> dict[str, Any]:
        """The last minutes for the status: `freshness` of fresh changes by step, and `rates` of encoding and searching.

        Percentiles are None where nothing happened.
        """
        searches, search_s = self._recent["search"].told()
        chunks, chunk_s = self._recent["chunks"].told()
        return {
            "freshness": {
                step: {"count": len(waited), "p50_s": percentile(waited, 0.5), "p95_s": percentile(waited, 0.95)}
                for step in ("words", "meaning")
                for waited, _ in (self._recent[step].told(),)
            },
            "rates": {
                "window_s": RECENT_S,
                "encoded_chunks_per_s": sum(chunks) / chunk_s,
                "searches_per_s": len(searches) / search_s,
                "search_p50_s": percentile(searches, 0.5),
                "search_p99_s": percentile(searches, 0.99),
            },
        }

    def _waited(self, step: str, waited: Waited) -> None:
        self._freshness.labels(step, "fresh" if waited.is_fresh else "bulk").observe(waited.seconds)
        if waited.is_fresh:
            self._recent[step].add(waited.seconds)


def percentile(ordered: list[float], share: float) -> float | None:
    """The value that this share of the sorted values does not exceed (nearest rank); None of no values."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, max(0, int(-(-len(ordered) * share // 1)) - 1))]


def _histogram(name: str, registry: CollectorRegistry, buckets: tuple[float, ...]) -> Histogram:
    metric = METRICS[name]
    return Histogram(name, metric.meaning, metric.labels, registry=registry, buckets=buckets)


def _counter(name: str, registry: CollectorRegistry) -> Counter:
    metric = METRICS[name]
    return Counter(name, metric.meaning, metric.labels, registry=registry)
