"""What an operator should know of the Redis that carries the jobs: version, memory, whether it can write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ragd.jobs.broker import Broker


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What the server says of itself; sizes in bytes, 0 of `max_memory_bytes` for no limit."""

    version: str
    policy: str
    memory_bytes: int
    max_memory_bytes: int
    is_persistent: bool
    can_write: bool


def ask(url: str, *, timeout_s: float = 2.0) -> RedisFacts:
    """Asks the server at `url`. Raises BrokerUnavailable, BrokerTooOld, ConfigInvalid."""
    broker = Broker(url, timeout_s=timeout_s)
    try:
        checked = broker.check()
        with broker.reached() as client:
            info: dict[str, Any] = client.info()
    finally:
        broker.close()
    is_logged = bool(info.get("aof_enabled"))
    written = info.get("aof_last_write_status" if is_logged else "rdb_last_bgsave_status", "ok")
    return RedisFacts(
        version=checked.version,
        policy=str(info.get("maxmemory_policy", "")),
        memory_bytes=checked.memory_bytes,
        max_memory_bytes=int(info.get("maxmemory", 0)),
        is_persistent=is_logged or bool(info.get("rdb_last_save_time")),
        can_write=written == "ok",
    )
