"""The Redis that carries the jobs: reached by URL, checked, owned by one daemon, and emptied at its start."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ragd.config.origin import without_password
from ragd.domain.errors import BrokerInUse, BrokerTooOld, BrokerUnavailable, ConfigInvalid

QUEUE_NAMES: Final = ("extract", "embed", "index", "train")
IN_PREFIX: Final = "ragd:in:"
OUT_PREFIX: Final = "ragd:out:"
HELD_PREFIX: Final = "ragd:held:"
STOP_PREFIX: Final = "ragd:stop:"
FILES_PREFIX: Final = "ragd:files:"
OWNER_KEY: Final = "ragd:owner"
SETTINGS_KEY: Final = "ragd:settings"
REVISION_KEY: Final = "ragd:settings:revision"
OLDEST: Final = (6, 2)
OWNER_TTL_S: Final = 15.0

# Take the key when it is free or already ours (a crashed daemon of the same state folder), else say whose it is.
# What names no owner is nobody's claim.
_OWNER = """
local held = redis.call('GET', KEYS[1])
local is_read, owner = pcall(cjson.decode, held or 'null')
local state = is_read and type(owner) == 'table' and owner['state'] or nil
"""
_CLAIM = f"""{_OWNER}
if type(state) == 'string' and state ~= ARGV[1] then return held end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return false
"""
_RELEASE = f"""{_OWNER}
if state == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """What the server says of itself: version, memory in bytes, keys, and the round trip in milliseconds.

    `most_memory_bytes` is its `maxmemory` (0: no limit), `policy` its `maxmemory-policy`.
    """

    url: str
    version: str
    memory_bytes: int
    keys: int
    ping_ms: float
    most_memory_bytes: int = 0
    policy: str = "noeviction"

    @property
    def problem(self) -> str:
        """What is wrong with its settings, with the remedy; empty when nothing is."""
        if not self.most_memory_bytes or self.policy == "noeviction":
            return ""
        return (
            f"Redis at {self.url} throws keys away when its memory is full (maxmemory-policy {self.policy}), and jobs "
            "with them; nothing is lost, but work is done twice (run `redis-cli CONFIG SET maxmemory-policy "
            "noeviction`, and write it into redis.conf)"
        )


class Broker:
    """One Redis database by its URL (`unix:///path?db=0`, `redis://[:password@]host:port/db`, `rediss://`).

    `connection` is safe to use from any thread. Nothing is sent before the first command.
    """

    def __init__(self, url: str, *, timeout_s: float = 5.0) -> None:
        """Raises ConfigInvalid when the URL cannot be understood."""
        self.url = url
        self._timeout_s = timeout_s
        self.connection = self.connect()

    @property
    def shown_url(self) -> str:
        """The URL for logs and messages, with the password masked."""
        return masked(self.url)

    def connect(self, *, timeout_s: float | None = None) -> redis.Redis:
        """A new client with its own connections, which fails at once instead of retrying by itself."""
        try:
            return redis.Redis.from_url(
                self.url,
                encoding_errors="surrogateescape",  # ids that others wrote may be no text, and go back as they came
                socket_timeout=timeout_s or self._timeout_s,
                socket_connect_timeout=self._timeout_s,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            raise ConfigInvalid(
                f"the Redis URL {self.shown_url} cannot be understood: {error}",
                hint="write redis://host:6379/0, redis://:password@host:6379/0 or unix:///path/to/redis.sock",
            ) from error

    @contextmanager
    def reached(self) -> Iterator[redis.Redis]:
        """The shared client; errors of reaching Redis inside the block become BrokerUnavailable."""
        try:
            yield self.connection
        except redis.exceptions.RedisError as error:
            raise self.unavailable(error) from error

    def unavailable(self, error: Exception) -> BrokerUnavailable:
        """The error that names this Redis, what went wrong with it, and what to do."""
        if "unknown command" in str(error).lower():  # as early as the greeting: HELLO came with version 6
            return self._too_old("does not know a command of newer versions")
        if "misconf" in str(error).lower() or "no space left" in str(error).lower():
            return BrokerUnavailable(
                f"Redis at {self.shown_url} cannot write: the disk is full, or fails ({error})",
                hint="make room on the disk that holds its data; ragd goes on by itself, and nothing is lost",
            )
        if isinstance(error, redis.exceptions.OutOfMemoryError) or "maxmemory" in str(error):
            return BrokerUnavailable(
                f"Redis at {self.shown_url} takes no more jobs: its memory is full",
                hint="raise its limit (`redis-cli CONFIG SET maxmemory 1gb`, and write it into redis.conf), or remove "
                "what else fills it; ragd goes on by itself, and nothing is lost",
            )
        # A missing password comes as the refusal of HELLO, a wrong one as an AuthenticationError.
        is_locked_out = isinstance(error, redis.exceptions.AuthenticationError) or "authenticat" in str(error)
        why = "the password is missing or wrong" if is_locked_out else str(error)
        return BrokerUnavailable(
            f"Redis at {self.shown_url} cannot be used: {why}",
            hint="check that the server runs and that the URL and password are right, "
            "or leave the URL empty to use ragd's own private server",
        )

    def check(self) -> BrokerFacts:
        """Asks the server for its version. Raises BrokerUnavailable or BrokerTooOld (before 6.2)."""
        with self.reached() as client:
            begun = time.perf_counter()
            client.ping()
            ping_ms = (time.perf_counter() - begun) * 1000
            info: dict[str, Any] = client.info()
            keys = client.dbsize()
        version = str(info.get("redis_version", "0"))
        if parse_version(version) < OLDEST:
            raise self._too_old(f"is version {version}")
        return BrokerFacts(
            url=self.shown_url,
            version=version,
            memory_bytes=int(info.get("used_memory", 0)),
            keys=keys,
            ping_ms=ping_ms,
            most_memory_bytes=int(info.get("maxmemory", 0)),
            policy=str(info.get("maxmemory_policy", "noeviction")),
        )

    def identity(self) -> str:
        """The id of this run of the server: another one means that it was started anew and may have forgotten jobs."""
        with self.reached() as client:
            facts: dict[str, Any] = client.info("server")
        return str(facts.get("run_id", ""))

    def claim(self, state_id: str, *, ttl_s: float = OWNER_TTL_S) -> None:
        """Takes or renews this database for one state folder; call it again before `ttl_s` seconds pass.

        Raises BrokerInUse while a daemon with another state folder owns it.
        """
        mine = json.dumps({"state": state_id, "host": socket.gethostname(), "pid": os.getpid()})
        with self.reached() as client:
            other = client.eval(_CLAIM, 1, OWNER_KEY, state_id, mine, str(int(ttl_s * 1000)))
        if isinstance(other, bytes):
            owner: dict[str, object] = json.loads(other)
            raise BrokerInUse(
                f"Redis at {self.shown_url} is in use by another ragd daemon "
                f"(process {owner.get('pid')} on {owner.get('host')})",
                hint=f"give each daemon its own database, for example {self._other_database()}",
            )

    def release(self, state_id: str) -> None:
        """Gives the database back, so that another daemon need not wait for the claim to expire."""
        with self.reached() as client:
            client.eval(_RELEASE, 1, OWNER_KEY, state_id)

    def reset(self) -> int:
        """Removes ragd's queues, jobs, bodies and settings and nothing else; returns how many keys went.

        For the start of a daemon: the catalog knows what is left to do. Workers keep their registration,
        and wait for settings before they take another job.
        """
        with self.reached() as client:
            lists = [f"rq:queue:{name}" for name in QUEUE_NAMES] + _matching(client, HELD_PREFIX)
            failed = [f"rq:failed:{name}" for name in QUEUE_NAMES]
            bodies = _matching(client, IN_PREFIX) + _matching(client, OUT_PREFIX) + _matching(client, FILES_PREFIX)
            ids = [i for key in lists for i in cast("list[bytes]", client.lrange(key, 0, -1))]
            ids += [i for key in failed for i in cast("list[bytes]", client.zrange(key, 0, -1))]
            jobs = [f"rq:job:{job_id.decode('utf-8', 'surrogateescape')}" for job_id in ids]
            return _unlink(client, [*lists, *failed, *bodies, *jobs, SETTINGS_KEY, REVISION_KEY])

    def close(self) -> None:
        """Closes every connection; safe to call twice."""
        self.connection.close()

    def _too_old(self, why: str) -> BrokerTooOld:
        return BrokerTooOld(
            f"Redis at {self.shown_url} {why}; ragd needs {OLDEST[0]}.{OLDEST[1]} or newer",
            hint="upgrade that server, or leave the URL empty to use ragd's own private server",
        )

    def _other_database(self) -> str:
        parts = urlsplit(self.shown_url)
        return f"{self.shown_url.partition('?')[0]}?db=1" if parts.scheme == "unix" else "redis://host:6379/1"


def is_silence(error: BrokerUnavailable) -> bool:
    """Whether Redis did not answer at all, in time or at its address; a refusal is an answer."""
    cause = error.__cause__
    return isinstance(cause, redis.exceptions.ConnectionError | redis.exceptions.TimeoutError) and not isinstance(
        cause, redis.exceptions.BusyLoadingError | redis.exceptions.AuthenticationError
    )


def masked(url: str) -> str:
    """A URL with its password replaced by `***`, fit for logs."""
    return without_password(url, "***")


def parse_version(text: str) -> tuple[int, int]:
    """Major and minor of a version such as `6.2.14`; what is not a number counts as 0."""
    major, minor, *_ = [int(part) if part.isdigit() else 0 for part in [*text.split("."), "0", "0"]]
    return major, minor


def _matching(client: redis.Redis, prefix: str) -> list[str]:
    found = cast("Iterable[bytes]", client.scan_iter(f"{prefix}*", count=1000))
    return [key.decode("utf-8", "surrogateescape") for key in found]


def _unlink(client: redis.Redis, keys: list[str]) -> int:
    parts = (keys[start : start + 500] for start in range(0, len(keys), 500))
    return sum((client.unlink(*part) for part in parts), start=0)
