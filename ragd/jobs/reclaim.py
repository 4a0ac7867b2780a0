"""Takes back what dead workers held: the jobs go to the front of their queue, unless they are what kills."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, cast

import redis

from ragd.config.events import get_log
from ragd.jobs.broker import HELD_PREFIX, Broker
from ragd.jobs.hold import Hold, Task, named, text_of
from ragd.jobs.pulse import WORKERS_KEY
from ragd.jobs.queue import Queues, Trouble
from ragd.jobs.roll import WORKER_PREFIX, beats, silent_workers, strike_off, worker_name

MOST_DEATHS: Final = 2
SILENT_S: Final = 6.0  # longer than from one sign of life to the next
_LOG = get_log("ragd.jobs")


class Reclaimer:
    """Gives the jobs of dead workers another chance, and names a batch that has cost `most_deaths` workers.

    Such a batch leaves its queue and comes to the daemon as a Trouble with `is_lost`, so that its files can
    be sent one by one until the bad one stands alone.
    """

    def __init__(
        self,
        broker: Broker,
        queues: Queues,
        *,
        most_deaths: int = MOST_DEATHS,
        silent_s: float = SILENT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker, self._queues, self._most_deaths = broker, queues, most_deaths
        self._silent_s, self._clock = silent_s, clock
        self._silent: dict[tuple[str, str], float] = {}

    def worker_died(self, queue: str, name: str) -> int:
        """Takes back what the worker held and strikes it off; returns how many jobs it held.

        To be called once its process is known to have ended. Raises BrokerUnavailable; may be repeated.
        """
        with self._broker.reached() as client:
            hold = Hold(client, queue, name)
            held = cast("list[bytes]", client.lrange(f"{HELD_PREFIX}{name}", 0, -1))
            for raw in reversed(held):
                job_id = text_of(raw)
                data, deaths = _known(client, job_id)
                # A run goes on from its checkpoint, and counts by itself how often it was started in vain.
                if queue != "train" and data is not None and deaths >= self._most_deaths:
                    self._give_up(hold, queue, _task(job_id, data, deaths))
                else:
                    hold.give_back(job_id, counts=True)
        strike_off(self._broker, queue, name)
        if held:
            _LOG.warning("jobs_reclaimed", worker=name, jobs=len(held))
        return len(held)

    def process_died(self, queue: str, pid: int) -> int:
        """As `worker_died`, for the worker that ran as process `pid` of this machine."""
        name = worker_name(queue, pid)
        with self._broker.reached() as client:
            members = cast("set[bytes]", client.smembers(f"{WORKERS_KEY}:{queue}"))
        names = [text_of(member).removeprefix(WORKER_PREFIX) for member in members]
        return sum(self.worker_died(queue, found) for found in names if found.startswith(name))

    def beats(self) -> Mapping[tuple[str, int], bytes]:
        """The last signs of life of this machine's workers, by queue and process id; see `jobs.roll.beats`."""
        return beats(self._broker)

    def step(self) -> int:
        """Reclaims from workers whose heartbeat stopped, on any machine; returns how many jobs.

        Every sign of life expires at once when the clock is set forward or the machine slept; who lives is heard again
        within `silent_s`. Daemons of before are only struck off: what they held was of another life of the catalog.
        """
        now = self._clock()
        self._silent = {pair: self._silent.get(pair, now) for pair in silent_workers(self._broker)}
        dead = [pair for pair, since in self._silent.items() if now - since >= self._silent_s]
        for queue, name in dead:
            if queue == "index":
                strike_off(self._broker, queue, name)
        return sum(self.worker_died(queue, name) for queue, name in dead if queue != "index")

    def _give_up(self, hold: Hold, queue: str, task: Task) -> None:
        reason = f"the batch ended {task.attempt} workers"
        _LOG.error("batch_lost", queue=queue, batch=task.batch_id, deaths=task.attempt)
        self._queues.trouble(Trouble(queue, task.batch_id, reason, "", is_lost=True))
        hold.fail(task, reason)


def _known(client: redis.Redis, job_id: str) -> tuple[bytes | None, int]:
    """A job's data and how many workers began it; None and 0 for what is no job of ragd's."""
    try:
        data, attempts = cast("list[bytes | None]", client.hmget(f"rq:job:{job_id}", ["data", "attempts"]))
        return data, int(attempts or 0)
    except (redis.exceptions.ResponseError, ValueError):
        return None, 0


def _task(job_id: str, data: bytes, attempts: int) -> Task:
    name, batch_id = named(data)
    return Task(name, job_id, batch_id, attempts, b"")
