"""Waits for a receipt without holding a thread of the pool that answers searches."""

from __future__ import annotations

import time
from collections.abc import Callable

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request

from ragd.domain.errors import BadRequest, Busy, TimedOut
from ragd.web.backend import Backend

MAX_WAITERS = 16
_SLICE_S = 0.5


class Waiting:
    """Requests that wait for a change to become searchable: a bounded number, each interruptible.

    The wait is cut into slices, so that a client that left or a server that stops ends it within half a second.
    """

    def __init__(self, backend: Backend, clock: Callable[[], float] = time.monotonic) -> None:
        self._backend = backend
        self._clock = clock
        self._waiters = 0

    async def until_searchable(self, after: str, timeout_s: float, request: Request) -> None:
        """Returns when the change of receipt `after` (an id, or `latest`) is done with.

        Raises BadRequest, NotFound, TimedOut after `timeout_s`, Busy with too many waiting.
        """
        if self._waiters >= MAX_WAITERS:
            raise Busy(f"{self._waiters} requests are waiting for receipts", hint="try again in a moment")
        self._waiters += 1
        try:
            receipt = await self._receipt(after)
            if receipt is not None:
                await self._wait(receipt, timeout_s, request)
        finally:
            self._waiters -= 1

    async def _receipt(self, after: str) -> int | None:
        if after == "latest":
            # Resolved once: changes that arrive meanwhile are not waited for.
            return await to_thread.run_sync(self._backend.latest_receipt)
        if not (after.isascii() and after.isdigit()) or len(after) > 18:
            raise BadRequest(f"after is not a receipt: {after}", hint="give a receipt's id, or latest")
        return int(after)

    async def _wait(self, receipt: int, timeout_s: float, request: Request) -> None:
        deadline = self._clock() + timeout_s
        limiter = CapacityLimiter(1)  # of this request alone: the pool's own limiter stays free
        while True:
            left = deadline - self._clock()
            try:
                await to_thread.run_sync(
                    self._backend.wait_for, receipt, max(0.0, min(left, _SLICE_S)), limiter=limiter
                )
            except TimedOut:
                if left <= _SLICE_S or await request.is_disconnected():
                    raise TimedOut(
                        f"receipt {receipt} was not searchable within {timeout_s:g} s",
                        hint="wait longer with timeout_s, or look at ragd receipts",
                    ) from None
            else:
                return
