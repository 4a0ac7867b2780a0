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
    except MemoryError:
        if not is_disposable:
            raise
        _end()


def end_threads_too() -> None:
    """From here on the process ends as well when one of its threads gets no more memory."""
    before = threading.excepthook

    def ended(told: threading.ExceptHookArgs) -> None:
        if issubclass(told.exc_type, MemoryError):
            _end()
        before(told)

    threading.excepthook = ended


def _end() -> NoReturn:
    with suppress(MemoryError):
        _LOG.error("out_of_memory", pid=os.getpid(), action="ends")
        sys.stderr.flush()
    os._exit(OutOfMemory.exit_code)
