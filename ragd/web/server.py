"""Runs the application in a thread of the daemon, on its sockets, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from ragd.web.door import Limits
from ragd.web.listen import tcp_listener, unix_listener
from ragd.web.wire import Wire, WireConfig

_DATE_S = 1.0


class Server:
    """HTTP on a Unix socket and, when `tcp` is not empty, on that address; in a thread of its own.

    It takes no signals and writes no access log. One start and one stop each.
    """

    def __init__(self, app: ASGIApp, socket: Path, tcp: str = "", limits: Limits | None = None) -> None:
        self._path = socket
        self._tcp = tcp
        self._uvicorn = _Uvicorn(_config(app, limits or Limits()))
        self._thread: threading.Thread | None = None
        self._inode: int | None = None
        self.tcp_port: int | None = None

    def start(self) -> None:
        """Returns when requests are accepted. Raises PathInvalid, StateLocked or ConfigInvalid."""
        listeners = [unix_listener(self._path)]
        self._inode = self._path.stat().st_ino
        try:
            if self._tcp:
                listeners.append(tcp_listener(self._tcp))
                self.tcp_port = listeners[1].getsockname()[1]
        except BaseException:
            listeners[0].close()
            self._remove_socket()
            raise
        # A daemon thread: a request that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._serve, args=(listeners,), name="http", daemon=True)
        self._thread.start()
        self._uvicorn.settled.wait()
        if not self._uvicorn.started:
            raise RuntimeError("the HTTP server ended before it accepted requests")

    def stop(self, timeout_s: float = 5.0) -> None:
        """Lets requests in flight finish for up to `timeout_s`, then drops them; safe to call twice."""
        thread = self._thread
        if thread is None:
            return
        # Removed first: a client that comes now sees that nobody is here, not a refusal.
        self._remove_socket()
        self._uvicorn.config.timeout_graceful_shutdown = max(1, round(timeout_s))
        self._uvicorn.ask_to_end()
        thread.join(timeout_s + 1.0)
        if thread.is_alive():
            self._uvicorn.force_exit = True
            thread.join(1.0)
        self._thread = None

    def _serve(self, listeners: list[socket.socket]) -> None:
        try:
            self._uvicorn.run(sockets=listeners)
        finally:
            self._uvicorn.settled.set()
            for listener in listeners:
                listener.close()

    def _remove_socket(self) -> None:
        with contextlib.suppress(OSError):
            if os.lstat(self._path).st_ino == self._inode:
                self._path.unlink()


class _Uvicorn(uvicorn.Server):
    """Told when to end: uvicorn's own loop would wake ten times a second to see, also while nobody asks anything."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def ask_to_end(self) -> None:
        """Ends `run`; from any thread, once it has settled."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it ended by itself, and its loop is closed
                self._loop.call_soon_threadsafe(self._told.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets=sockets)
        self.settled.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # brings the Date header up to date
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), _DATE_S)


def _config(app: ASGIApp, limits: Limits) -> uvicorn.Config:
    config = WireConfig(
        app,
        loop="asyncio",
        http=Wire,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",  # what strangers send is not worth a line
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=limits.head_bytes,
        timeout_keep_alive=60,
    )
    config.limits = limits
    return config
