"""Ends a worker that gets no more memory, at once and with one line: nothing else of it can be relied on then."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from ragd.config.events import get_log
from ragd.domain.errors import OutOfMemory

_LOG = get_log("ragd.jobs")


@contextmanager
def while_memory_lasts(*, is_disposable: bool) -> Iterator[None]:
    """Out of memory inside the block, a disposable process ends with OutOfMemory's exit status; others see the error.

    What it held stays in Redis, and whoever replaces the process takes it back.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not (is_disposable and is_no_memory(error)):
            raise
        _end()


def is_no_memory(error: BaseException) -> bool:
    """Whether this error says that there is no more memory; no room for a thread's stack is told in words only."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "start new thread" in str(error))


def end_threads_too() -> None:
    """From here on the process ends as well when one of its threads gets no more memory."""
    before = threading.excepthook

    def ended(told: threading.ExceptHookArgs) -> None:
        if told.exc_value is not None and is_no_memory(told.exc_value):
            _end()
        before(told)

    threading.excepthook = ended


def _end() -> NoReturn:
    with suppress(MemoryError):
        _LOG.error("out_of_memory", pid=os.getpid(), action="ends")
        sys.stderr.flush()
    os._exit(OutOfMemory.exit_code)
