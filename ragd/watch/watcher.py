"""Watches every root and tells what changed: the one loop between the file system and the catalog."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from ragd.domain.changes import Observation
from ragd.domain.errors import BadRequest, BrokerUnavailable
from ragd.watch.guard import RootGuard
from ragd.watch.inbox import Inbox, PathHint, ScanHint
from ragd.watch.notify import Notifier
from ragd.watch.progress import RootProgress, WatchSettings
from ragd.watch.rooted import RootWatch
from ragd.watch.roots import Hold, Mount, WatchedRoot, read_mounts
from ragd.watch.scan import KnownFiles
from ragd.watch.settle import Kind

BATCH = 256
_SLICE_S = 0.05
_RETRY_S = (0.5, 1.0, 2.0, 5.0)
_LONGEST_WAIT_S = 60.0

Emit = Callable[[int, Sequence[Observation]], None]


class Watcher:
    """Tells `emit(root_id, observations)` what is at each path that changed, at most 256 a call.

    `emit` may block, which slows the scans down, and may raise BrokerUnavailable: then what it was given is kept
    and told again later, in order, and nothing new is looked at meanwhile. An observation may be told twice.
    `step` is what a test drives; `run` is the loop of a thread. `rescan`, `confirm`, `recheck`, `progress` and `stop`
    may be called from any thread, everything else from the one that steps.
    """

    def __init__(
        self,
        roots: Sequence[WatchedRoot],
        settings: WatchSettings,
        known: KnownFiles,
        emit: Emit,
        clock: Callable[[], float] = time.time,
        mounts: Callable[[], tuple[Mount, ...]] = read_mounts,
    ) -> None:
        self._emit, self._clock = emit, clock
        self._inbox = Inbox()
        self._notifier = Notifier(self._inbox.put, clock)
        self._roots = {
            root.id: RootWatch(root, settings, known, RootGuard(root, self._notifier, mounts, settings.rescan_s), clock)
            for root in roots
        }
        self._outbox: deque[tuple[int, list[Observation]]] = deque()
        self._refusals = 0
        self._retry_at = 0.0
        self._last_now = 0.0
        self._stopping = threading.Event()

    def step(self, now: float) -> float:
        """Does what is due at `now` (Unix seconds) and returns when to step again; a hint may come earlier."""
        if now < self._last_now - 1.0:
            for root in self._roots.values():
                root.start_over()
            self._retry_at = now
        self._last_now = now
        if not self._told(now):
            return self._retry_at  # what is heard meanwhile stays in the inbox, which has a limit
        for hint in self._inbox.take():
            if hint.root_id in self._roots:
                self._roots[hint.root_id].hear(hint, now)
        for root_id, root in self._roots.items():
            found = root.step(now, _SLICE_S)
            for start in range(0, len(found), BATCH):
                self._outbox.append((root_id, found[start : start + BATCH]))
            if not self._told(now):
                return self._retry_at
        return min((root.next_due() for root in self._roots.values()), default=now + _LONGEST_WAIT_S)

    def run(self) -> None:
        """Steps until `stop`; blocks. What was not told yet is found again by the scan of the next start."""
        try:
            while not self._stopping.is_set():
                wait_s = min(self.step(self._clock()) - self._clock(), _LONGEST_WAIT_S)
                if wait_s > 0 and self._outbox:
                    self._stopping.wait(wait_s)  # for the broker: hints do not bring it back
                elif wait_s > 0:
                    self._inbox.wait(wait_s)
        finally:
            self.close()

    def stop(self) -> None:
        """Ends `run` after the step it is in."""
        self._stopping.set()
        self._inbox.wake()

    def close(self) -> None:
        """Stops listening; `run` does it by itself."""
        self._notifier.close()

    def rescan(self, folder: bytes | None = None) -> bool:
        """Asks for a scan of a root or a folder below one (absolute path), or of every root (None).

        False when no root holds the folder.
        """
        targets = [(root_id, b"") for root_id in self._roots] if folder is None else self._below(folder)
        for root_id, relative in targets:
            self._inbox.put(ScanHint(root_id, relative, "asked for", self._clock()))
        return bool(targets)

    def confirm(self, folder: bytes | None = None, most: int | None = None) -> dict[bytes, Hold]:
        """A person agrees to the deletions that are held now in a root (by its path), or in every one (None).

        Returns what was agreed to, by root; nothing that goes missing later is deleted with it. Raises BadRequest when
        more than `most` documents are held.
        """
        stand = [(root_id, root.progress) for root_id, root in self._roots.items()]
        agreed = {root_id: p for root_id, p in stand if p.held is not None and folder in (None, p.path)}
        missing = sum(p.held.missing for p in agreed.values() if p.held is not None)
        if most is not None and missing > most:
            raise BadRequest(
                f"{missing} documents are missing by now, more than the {most} that were agreed to; nothing is deleted",
                hint="look again: `ragd confirm-delete` lists what is held",
            )
        for root_id, p in agreed.items():
            accepts = p.held.missing if p.held is not None else 0
            self._inbox.put(ScanHint(root_id, b"", "confirmed", self._clock(), accepts=accepts))
        return {p.path: p.held for p in agreed.values() if p.held is not None}

    def recheck(self, root_id: int, path: bytes) -> None:
        """Asks for another look at one path below a root."""
        self._inbox.put(PathHint(root_id, path, Kind.MOVED, self._clock()))

    def progress(self) -> tuple[RootProgress, ...]:
        """How each root stands now."""
        return tuple(root.progress for root in self._roots.values())

    @property
    def untold(self) -> int:
        """Observations that wait for a broker."""
        return sum(len(batch) for _, batch in list(self._outbox))

    def _below(self, folder: bytes) -> list[tuple[int, bytes]]:
        wanted = os.path.normpath(folder)
        for root_id, root in self._roots.items():
            path = root.progress.path.rstrip(b"/")
            if wanted == path or wanted.startswith(path + b"/"):
                return [(root_id, wanted[len(path) + 1 :])]
        return []

    def _told(self, now: float) -> bool:
        """Tells what waits; False when it has to wait longer."""
        if self._outbox and self._refusals and now < self._retry_at:
            return False
        while self._outbox:
            root_id, batch = self._outbox[0]
            try:
                self._emit(root_id, batch)
            except BrokerUnavailable:
                self._retry_at = now + _RETRY_S[min(self._refusals, len(_RETRY_S) - 1)]
                self._refusals += 1
                return False
            self._outbox.popleft()
            self._refusals = 0
        return True
