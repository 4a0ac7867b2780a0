"""rq's job and queue, narrowed: a job names a handler and nothing else, and fresh jobs keep a lane of their own."""

from __future__ import annotations

from typing import Any, Final

from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer

from ragd.domain.errors import JobRefused
from ragd.jobs.broker import Broker

FRESH: Final = "fresh-"
FAILURE_TTL_S: Final = 3600
NO_TIMEOUT: Final = -1

# After the fresh jobs that already wait, before everything else; looks past at most 256 of them.
PUSH_AHEAD: Final = """
local place = 0
local there = redis.call('LINDEX', KEYS[1], 0)
while there and string.sub(there, 1, 6) == 'fresh-' and place < 256 do
  place = place + 1
  there = redis.call('LINDEX', KEYS[1], place)
end
if place == 0 then return redis.call('LPUSH', KEYS[1], ARGV[1]) end
if there then return redis.call('LINSERT', KEYS[1], 'BEFORE', there, ARGV[1]) end
return redis.call('RPUSH', KEYS[1], ARGV[1])
"""


class NamedJob(Job):  # type: ignore[misc] # rq's classes are untyped here
    """A job whose data is a handler's name and plain JSON, and which cannot run by itself.

    rq would import whatever path a job in Redis names, for its function and for three callbacks, and
    post to any URL as a webhook. Workers look the name up in their own table instead; these ways are shut.
    """

    @property
    def func(self) -> Any:
        """Never resolved: raises JobRefused."""
        raise JobRefused(f"the job {self.id} names {self.func_name!r}, and names are never imported")

    def restore(self, raw_data: dict[bytes, bytes]) -> Any:
        """Reads a job's hash without the fields that name code or addresses."""
        shut = (b"_callback_name", b"webhooks", b"meta", b"result")
        return super().restore({key: value for key, value in raw_data.items() if not key.endswith(shut)})


class LanedQueue(Queue):  # type: ignore[misc] # rq's classes are untyped here
    """A queue in which `at_front` means behind the fresh jobs that came first, not before them."""

    job_class = NamedJob

    def push_job_id(self, job_id: str, pipeline: Any = None, at_front: bool = False) -> None:
        """Adds a job's id at the end, or ahead of everything that is not fresh."""
        connection = pipeline if pipeline is not None else self.connection
        if at_front:
            connection.eval(PUSH_AHEAD, 1, self.key, job_id)
        else:
            connection.rpush(self.key, job_id)


def open_queue(broker: Broker, name: str) -> LanedQueue:
    """rq's queue of this name, JSON only."""
    return LanedQueue(
        name, connection=broker.connection, job_class=NamedJob, serializer=JSONSerializer, default_timeout=NO_TIMEOUT
    )


def new_job(broker: Broker, queue_name: str, name: str, batch_id: str, job_id: str) -> NamedJob:
    """A job that asks for the handler `name`; nothing is sent yet."""
    job: NamedJob = NamedJob.create(
        name,
        kwargs={"batch": batch_id},
        connection=broker.connection,
        id=job_id,
        origin=queue_name,
        timeout=NO_TIMEOUT,
        result_ttl=0,
        failure_ttl=FAILURE_TTL_S,
        description=name,
        serializer=JSONSerializer,
    )
    return job
