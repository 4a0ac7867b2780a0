"""Ends a computation early, from another thread: what a person waits for need not wait for a whole slice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from ragd.domain.errors import RagdError
from ragd.domain.index import Vectors

_ASK_S = 0.005


class Halted(Exception):
    """A computation was ended before it had a result."""


class Halt:
    """Set once, by any thread; whoever computes hears of it at once through `listen`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_set = False
        self._heard: Callable[[], None] = lambda: None

    @property
    def is_set(self) -> bool:
        """True from `set` on."""
        return self._is_set

    def set(self) -> None:
        """Ends what is being computed, and all that would follow."""
        with self._lock:
            self._is_set = True
            self._heard()

    def listen(self, heard: Callable[[], None]) -> None:
        """Calls `heard` when it is set, now if it is already; replaces the listener before."""
        with self._lock:
            self._heard = heard
            if self._is_set:
                heard()


@runtime_checkable
class Haltable(Protocol):
    """An encoder that can be ended within a slice."""

    def encode_until(self, texts: Sequence[str], halt: Halt) -> Vectors:
        """As `encode`. Raises Halted when `halt` was set before the end."""
        ...


@contextmanager
def asking(wanted: Callable[[], bool], halt: Halt) -> Iterator[None]:
    """Meanwhile asks `wanted` two hundred times a second, in a thread, and sets `halt` when it says yes.

    When asking fails (Redis is away) the computation simply goes on.
    """
    is_over = threading.Event()

    def ask() -> None:
        try:
            while not is_over.wait(_ASK_S):
                if wanted():
                    halt.set()
                    return
        except RagdError:
            return

    thread = threading.Thread(target=ask, name="halt", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
