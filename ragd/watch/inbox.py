"""Where hints from any thread wait for the watcher: one entry a path, bounded however fast they come."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from ragd.watch.settle import Kind


@dataclass(frozen=True, slots=True)
class PathHint:
    """Something happened to a path below a root, heard at `at` (Unix seconds)."""

    root_id: int
    path: bytes
    kind: Kind
    at: float


@dataclass(frozen=True, slots=True)
class ScanHint:
    """A folder of a root (empty: all of it) is to be scanned; `reason` is for the log.

    `is_told` means that an event said that the folder is gone or moved: what the scan finds missing is believed, unless
    the whole root is empty then. `accepts` is how many deletions a person agreed to. `must_settle` gives the folder the
    quiet that a file is given before it is looked at.
    """

    root_id: int
    folder: bytes
    reason: str
    at: float
    is_told: bool = False
    accepts: int = 0
    must_settle: bool = False


Hint = PathHint | ScanHint


class Inbox:
    """Hints in the order they were first heard; a later hint of the same path replaces the earlier one.

    When more than `limit` paths and folders wait, they are given up and their roots are scanned instead.
    """

    def __init__(self, limit: int = 50_000) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._arrived = threading.Event()
        self._paths: dict[tuple[int, bytes], PathHint] = {}
        self._scans: dict[tuple[int, bytes], ScanHint] = {}

    def put(self, hint: Hint) -> None:
        """Adds a hint and wakes whoever waits."""
        with self._lock:
            if isinstance(hint, PathHint):
                self._paths[hint.root_id, hint.path] = hint
            else:
                before = self._scans.get((hint.root_id, hint.folder))
                if before is None or not (before.is_told or before.accepts):
                    self._scans[hint.root_id, hint.folder] = hint
            if len(self._paths) + len(self._scans) > self._limit:
                self._give_up(hint.at)
        self._arrived.set()

    def wake(self) -> None:
        """Ends a wait without a hint."""
        self._arrived.set()

    def wait(self, timeout_s: float) -> None:
        """Returns when something was put since the last `take`, or after `timeout_s`."""
        self._arrived.wait(timeout_s)

    def take(self) -> list[Hint]:
        """Everything that waits, scans last."""
        with self._lock:
            self._arrived.clear()
            taken: list[Hint] = [*self._paths.values(), *self._scans.values()]
            self._paths, self._scans = {}, {}
        return taken

    def _give_up(self, at: float) -> None:
        """Whole scans stay as they are: a person may have agreed to something in one."""
        whole = {key: hint for key, hint in self._scans.items() if not hint.folder}
        for root_id in {root_id for root_id, _ in (*self._paths, *self._scans)}:
            whole.setdefault((root_id, b""), ScanHint(root_id, b"", "more changes than fit in memory", at))
        self._paths, self._scans = {}, whole
