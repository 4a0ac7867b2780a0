"""Tells systemd how the daemon fares, by the sd_notify protocol over the socket that $NOTIFY_SOCKET names."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Sends READY, RELOADING, STOPPING, WATCHDOG and STATUS; does nothing when no service manager listens.

    https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._watchdog_us = environment.get("WATCHDOG_USEC", "")
        self._watched_pid = environment.get("WATCHDOG_PID", "")

    @property
    def watchdog_s(self) -> float | None:
        """Seconds after which silence counts as a hang; None when nobody watches this process."""
        is_ours = self._watched_pid in ("", str(os.getpid()))
        return int(self._watchdog_us) / 1e6 if self._watchdog_us.isdigit() and is_ours else None

    def ready(self, status: str = "") -> bool:
        """The daemon serves from now on."""
        return self._send("READY=1", f"STATUS={status}")

    def starting(self, status: str, *, more_s: float = 120.0) -> bool:
        """The start takes its time, and goes on: it may take `more_s` seconds from now."""
        return self._send(f"STATUS={status}", f"EXTEND_TIMEOUT_USEC={int(more_s * 1e6)}")

    def reloading(self) -> bool:
        """The configuration is being read again; `ready` says that it was."""
        return self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> bool:
        """The daemon is on its way out."""
        return self._send("STOPPING=1")

    def alive(self) -> bool:
        """The daemon works; due at least every `watchdog_s` seconds, best twice as often."""
        return self._send("WATCHDOG=1")

    def status(self, text: str) -> bool:
        """One line for `systemctl status`."""
        return self._send(f"STATUS={text}")

    def _send(self, *lines: str) -> bool:
        """True when the message was handed over; a manager that went away is no reason to stop."""
        if not self._address:
            return False
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        message = "\n".join(line.replace("\n", " ") for line in lines)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            try:
                channel.sendto(message.encode(), address)
            except OSError:
                return False
        return True
