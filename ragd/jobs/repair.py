"""Puts away what others wrote under ragd's keys: a value of a type that ragd never keeps there blocks a queue."""

from __future__ import annotations

from typing import Final, cast

from ragd.jobs.broker import HELD_PREFIX, OWNER_KEY, QUEUE_NAMES, REVISION_KEY, SETTINGS_KEY, Broker
from ragd.jobs.pulse import WORKERS_KEY

_NOTHING: Final = b"none"


def put_away(broker: Broker) -> tuple[str, ...]:
    """Removes ragd's own keys that hold another type than ragd writes; returns their names. Raises BrokerUnavailable.

    Two round trips when all is well. What the keys were for is told or queued anew by whoever calls.
    """
    wanted = _FIXED | _of_workers(broker)
    with broker.reached() as client:
        with client.pipeline(transaction=False) as pipe:
            for key in wanted:
                pipe.type(key)
            kinds = cast("list[bytes]", pipe.execute())
        strange = [key for key, kind in zip(wanted, kinds, strict=True) if kind not in (_NOTHING, wanted[key])]
        if strange:
            client.unlink(*strange)
    return tuple(key.decode("utf-8", "backslashreplace") for key in strange)


def _of_workers(broker: Broker) -> dict[bytes, bytes]:
    """The keys of registered workers; none while the register itself is strange."""
    with broker.reached() as client:
        if client.type(WORKERS_KEY) != b"set":
            return {}
        names = cast("set[bytes]", client.smembers(WORKERS_KEY))
    held = {HELD_PREFIX.encode() + name.rpartition(b":")[2]: b"list" for name in names}
    return held | {name: b"hash" for name in names if name.startswith(b"rq:worker:")}


_FIXED: Final[dict[bytes, bytes]] = {
    **{f"rq:queue:{name}".encode(): b"list" for name in QUEUE_NAMES},
    **{f"rq:failed:{name}".encode(): b"zset" for name in QUEUE_NAMES},
    **{f"{WORKERS_KEY}:{name}".encode(): b"set" for name in QUEUE_NAMES},
    WORKERS_KEY.encode(): b"set",
    b"rq:queues": b"set",
    **{key.encode(): b"string" for key in (OWNER_KEY, SETTINGS_KEY, REVISION_KEY)},
}
