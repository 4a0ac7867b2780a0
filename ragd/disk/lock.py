"""The state folder's lock: one daemon at a time, and the owner's process id for whoever comes second."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from ragd.domain.errors import DiskFull, StateGone, StateLocked, StateUnwritable

_NAME = "lock"
_POLL_S = 0.05
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class StateLock:
    """An exclusive lock on a state folder, held until `release` or the end of the process.

    The kernel drops it when the process dies, however it dies, so a stale file never blocks a start.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / _NAME
        self._descriptor: int | None = None

    def acquire(
        self,
        *,
        wait_s: float = 3.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> StateLock:
        """Takes the lock, trying for `wait_s` seconds because a killed owner needs a moment to go.

        Raises StateLocked with the owner's process id when another process keeps it, StateUnwritable, DiskFull.
        """
        descriptor = self._opened()
        deadline = clock() + wait_s
        try:
            while not _try_lock(descriptor):
                if clock() >= deadline:
                    raise StateLocked(
                        f"the state folder {self.path.parent} is in use by process {_owner(descriptor)}",
                        hint="stop that daemon, or choose another state folder with --state",
                    )
                sleep(_POLL_S)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return self

    def check_place(self) -> None:
        """Raises StateGone when the lock that is held lies in another folder than the one that has its name now."""
        if self._descriptor is None:
            return
        held = os.fstat(self._descriptor)
        try:
            named = self.path.stat()
        except OSError:
            named = None
        if named is None or (named.st_dev, named.st_ino) != (held.st_dev, held.st_ino):
            raise StateGone(
                f"the state folder {self.path.parent} was deleted, moved or replaced while ragd ran",
                hint="put it back, or restore a backup, and start again; without either a start reads your documents "
                "anew",
            )

    def _opened(self) -> int:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise DiskFull(f"no room for {self.path}", hint="make room on that disk, then start again") from error
            raise StateUnwritable(
                f"the state folder {self.path.parent} cannot be written: {error.strerror}",
                hint=f"make it writable for this user (`ls -ld {self.path.parent}`, `findmnt -T {self.path.parent}`), "
                "or choose another with --state",
            ) from error

    def release(self) -> None:
        """Gives the lock back; safe to call twice. The file stays: removing it would let two owners in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> StateLock:
        return self if self._descriptor is not None else self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lock_owner(folder: Path) -> int | None:
    """The process id of the daemon that holds this state folder, None when nobody does."""
    try:
        descriptor = os.open(folder / _NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if _try_lock(descriptor, shared=True):
            return None
        text = _owner(descriptor)
        return int(text) if text.isdigit() else None
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, *, shared: bool = False) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return False
    return True


def _owner(descriptor: int) -> str:
    return os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "(starting)"
