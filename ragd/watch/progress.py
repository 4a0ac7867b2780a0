"""What is asked of a watched root, and how it stands: the values that pass between the watcher and its surroundings."""

from __future__ import annotations

from dataclasses import dataclass, field

from ragd.watch.notify import Hearing
from ragd.watch.roots import Hold, RootFacts
from ragd.watch.settle import Timings


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """How often to scan (seconds), what is too large (bytes), and when a path is at rest.

    `rescan_s` is the pause between scans where events are heard (0: none but the first and those there is a
    need for), `scan_only_s` the shortest one where they are not.
    """

    max_file_bytes: int = 64 * 1024 * 1024
    rescan_s: float = 300.0
    scan_only_s: float = 30.0
    timings: Timings = field(default_factory=Timings)


@dataclass(frozen=True, slots=True)
class RootProgress:
    """How one root stands, for status pages. `files` and `folders` count what the current or last scan has seen."""

    root_id: int
    path: bytes
    facts: RootFacts
    hearing: Hearing
    is_scanning: bool = False
    scans: int = 0
    files: int = 0
    folders: int = 0
    unlisted: int = 0
    waiting: int = 0
    held: Hold | None = None
    last_scan_at: float | None = None
    last_scan_s: float = 0.0
