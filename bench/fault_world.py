"""Every fault that comes from outside ragd's own state folder: Redis, workers, clocks, events, folders, rights."""

from __future__ import annotations

from typing import Final

from bench import fault_clock, fault_events, fault_redis, fault_roots, fault_workers

SCENARIOS: Final = (
    *fault_redis.SCENARIOS,
    *fault_workers.SCENARIOS,
    *fault_clock.SCENARIOS,
    *fault_events.SCENARIOS,
    *fault_roots.SCENARIOS,
)
