"""Keeps the heaps of the C library small: what is free lies scattered between what lives, and would add up."""

from __future__ import annotations

import ctypes
import math
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

_SHARE: Final = 1000  # of a thousand seconds one may go into trimming
# Parameters of mallopt(3), what they are set to, and the variables by which a person may have set them.
_ONE_HEAP: Final = (-8, 1, "MALLOC_ARENA_MAX")
_LARGE_APART: Final = (-3, 256 * 1024, "MALLOC_MMAP_THRESHOLD_")


def share_one_heap(environment: Mapping[str, str] = os.environ) -> bool:
    """Has all threads of this process share one heap, and large blocks lie apart; true where the C library can.

    By itself glibc gives each thread a heap of its own, none of which sees what lies free in the others, and keeps ever
    larger blocks in them. Python's own lock makes threads take turns anyway. To be called before they start.
    """
    mallopt = _called("mallopt")
    if mallopt is None:
        return False
    wanted = [(name, value) for name, value, variable in (_ONE_HEAP, _LARGE_APART) if variable not in environment]
    return all(mallopt(name, value) for name, value in wanted)


class Trim:
    """Has the C library give back the free pages of its heaps, as seldom as the time that takes asks for.

    By itself glibc gives back only what lies free at the end of a heap: of what is allocated and freed, small beside
    large, the highest sum that ever was stays resident. Where the C library has no `malloc_trim` nothing is done.
    Search goes on meanwhile.
    """

    def __init__(
        self, trim: Callable[[int], object] | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._trim, self._clock = trim or _called("malloc_trim"), clock
        self._next = -math.inf

    def step(self) -> int:
        """Trims if it is time to; 0, for nothing is ever left to do."""
        begun = self._clock()
        if self._trim is not None and begun >= self._next:
            self._trim(0)
            ended = self._clock()
            self._next = ended + (ended - begun) * _SHARE
        return 0


def _called(name: str) -> Any:
    """A function of the C library; None where it has none of this name."""
    return getattr(ctypes.CDLL(None), name, None)
