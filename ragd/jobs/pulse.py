"""A worker's heartbeat: a thread with its own connection that keeps the worker registered while its process lives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

import redis

from ragd.config.events import get_log

WORKERS_KEY: Final = "rq:workers"

_LOG = get_log("ragd.jobs")


class Pulse:
    """Writes a worker's registration every `every_s` seconds, with a time to live: silence means death.

    The whole registration is written each time, so a Redis that was emptied knows the worker again. `look` is called
    before each of them, in the pulse's thread.
    """

    def __init__(
        self,
        client: redis.Redis,
        worker_key: str,
        queue_name: str,
        facts: Callable[[], Mapping[str, str]],
        *,
        ttl_s: int,
        every_s: float = 5.0,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self._client, self._worker_key, self._queue_name, self._facts = client, worker_key, queue_name, facts
        self._ttl_s, self._every_s, self._look = ttl_s, every_s, look
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def beat(self) -> None:
        """Writes the registration once. Raises redis.exceptions.RedisError."""
        with self._client.pipeline() as pipe:
            for name, value in self._facts().items():
                pipe.hset(self._worker_key, name, value)
            pipe.expire(self._worker_key, self._ttl_s)
            pipe.sadd(WORKERS_KEY, self._worker_key)
            pipe.sadd(f"{WORKERS_KEY}:{self._queue_name}", self._worker_key)
            pipe.execute()

    def start(self) -> None:
        """Starts beating."""
        self._thread.start()

    def stop(self) -> None:
        """Stops beating and takes the registration away."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            with self._client.pipeline() as pipe:
                pipe.delete(self._worker_key)
                pipe.srem(WORKERS_KEY, self._worker_key)
                pipe.srem(f"{WORKERS_KEY}:{self._queue_name}", self._worker_key)
                pipe.execute()
        except redis.exceptions.RedisError as error:
            _LOG.info("worker_left_registered", key=self._worker_key, reason=error)
        self._client.close()

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            self._look()
            try:
                self.beat()
            except redis.exceptions.RedisError as error:
                _LOG.debug("beat_missed", key=self._worker_key, reason=error)
