"""What can happen to the Redis that carries the jobs: it goes, forgets, is full, old, wrong, or out of reach."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, cast

import redis

from bench.fault import Outcome, Scenario
from bench.fault_site import NotSo, Site, site
from bench.fault_wire import Proxy, old_server
from ragd.jobs.embedded import find_server

_LITTLE: Final = 64 * 1024  # bytes that a Redis has left when it is made small


class Server:
    """A redis-server of our own on a Unix socket: started, stopped and started again as often as one likes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.socket = folder, folder / "r.sock"
        self.url = f"unix://{self.socket}?db=0"
        self.client = redis.Redis.from_url(self.url)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the server, empty, and returns when it answers."""
        options = ["--port", "0", "--unixsocket", str(self.socket), "--save", "", "--dir", str(self.folder)]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([find_server(), *options], stdout=log, stderr=log)
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline:
            with suppress(redis.exceptions.RedisError):
                self.client.ping()
                return
            time.sleep(0.01)
        raise NotSo("the redis-server of the scenario does not start")

    def stop(self) -> None:
        """Ends the server as kill -9 does: nothing it knew is kept."""
        self.client.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.socket.unlink(missing_ok=True)


@contextmanager
def site_with_server(scratch: Path) -> Iterator[tuple[Site, Server]]:
    """A site whose daemon works with a Redis of its operator's, by URL."""
    server = Server(scratch / "r")
    with ExitStack() as stack:
        stack.callback(server.stop)
        server.start()
        made = stack.enter_context(site(scratch, environment={"RAGD_REDIS__URL": server.url}))
        yield made, server


def stopped(scratch: Path) -> Outcome:
    """The server stops, files change, an empty one starts in its place."""
    with site_with_server(scratch) as (one, server):
        server.stop()
        one.edit()
        said = one.until_said("Redis at", "cannot be used", "check that the server runs")
        one.searches()
        begun = time.monotonic()
        server.start()
        return one.outcome(begun, f"searches went on; said: {said[:60]}...")


def restarted(scratch: Path) -> Outcome:
    """The server is killed and at once started anew, empty, five times amid edits."""
    with site_with_server(scratch) as (one, server):
        for _ in range(5):
            one.edit()
            time.sleep(0.15)
            server.stop()
            server.start()
            one.searches()
        return one.outcome(time.monotonic(), "jobs forgotten five times were sent again")


def flushed(scratch: Path) -> Outcome:
    """FLUSHALL by somebody else while files are on their way."""
    with site_with_server(scratch) as (one, server):
        for _ in range(5):
            one.edit()
            time.sleep(0.15)
            server.client.flushall()
        return one.outcome(time.monotonic(), "settings were told anew, folders walked again")


def full(scratch: Path) -> Outcome:
    """Memory is full and nothing may be evicted: every write is refused until there is more."""
    with site_with_server(scratch) as (one, server):
        server.client.config_set("maxmemory-policy", "noeviction")
        server.client.config_set("maxmemory", str(_LITTLE))
        one.edit()
        said = one.until_said("memory", "maxmemory")
        one.searches()
        begun = time.monotonic()
        server.client.config_set("maxmemory", "0")
        return one.outcome(begun, f"searches went on; said: {said[:80]}...")


def evicting(scratch: Path) -> Outcome:
    """A server that throws keys away when its memory is full is named, with the setting to change."""
    with site_with_server(scratch) as (one, server):
        server.client.config_set("maxmemory", str(64 << 20))
        server.client.config_set("maxmemory-policy", "allkeys-random")
        said = one.until_said("allkeys-random", "maxmemory-policy noeviction")
        server.client.config_set("maxmemory", str(_LITTLE))
        one.edit()
        time.sleep(1.0)
        one.searches()
        begun = time.monotonic()
        server.client.config_set("maxmemory", "0")
        server.client.config_set("maxmemory-policy", "noeviction")
        return one.outcome(begun, f"said: {said[:80]}...")


def replaced(scratch: Path) -> Outcome:
    """A server of version 5 answers in its place (one that knows PING, INFO and DBSIZE), then the right one again."""
    with site_with_server(scratch) as (one, server):
        server.stop()
        with old_server(server.socket, "5.0.14"):
            one.edit()
            said = one.until_said("ragd needs 6.2 or newer", "upgrade that server")
            one.searches()
        begun = time.monotonic()
        server.start()
        return one.outcome(begun, f"searches went on; said: {said[-90:]}")


def rubbish(scratch: Path) -> Outcome:
    """Every key that ragd has is overwritten: other types, bytes that are no text, JSON that says nothing."""
    with site_with_server(scratch) as (one, server):
        for turn in range(3):
            one.edit()
            time.sleep(0.1)
            _overwrite(server.client, turn)
            one.searches()
        return one.outcome(time.monotonic(), "strange values were put away, work was sent again")


def cut(scratch: Path) -> Outcome:
    """A proxy between daemon, workers and Redis cuts every connection, amid commands too, forty times."""
    server = Server(scratch / "r")
    with ExitStack() as stack:
        stack.callback(server.stop)
        server.start()
        proxy = stack.enter_context(Proxy(server.socket, scratch / "p.sock"))
        one = stack.enter_context(site(scratch, environment={"RAGD_REDIS__URL": proxy.url}))
        for turn in range(40):
            if turn % 8 == 0:
                one.edit()
            time.sleep(0.1)
            proxy.cut()
        return one.outcome(time.monotonic(), f"{proxy.cuts} connections were cut")


def frozen(scratch: Path) -> Outcome:
    """The connections stay open and nothing comes through any more, as behind a firewall, for ten seconds."""
    server = Server(scratch / "r")
    with ExitStack() as stack:
        stack.callback(server.stop)
        server.start()
        proxy = stack.enter_context(Proxy(server.socket, scratch / "p.sock"))
        one = stack.enter_context(site(scratch, environment={"RAGD_REDIS__URL": proxy.url}))
        proxy.is_frozen = True
        one.edit()
        one.searches()
        time.sleep(10.0)
        begun = time.monotonic()
        proxy.is_frozen = False
        proxy.cut()
        return one.outcome(begun, "searches went on")


def child_killed(scratch: Path) -> Outcome:
    """Kill -9 of the private Redis amid edits."""
    with site(scratch) as one:
        one.edit()
        os.kill(one.child("redis"), signal.SIGKILL)
        begun = time.monotonic()
        one.searches()
        return one.outcome(begun, "started again by itself")


def child_hung(scratch: Path) -> Outcome:
    """The private Redis hangs (SIGSTOP): it runs, and answers nothing."""
    with site(scratch) as one:
        os.kill(one.child("redis"), signal.SIGSTOP)
        begun = time.monotonic()
        one.edit()
        one.searches()
        return one.outcome(begun, "noticed, ended and started again")


def _overwrite(client: redis.Redis, turn: int) -> None:
    """Puts rubbish under every key: of other types, of the same type in bytes that are no text, or in idle JSON."""
    for key in list(client.scan_iter(count=1000)):
        kind = cast("bytes", client.type(key)).decode()
        if turn == 0:
            client.delete(key)
            client.rpush(key, "rubbish") if kind == "string" else client.set(key, "rubbish")
            continue
        value = b"\xff\xfe\x00rubbish" if turn == 1 else b'{"idle": [1, null, "x"]}'
        if kind == "string":
            client.set(key, value)
        elif kind == "list":
            client.lpush(key, value, b"fresh-" + value)
        elif kind == "set":
            client.sadd(key, value, b"rq:worker:" + value)
        elif kind == "hash":
            client.hset(key, mapping=dict.fromkeys(client.hkeys(key), value))
    if turn:
        client.hset("rq:job:fresh-rubbish", mapping={"data": os.urandom(64), "attempts": "many"})
        client.set("rq:job:bulk-rubbish", "no hash")
        for name in ("extract", "embed", "index"):
            client.lpush(f"rq:queue:{name}", "fresh-rubbish", "bulk-rubbish", os.urandom(16))


SCENARIOS: Final = (
    Scenario("redis-stopped", "Redis stops, files change, it comes back empty", stopped),
    Scenario("redis-restarted", "Redis is killed and started anew five times amid edits", restarted),
    Scenario("redis-flushed", "FLUSHALL five times amid edits", flushed),
    Scenario("redis-full", "Redis has no memory left (noeviction)", full),
    Scenario("redis-evicting", "Redis throws away keys when its memory is full", evicting),
    Scenario("redis-older", "a server that says it is version 5 takes its place", replaced),
    Scenario("redis-rubbish", "every key in Redis is overwritten with rubbish", rubbish),
    Scenario("redis-cut", "a proxy cuts every connection to Redis forty times", cut),
    Scenario("redis-frozen", "connections to Redis stay open and pass nothing for ten seconds", frozen),
    Scenario("redis-child-killed", "the private Redis is killed", child_killed),
    Scenario("redis-child-hung", "the private Redis hangs (SIGSTOP)", child_hung),
)
