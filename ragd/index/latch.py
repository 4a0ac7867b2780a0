"""A short shared/exclusive lock: searches pass together, a change passes alone, and neither can starve the other.

FAISS lets go of the interpreter lock while it works, and a change beside a search then reads freed memory.
A plain lock would also keep searches apart from each other, and would let a busy thread take it again
before a waiting one wakes. Here a waiting change holds back later searches, and the searches that waited
through a change go before the next change (Brandenburg and Anderson, phase-fair locks, 2010).
"""

from __future__ import annotations

from threading import Condition, Lock
from types import TracebackType


class Latch:
    """Guards one index: `with latch.shared:` to search, `with latch.exclusive:` to change; not re-entrant."""

    def __init__(self) -> None:
        mutex = Lock()
        self._readers_may_go = Condition(mutex)
        self._writer_may_go = Condition(mutex)
        self._readers = 0
        self._is_writing = False
        self._waiting_writers = 0
        self._waiting_readers = 0
        self._entitled_readers = 0
        self._phase = 0
        self.shared = _Shared(self)
        self.exclusive = _Exclusive(self)

    def _acquire_shared(self) -> None:
        with self._readers_may_go:
            if self._is_writing or self._waiting_writers:
                self._wait_for_a_phase()
            self._readers += 1

    def _wait_for_a_phase(self) -> None:
        arrived = self._phase
        self._waiting_readers += 1
        try:
            while self._phase == arrived and (self._is_writing or self._waiting_writers):
                self._readers_may_go.wait()
        except BaseException:
            # An interrupted wait (a signal) must not leave a writer waiting for a reader that went away.
            self._writer_may_go.notify()
            raise
        finally:
            if self._phase == arrived:
                self._waiting_readers -= 1
            else:
                self._entitled_readers -= 1

    def _release_shared(self) -> None:
        with self._writer_may_go:
            self._readers -= 1
            if not self._readers and self._waiting_writers:
                self._writer_may_go.notify()

    def _acquire_exclusive(self) -> None:
        with self._writer_may_go:
            self._waiting_writers += 1
            try:
                while self._is_writing or self._readers or self._entitled_readers:
                    self._writer_may_go.wait()
            except BaseException:
                # An interrupted wait (a signal) must not leave readers behind a writer that went away.
                if self._waiting_writers == 1 and not self._is_writing:
                    self._readers_may_go.notify_all()
                raise
            finally:
                self._waiting_writers -= 1
            self._is_writing = True

    def _release_exclusive(self) -> None:
        with self._writer_may_go:
            self._is_writing = False
            self._phase += 1
            self._entitled_readers += self._waiting_readers
            self._waiting_readers = 0
            if self._entitled_readers:
                self._readers_may_go.notify_all()
            elif self._waiting_writers:
                self._writer_may_go.notify()


class _Shared:
    def __init__(self, latch: Latch) -> None:
        self._latch = latch

    def __enter__(self) -> None:
        self._latch._acquire_shared()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._latch._release_shared()


class _Exclusive:
    def __init__(self, latch: Latch) -> None:
        self._latch = latch

    def __enter__(self) -> None:
        self._latch._acquire_exclusive()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._latch._release_exclusive()
