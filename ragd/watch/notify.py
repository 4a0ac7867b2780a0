"""The only door to watchdog: turns inotify events into hints, and says plainly where it cannot hear."""

from __future__ import annotations

import errno
import logging
import math
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver

from ragd.domain.documents import display_path
from ragd.watch.inbox import Hint, PathHint, ScanHint
from ragd.watch.settle import Kind

# No opened, no closed-without-writing: ragd's own reads must not wake it. No modified: storms of them overflow.
_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]
_KINDS = {"created": Kind.CREATED, "closed": Kind.CLOSED, "deleted": Kind.DELETED}
_OVERFLOW_LOGGER = "watchdog.observers.inotify_c"
_PAIRING_S = 0.05
# A user namespace (a container) may have a lower limit of its own.
_WATCHES = (("fs.inotify.max_user_watches", 1_048_576), ("user.max_inotify_watches", 1_048_576))
_INSTANCES = (("fs.inotify.max_user_instances", 1024), ("user.max_inotify_instances", 1024))


@dataclass(frozen=True, slots=True)
class Hearing:
    """How changes of a root are noticed: by events too, or by scans only, then why and what to do about it."""

    is_watching: bool
    why: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        return "watching" if self.is_watching else f"scanning only: {self.why}"


class Notifier:
    """One observer for each root. Hints go to `on_hint`, from watchdog's threads; `clock` gives Unix seconds."""

    def __init__(self, on_hint: Callable[[Hint], None], clock: Callable[[], float]) -> None:
        self._on_hint = on_hint
        self._clock = clock
        self._observers: dict[int, BaseObserver] = {}
        self._lock = threading.Lock()
        self._listener = _OverflowListener(self._overflowed)
        # Its own level: a daemon that logs errors only must hear of lost events all the same.
        logging.getLogger(_OVERFLOW_LOGGER).setLevel(logging.WARNING)
        logging.getLogger(_OVERFLOW_LOGGER).addHandler(self._listener)

    def watch(self, root_id: int, root: bytes) -> Hearing:
        """Watches the folder at `root` (links on the way resolved now), anew if it was watched before."""
        self.unwatch(root_id)
        # A warning about a watch that is added twice prints every watch there is; it means nothing to us.
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watchdog\.")
        real = os.path.realpath(root)
        try:
            observer = _observer()
        except OSError as error:
            return _deaf(root, error)
        handler = _Handler(root_id, real, self._on_hint, self._clock)
        try:
            observer.schedule(handler, os.fsdecode(real), recursive=True, event_filter=_EVENTS)
            observer.start()
        except OSError as error:
            _stop(observer)
            return _deaf(root, error)
        with self._lock:
            self._observers[root_id] = observer
        return Hearing(is_watching=True)

    def unwatch(self, root_id: int) -> None:
        """Stops watching a root; nothing happens when it was not watched."""
        with self._lock:
            observer = self._observers.pop(root_id, None)
        if observer is not None:
            _stop(observer)

    def is_alive(self, root_id: int) -> bool:
        """Whether events of the root still arrive: watchdog stops by itself when the folder is deleted."""
        with self._lock:
            observer = self._observers.get(root_id)
        return observer is not None and all(emitter.is_alive() for emitter in list(observer.emitters))

    def unwatched(self, root_id: int, root: bytes, folders: Iterable[bytes]) -> list[bytes]:
        """Those of `folders` (relative) without a watch: watchdog drops them silently when watches run out."""
        with self._lock:
            observer = self._observers.get(root_id)
        watched = _watched_folders(observer) if observer is not None else None
        if watched is None:
            return []
        real = os.path.realpath(root)
        return [folder for folder in folders if (os.path.join(real, folder) if folder else real) not in watched]

    def close(self) -> None:
        """Stops every observer and the overflow listener."""
        for root_id in list(self._observers):
            self.unwatch(root_id)
        logging.getLogger(_OVERFLOW_LOGGER).removeHandler(self._listener)

    def _overflowed(self) -> None:
        """The kernel dropped events; it does not say whose."""
        with self._lock:
            roots = list(self._observers)
        for root_id in roots:
            self._on_hint(ScanHint(root_id, b"", "inotify dropped events", self._clock()))


def exhausted(root: bytes, folders: int, unwatched: int) -> Hearing:
    """What to say when some folders of a root could not be watched."""
    why = f"{unwatched} of {folders} folders below {display_path(root)} could not be watched, no inotify watches left"
    return Hearing(is_watching=False, why=why, remedy=raised(_WATCHES))


class _Handler(FileSystemEventHandler):
    """Turns events of one root into hints."""

    def __init__(self, root_id: int, root: bytes, on_hint: Callable[[Hint], None], clock: Callable[[], float]) -> None:
        self._root_id = root_id
        self._prefix = root.rstrip(b"/") + b"/"
        self._on_hint = on_hint
        self._clock = clock

    def dispatch(self, event: FileSystemEvent) -> None:
        """Every event that passed the filter arrives here."""
        source, target = self._relative(event.src_path), self._relative(event.dest_path)
        now = self._clock()
        if event.is_directory:
            is_told = event.event_type in ("moved", "deleted")
            for folder in (source, target):
                # The root's own deletion says nothing about its documents: its identity is watched apart.
                if folder:
                    reason = f"folder {event.event_type}"
                    self._on_hint(ScanHint(self._root_id, folder, reason, now, is_told, must_settle=True))
        elif event.event_type == "moved":
            if source:
                self._on_hint(PathHint(self._root_id, source, Kind.DELETED, now))
            if target:
                self._on_hint(PathHint(self._root_id, target, Kind.MOVED, now))
        elif source and event.event_type in _KINDS:
            self._on_hint(PathHint(self._root_id, source, _KINDS[event.event_type], now))

    def _relative(self, path: bytes | str) -> bytes:
        raw = os.fsencode(path)
        return raw[len(self._prefix) :] if raw.startswith(self._prefix) else b""


class _OverflowListener(logging.Handler):
    """Hears of lost events: watchdog tells them to its logger and to nobody else."""

    def __init__(self, on_overflow: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._on_overflow = on_overflow

    def emit(self, record: logging.LogRecord) -> None:
        if "overflow" in record.getMessage().lower():
            self._on_overflow()


def _observer() -> BaseObserver:
    """The platform's observer; on Linux the one that reports moves in and out of the tree as moves."""
    if not sys.platform.startswith("linux"):
        from watchdog.observers import Observer

        return Observer()
    from watchdog.observers.inotify import InotifyObserver
    from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper

    # A rename's two events arrive together. Half a second's wait for the other one would hold up every event
    # behind it, and an unpaired move costs us nothing: hints need no partner.
    InotifyMoveEventGrouper.delay = _PAIRING_S
    return InotifyObserver(generate_full_events=True)


def _watched_folders(observer: BaseObserver) -> set[bytes] | None:
    """The folders with a watch, absolute; None where watchdog does not tell (another platform or version)."""
    watched: set[bytes] = set()
    for emitter in list(observer.emitters):
        paths = getattr(getattr(emitter, "_inotify", None), "_active_callbacks_by_path", None)
        if paths is None:
            return None
        watched.update(dict(paths))
    return watched


def _stop(observer: BaseObserver) -> None:
    observer.stop()
    if observer.is_alive():
        observer.join()


def _deaf(root: bytes, error: OSError) -> Hearing:
    shown = display_path(root)
    if error.errno == errno.ENOSPC:
        return Hearing(is_watching=False, why=f"{shown}: no inotify watches left", remedy=raised(_WATCHES))
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return Hearing(is_watching=False, why=f"{shown}: no inotify instances left", remedy=raised(_INSTANCES))
    reason = error.strerror or str(error)
    return Hearing(is_watching=False, why=f"{shown}: {reason}", remedy="check the folder and its rights")


def raised(limits: Sequence[tuple[str, int]], proc: Path = Path("/proc/sys")) -> str:
    """The command that raises the lowest of these limits of the kernel, each with what to raise it to."""

    def now(name: str) -> int | None:
        try:
            return int((proc / name.replace(".", "/")).read_text())
        except (OSError, ValueError):
            return None

    there = [(now(name), name, enough) for name, enough in limits]
    least, name, enough = min(there, key=lambda limit: math.inf if limit[0] is None else limit[0])
    value = max(enough, 2 * (least or 0))
    return f"sudo sysctl {name}={value} (keep it: put the line into /etc/sysctl.d/90-ragd.conf)"
