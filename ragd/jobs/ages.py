"""How long the oldest job of each queue has waited: what its depth alone does not tell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from time import time
from typing import Final, cast

from ragd.jobs.broker import QUEUE_NAMES, Broker

# Fresh jobs stand in front, the oldest of the others right behind them: the oldest of all is among the first.
_LOOKED_AT: Final = 16


def oldest_jobs(broker: Broker, clock: Callable[[], float] = time) -> dict[str, float]:
    """Seconds since the oldest job that waits in each queue was queued, 0 in an empty one; those at work do not count.

    Two round trips whatever waits. Raises BrokerUnavailable.
    """
    with broker.reached() as client:
        with client.pipeline(transaction=False) as pipe:
            for name in QUEUE_NAMES:
                pipe.lrange(f"rq:queue:{name}", 0, _LOOKED_AT - 1)
            waiting = cast("list[list[bytes]]", pipe.execute())
        with client.pipeline(transaction=False) as pipe:
            for job_ids in waiting:
                for job_id in job_ids:
                    pipe.hget(b"rq:job:" + job_id, "created_at")
            told = iter(cast("list[bytes | None]", pipe.execute()))
    now = clock()
    ages = {name: [_age_s(next(told), now) for _ in ids] for name, ids in zip(QUEUE_NAMES, waiting, strict=True)}
    return {name: max(found, default=0.0) for name, found in ages.items()}


def _age_s(created_at: bytes | None, now: float) -> float:
    """0 for a job that is gone meanwhile, and for whatever else Redis holds there."""
    try:
        born = datetime.fromisoformat((created_at or b"").decode())
    except ValueError:
        return 0.0
    return max(0.0, now - born.replace(tzinfo=born.tzinfo or UTC).timestamp())
