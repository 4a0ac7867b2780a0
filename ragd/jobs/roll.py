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
                pipe.hgetall(name)
            # Names that somebody else put there lead to nothing, or to what is no registration.
            hashes = cast("list[dict[bytes, bytes] | Exception]", pipe.execute(raise_on_error=False))
    read = [_facts(_text(name), values) for name, values in zip(names, hashes, strict=True) if isinstance(values, dict)]
    return tuple(sorted((facts for facts in read if facts is not None), key=lambda facts: (facts.queue, facts.name)))


def worker_name(queue: str, pid: int) -> str:
    """How the names of a process's workers begin; chance makes the rest, so that no name comes twice."""
    return f"{queue}-{socket.gethostname()}-{pid}-"


def silent_workers(broker: Broker) -> tuple[tuple[str, str], ...]:
    """Workers (queue, name) that are registered for a queue but whose heartbeat has stopped."""
    with broker.reached() as client:
        registered = [
            (queue, key.decode("utf-8", "surrogateescape"))
            for queue in QUEUE_NAMES
            for key in cast("set[bytes]", client.smembers(f"{WORKERS_KEY}:{queue}"))
            if key.startswith(WORKER_PREFIX.encode())
        ]
        with client.pipeline(transaction=False) as pipe:
            for _, key in registered:
                pipe.exists(key)
            there = cast("list[int]", pipe.execute())
    silent = [pair for pair, is_there in zip(registered, there, strict=True) if not is_there]
    return tuple((queue, key.removeprefix(WORKER_PREFIX)) for queue, key in silent)


def beats(broker: Broker) -> dict[tuple[str, int], bytes]:
    """What the workers of this machine last wrote as a sign of life, by queue and process id: it changes as they live.

    Empty for one that is registered and fell silent long ago. Raises BrokerUnavailable.
    """
    host = socket.gethostname()
    with broker.reached() as client:
        keys = sorted(cast("set[bytes]", client.smembers(WORKERS_KEY)))
        with client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hget(key, "last_heartbeat")
            told = cast("list[bytes | Exception | None]", pipe.execute(raise_on_error=False))
    found: dict[tuple[str, int], bytes] = {}
    for key, beat in zip(keys, told, strict=True):
        place, _, rest = _text(key).removeprefix(WORKER_PREFIX).rpartition("-")[0].rpartition("-")
        queue, _, where = place.partition("-")
        if where == host and rest.isdecimal():
            found[queue, int(rest)] = found.get((queue, int(rest)), b"") + (beat if isinstance(beat, bytes) else b"")
    return found


def strike_off(broker: Broker, queue: str, name: str) -> None:
    """Removes a dead worker's registration."""
    key = f"{WORKER_PREFIX}{name}"
    with broker.reached() as client, client.pipeline() as pipe:
        pipe.delete(key)
        pipe.srem(WORKERS_KEY, key)
        pipe.srem(f"{WORKERS_KEY}:{queue}", key)
        pipe.execute()


def _facts(key: str, values: dict[bytes, bytes]) -> WorkerFacts | None:
    """A registration as a worker writes it; None for another."""
    text = {_text(name): _text(value) for name, value in values.items()}
    try:
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
    except (KeyError, ValueError):
        return None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
