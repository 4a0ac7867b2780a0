"""Gives memory that nothing uses back to the system: it lies scattered between what lives, and would stay."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable
from typing import Final

_SHARE: Final = 1000  # of a thousand seconds one may go into this


class Trim:
    """Has the C library give back the free pages of all its heaps, as seldom as the time that takes asks for.

    glibc gives back by itself only what lies free at the end of a heap: of what many threads allocate and free, small
    beside large, the highest sum that ever was stays resident, and creeps up. Where the C library has no `malloc_trim`
    nothing is done. Search goes on meanwhile.
    """

    def __init__(
        self, trim: Callable[[int], object] | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._trim, self._clock = trim or getattr(ctypes.CDLL(None), "malloc_trim", None), clock
        self._next = -math.inf

    def step(self) -> int:
        """Trims if it is time to; 0, for nothing is ever left to do."""
        begun = self._clock()
        if self._trim is not None and begun >= self._next:
            self._trim(0)
            ended = self._clock()
            self._next = ended + (ended - begun) * _SHARE
        return 0
