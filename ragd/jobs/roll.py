"""Which workers there are, here and on other machines, as their heartbeats tell."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import cast

from ragd.jobs.broker import QUEUE_NAMES, Broker
from ragd.jobs.pulse import WORKERS_KEY

WORKER_PREFIX = "rq:worker:"


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """A worker that is alive: where, since when (ISO 8601), and what keeps it from working, if anything."""

    name: str
    queue: str
    host: str
    pid: int
    is_busy: bool
    since: str
    done: int
    failed: int
    problem: str


def workers(broker: Broker) -> tuple[WorkerFacts, ...]:
    """Every worker with a heartbeat, by queue and name. Raises BrokerUnavailable."""
    with broker.reached() as client:
        names = sorted(cast("set[bytes]", client.smembers(WORKERS_KEY)))
        with client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(name.decode())
            hashes = cast("list[dict[bytes, bytes]]", pipe.execute())
    found = [_facts(name.decode(), values) for name, values in zip(names, hashes, strict=True) if b"queues" in values]
    return tuple(sorted(found, key=lambda facts: (facts.queue, facts.name)))


def worker_name(queue: str, pid: int) -> str:
    """How the names of a process's workers begin; chance makes the rest, so that no name comes twice."""
    return f"{queue}-{socket.gethostname()}-{pid}-"


def silent_workers(broker: Broker) -> tuple[tuple[str, str], ...]:
    """Workers (queue, name) that are registered for a queue but whose heartbeat has stopped."""
    with broker.reached() as client:
        registered = [
            (queue, key.decode())
            for queue in QUEUE_NAMES
            for key in cast("set[bytes]", client.smembers(f"{WORKERS_KEY}:{queue}"))
        ]
        with client.pipeline(transaction=False) as pipe:
            for _, key in registered:
                pipe.exists(key)
            there = cast("list[int]", pipe.execute())
    silent = [pair for pair, is_there in zip(registered, there, strict=True) if not is_there]
    return tuple((queue, key.removeprefix(WORKER_PREFIX)) for queue, key in silent)


def strike_off(broker: Broker, queue: str, name: str) -> None:
    """Removes a dead worker's registration."""
    key = f"{WORKER_PREFIX}{name}"
    with broker.reached() as client, client.pipeline() as pipe:
        pipe.delete(key)
        pipe.srem(WORKERS_KEY, key)
        pipe.srem(f"{WORKERS_KEY}:{queue}", key)
        pipe.execute()


def _facts(key: str, values: dict[bytes, bytes]) -> WorkerFacts:
    text = {name.decode(): value.decode("utf-8", "replace") for name, value in values.items()}
    return WorkerFacts(
        name=key.removeprefix(WORKER_PREFIX),
        queue=text["queues"],
        host=text.get("hostname", ""),
        pid=int(text.get("pid", "0")),
        is_busy=text.get("state") == "busy",
        since=text.get("birth", ""),
        done=int(text.get("successful_job_count", "0")),
        failed=int(text.get("failed_job_count", "0")),
        problem=text.get("problem", ""),
    )
