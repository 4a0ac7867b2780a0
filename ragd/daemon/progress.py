"""Shows a person how indexing gets on: one line that is rewritten on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ragd.catalog.overview import Overview
from ragd.config.folders import default_state
from ragd.config.schema import Config
from ragd.domain.documents import display_path

_LINES_EVERY_S = 5.0
_RATE_WINDOW_S = 20.0
_RATE_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Count:
    """Where indexing stands: files seen, waiting and failed; chunks known and lacking a vector."""

    files: int
    waiting: int
    failed: int
    chunks: int
    lacking: int
    is_scanning: bool

    @property
    def is_done(self) -> bool:
        """True when everything that was seen is searchable by words and by meaning."""
        return not (self.waiting or self.lacking or self.is_scanning)


def counted(overview: Overview, is_scanning: bool) -> Count:
    """The count of a catalog as it is now."""
    files, waiting, failed = overview.file_counts()
    chunks = overview.chunk_counts()
    lacking = chunks["total"] - chunks["with_vectors"]
    return Count(files, waiting, failed, chunks["total"], lacking, is_scanning)


def line(count: Count, chunks_per_s: float) -> str:
    """One line: files, chunks, rate, time left."""
    done = count.chunks - count.lacking
    parts = [
        f"{'scanning, ' if count.is_scanning else ''}{count.files - count.waiting:,} of {count.files:,} files read",
        f"{done:,} of {count.chunks:,} chunks searchable by meaning",
    ]
    if chunks_per_s > 0 and count.lacking:
        parts.append(f"{chunks_per_s:.{0 if chunks_per_s >= 10 else 1}f} chunks/s")
        if not count.is_scanning:
            parts.append(f"{_duration(count.lacking / chunks_per_s)} left")
    return " · ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


class Progress:
    """Says once that everything is searchable; `step` is called a few times a second."""

    def __init__(
        self, ready: Callable[[Count], str], *, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ready = ready
        self._out = out or sys.stderr
        self._clock = clock
        self._history: list[tuple[float, int]] = []
        self._said_at = float("-inf")
        self._is_open = False
        self.is_ready = False

    def step(self, count: Count) -> None:
        """Shows where indexing stands; after it was ready once, only large backlogs are shown again."""
        if self.is_ready:
            return
        if count.is_done:
            self._close()
            self._say(self._ready(count))
            self.is_ready = True
            return
        now = self._clock()
        text = line(count, self._rate(now, count.chunks - count.lacking))
        if self._out.isatty():
            self._write(f"\r\x1b[K{text}")
            self._is_open = True
        elif now - self._said_at >= _LINES_EVERY_S:
            self._said_at = now
            self._say(text)

    def _rate(self, now: float, done: int) -> float:
        self._history = [(at, n) for at, n in self._history if now - at <= _RATE_WINDOW_S] + [(now, done)]
        while len(self._history) > 1 and self._history[1][1] == self._history[0][1]:
            del self._history[0]  # nothing was done yet: workers take a while to start
        (begun, before), (at, after) = self._history[0], self._history[-1]
        return (after - before) / (at - begun) if at - begun >= _RATE_AFTER_S else 0.0

    def _close(self) -> None:
        if self._is_open:
            self._write("\r\x1b[K")
            self._is_open = False

    def _say(self, text: str) -> None:
        self._write(text + "\n")

    def _write(self, text: str) -> None:
        with suppress(OSError):  # a full disk, a terminal or a reader that is gone: the work goes on
            self._out.write(text)
            self._out.flush()


def ready_line(count: Count, roots: Iterable[bytes], state_folder: Path) -> str:
    """What is said once everything is searchable."""
    failed = f", {count.failed:,} could not be read (see: ragd failed)" if count.failed else ""
    folders = ", ".join(display_path(path) for path in roots)
    state = "" if state_folder == default_state(os.environ) else f" --state {state_folder}"
    return (
        f"all searchable: {count.files - count.failed:,} files, {count.chunks:,} chunks in {folders}{failed}. "
        f'Search with: ragd{state} search "your words"'
    )


def log_level(config: Config, *, says: bool) -> str:
    """The level of the log; a person who watches the progress is told what is wrong, not every step."""
    return "warning" if says and sys.stderr.isatty() and config.log.level == "info" else config.log.level
