from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from ragd.daemon.sdnotify import Notifier


def listen(address: str) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    channel.bind(address)
    channel.settimeout(5)
    return channel


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    if request.param == "path":
        address = f"{tmp_path}/n"
        channel = listen(address)
    else:
        name = f"ragd-test-{uuid4().hex}"
        address = f"@{name}"
        channel = listen(f"\0{name}")
    yield channel, address
    channel.close()


def test_every_message_reaches_the_service_manager(listener: tuple[socket.socket, str]) -> None:
    channel, address = listener
    notifier = Notifier({"NOTIFY_SOCKET": address})
    assert notifier.ready("serving 3 folders")
    assert notifier.alive()
    assert notifier.status("two\nlines")
    assert notifier.stopping()
    messages = [channel.recv(1000) for _ in range(4)]
    assert messages == [b"READY=1\nSTATUS=serving 3 folders", b"WATCHDOG=1", b"STATUS=two lines", b"STOPPING=1"]


def test_a_long_start_asks_for_more_time_and_a_reload_says_when_it_began(
    listener: tuple[socket.socket, str],
) -> None:
    channel, address = listener
    notifier = Notifier({"NOTIFY_SOCKET": address})
    assert notifier.starting("building the index", more_s=2)
    assert channel.recv(1000) == b"STATUS=building the index\nEXTEND_TIMEOUT_USEC=2000000"
    before_us = time.monotonic_ns() // 1000
    assert notifier.reloading()
    first, second = channel.recv(1000).decode().splitlines()
    assert first == "RELOADING=1"
    assert before_us <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_without_a_service_manager_nothing_is_sent() -> None:
    assert not Notifier({}).ready()


def test_a_service_manager_that_went_away_is_no_error(tmp_path: Path) -> None:
    assert not Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).alive()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_counts_only_when_it_watches_this_process(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert Notifier(environment).watchdog_s == seconds
