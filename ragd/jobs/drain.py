"""Whether a queue's work is all done and answered: what is still in flight then was lost by Redis."""

from __future__ import annotations

from typing import cast

from ragd.jobs.broker import HELD_PREFIX, Broker


def is_drained(broker: Broker, queue: str) -> bool:
    """True when no job of this queue waits or is at work, and none of its answers waits for the daemon.

    Asked by the daemon's main thread, which takes the answers: a worker queues its answer before it
    lets go of the job, so looking at the workers first leaves no gap. Raises BrokerUnavailable.
    """
    with broker.reached() as client:
        if cast("int", client.llen(f"rq:queue:{queue}")):
            return False
        held = [key.decode() for key in client.scan_iter(match=f"{HELD_PREFIX}{queue}-*", count=1000)]
        if any(cast("int", client.llen(key)) for key in held):
            return False
        return not client.llen("rq:queue:index")
