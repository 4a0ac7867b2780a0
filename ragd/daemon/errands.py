"""Work that other threads ask the main thread to do, since only it may change the catalog and the index."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from typing import Any, TypeVar

from ragd.domain.errors import TimedOut

T = TypeVar("T")


class Errands:
    """A queue of calls; `wake` makes the main thread come and `run` them.

    `begins` is told, before each call, how many seconds whoever asked is ready to wait for it.
    """

    def __init__(self, wake: Callable[[], None], begins: Callable[[float], None] = lambda _: None) -> None:
        self._wake, self._begins = wake, begins
        self._waiting: deque[tuple[Callable[[], Any], Future[Any], float]] = deque()

    def ask(self, call: Callable[[], T], timeout_s: float = 30.0) -> T:
        """The result of `call`, made by the main thread. Raises what it raises, TimedOut, or BrokerUnavailable.

        A call that was not begun by then is not made later.
        """
        answer: Future[T] = Future()
        errand = (call, answer, timeout_s)
        self._waiting.append(errand)
        try:
            self._wake()
            return answer.result(timeout_s)
        except FutureTimeout as error:
            raise TimedOut(
                f"the daemon was too busy to do this within {timeout_s:g} s", hint="try again in a moment"
            ) from error
        finally:
            answer.cancel()
            with suppress(ValueError):  # it was taken
                self._waiting.remove(errand)

    def run(self) -> int:
        """Makes the calls that wait; only the main thread calls it. Returns how many."""
        count = 0
        while True:
            try:
                call, answer, timeout_s = self._waiting.popleft()
            except IndexError:
                return count
            if not answer.set_running_or_notify_cancel():
                continue
            count += 1
            self._begins(timeout_s)
            try:
                answer.set_result(call())
            except Exception as error:  # noqa: BLE001 - handed to the thread that asked
                answer.set_exception(error)
