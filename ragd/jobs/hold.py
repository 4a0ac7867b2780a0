"""How one worker takes a job and ends it in Redis: at every moment it is in the queue or in the worker's hands."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import redis

from ragd.jobs.broker import HELD_PREFIX, REVISION_KEY
from ragd.jobs.lane import FAILURE_TTL_S, FRESH, PUSH_AHEAD
from ragd.jobs.queue import body_key

WORKER_TTL_S: Final = 30
UNREADABLE: Final = "(unreadable)"
_MOST_NAME_BYTES: Final = 1 << 16  # a name and an id; what unpacks to more is none of ours

# One round trip: mark the popped job as started and hand over all that is needed to run it. An id without a job, and
# what somebody else wrote in a job's place, are let go of: they would block the queue for ever.
_BEGIN: Final = """
local hash = redis.pcall('HMGET', KEYS[1], 'data', 'status')
if hash.err or not hash[1] then redis.call('LREM', KEYS[2], 1, ARGV[1]) return false end
local attempt = redis.pcall('HINCRBY', KEYS[1], 'attempts', 1)
if type(attempt) == 'table' then
  attempt = 1
  redis.call('HSET', KEYS[1], 'attempts', 1)
end
redis.call('HSET', KEYS[1], 'status', 'started', 'worker_name', ARGV[2])
redis.pcall('HSET', KEYS[3], 'state', 'busy')
redis.pcall('EXPIRE', KEYS[3], ARGV[3])
local body = redis.pcall('GET', KEYS[4])
if type(body) == 'table' then body = false end
return {hash[1], body, attempt, redis.call('GET', KEYS[5])}
"""
_GIVE_BACK: Final = f"""
local function ahead(KEYS, ARGV)
{PUSH_AHEAD}
end
if redis.call('LREM', KEYS[2], 1, ARGV[1]) == 0 then return 0 end
if redis.call('TYPE', KEYS[3]).ok ~= 'hash' then return 0 end
redis.call('HSET', KEYS[3], 'status', 'queued', 'worker_name', '')
if ARGV[2] == '0' then redis.pcall('HINCRBY', KEYS[3], 'attempts', -1) end
if ARGV[3] ~= '' then redis.call('SET', KEYS[4], ARGV[3], 'KEEPTTL') end
if string.sub(ARGV[1], 1, 6) == 'fresh-' then redis.call('LPUSH', KEYS[1], ARGV[1]) else ahead(KEYS, ARGV) end
return 1
"""


@dataclass(frozen=True, slots=True)
class Task:
    """One job as its handler sees it: `attempt` counts from 1, `body` is b"" when there is none (or no longer)."""

    name: str
    job_id: str
    batch_id: str
    attempt: int
    body: bytes

    @property
    def is_fresh(self) -> bool:
        """True when a person waits for it."""
        return self.job_id.startswith(FRESH)


Handler = Callable[[Task], bytes | None]
"""Does a task; returns None when it is done, or a new body: what is left, to be done after fresh jobs."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A task, and the revision of the published settings at that moment (b"" when there are none)."""

    task: Task
    revision: bytes


class Hold:
    """The jobs in one worker's hands: the Redis list `ragd:held:` and the worker's name.

    A job moves there from the queue in one step and leaves it in the step that ends it, so whoever sees
    the worker dead knows what it held. Methods raise redis.exceptions.RedisError and may be repeated.
    """

    def __init__(self, client: redis.Redis, queue_name: str, worker_name: str) -> None:
        self._client = client
        self._queue_name, self._worker_name = queue_name, worker_name
        self._queue_key, self._worker_key = f"rq:queue:{queue_name}", f"rq:worker:{worker_name}"
        self.key = f"{HELD_PREFIX}{worker_name}"
        self._begin = client.register_script(_BEGIN)
        self._give_back = client.register_script(_GIVE_BACK)

    def take(self, wait_s: float | None) -> Taken | None:
        """The next job, marked as started; None when none came within `wait_s` seconds (None: do not wait)."""
        client: Any = self._client
        while True:
            if wait_s is None:
                raw = client.lmove(self._queue_key, self.key, "LEFT", "RIGHT")
            else:
                raw = client.blmove(self._queue_key, self.key, wait_s, "LEFT", "RIGHT")
            if raw is None:
                return None
            taken = self._begun(text_of(raw))
            if taken is not None:
                return taken

    def finish(self, task: Task) -> None:
        """Ends a job that is done: it and its body are gone."""
        with self._client.pipeline() as pipe:
            pipe.lrem(self.key, 1, task.job_id)
            pipe.unlink(f"rq:job:{task.job_id}", body_key(self._queue_name, task.job_id))
            pipe.hset(self._worker_key, "state", "idle")
            pipe.hincrby(self._worker_key, "successful_job_count", 1)
            pipe.execute()

    def fail(self, task: Task, reason: str) -> None:
        """Ends a job for good; it stays visible among rq's failed jobs for an hour."""
        with self._client.pipeline() as pipe:
            pipe.lrem(self.key, 1, task.job_id)
            pipe.hset(f"rq:job:{task.job_id}", mapping={"status": "failed", "reason": reason[:2000]})
            pipe.expire(f"rq:job:{task.job_id}", FAILURE_TTL_S)
            pipe.expire(body_key(self._queue_name, task.job_id), FAILURE_TTL_S)
            pipe.zadd(f"rq:failed:{self._queue_name}", {task.job_id: time.time() + FAILURE_TTL_S})
            pipe.zremrangebyscore(f"rq:failed:{self._queue_name}", "-inf", time.time())
            pipe.expire(f"rq:failed:{self._queue_name}", FAILURE_TTL_S)
            pipe.hset(self._worker_key, "state", "idle")
            pipe.hincrby(self._worker_key, "failed_job_count", 1)
            pipe.execute()

    def give_back(self, job_id: str, *, counts: bool, rest: bytes = b"") -> None:
        """Puts a job back where it was: a fresh one first, others behind the fresh.

        `counts` keeps the attempt counted; `rest` replaces its body by what is left to do.
        """
        keys = [self._queue_key, self.key, f"rq:job:{job_id}", body_key(self._queue_name, job_id)]
        self._give_back(keys=keys, args=[job_id, "1" if counts else "0", rest])

    def release(self) -> None:
        """Gives back everything still held, without counting it as an attempt; the oldest ends up first."""
        held = cast("list[bytes]", self._client.lrange(self.key, 0, -1))
        for job_id in reversed(held):
            self.give_back(text_of(job_id), counts=False)

    def waiting_revision(self) -> bytes:
        """The revision of the published settings, b"" when there are none."""
        return cast("bytes | None", self._client.get(REVISION_KEY)) or b""

    def _begun(self, job_id: str) -> Taken | None:
        keys = [f"rq:job:{job_id}", self.key, self._worker_key, body_key(self._queue_name, job_id), REVISION_KEY]
        found = cast("list[Any] | None", self._begin(keys=keys, args=[job_id, self._worker_name, WORKER_TTL_S]))
        if found is None:
            return None
        data, body, attempt, revision = found
        name, batch_id = named(data)
        return Taken(Task(name, job_id, batch_id, int(attempt), body or b""), revision or b"")


def text_of(raw: bytes) -> str:
    """An id as it is in Redis; bytes that are no text go back as they came."""
    return raw.decode("utf-8", "surrogateescape")


def named(data: bytes) -> tuple[str, str]:
    """The handler's name and the batch's id in a job's data; `(unreadable)` for what ragd did not write."""
    try:
        name, _, _, arguments = json.loads(zlib.decompressobj().decompress(data, _MOST_NAME_BYTES))
        return str(name), str(arguments["batch"])
    except (zlib.error, ValueError, TypeError, KeyError, RecursionError):
        return UNREADABLE, ""
