"""Stops one thread of another process for a while, as a deadlock would; the other threads go on."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.fault import Skipped

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_WALL = 0x40000000


@contextmanager
def stopped_thread(thread_id: int) -> Iterator[None]:
    """The thread (a process's id names its main one) does not run within the block.

    Raises Skipped where that is not allowed.
    """
    if sys.platform != "linux":
        raise Skipped("threads are stopped by ptrace, which is Linux's")
    libc = ctypes.CDLL(None, use_errno=True)
    call = libc.ptrace
    call.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    call.restype = ctypes.c_long
    if call(_SEIZE, thread_id, None, None) != 0:
        raise Skipped(f"ptrace is not allowed here: {os.strerror(ctypes.get_errno())}")
    assert call(_INTERRUPT, thread_id, None, None) == 0
    os.waitpid(thread_id, _WALL)
    try:
        yield
    finally:
        if call(_DETACH, thread_id, None, None) != 0:
            os.waitpid(thread_id, _WALL)  # it was killed meanwhile: whose child it is hears of that only after us
