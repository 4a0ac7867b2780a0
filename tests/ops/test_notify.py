"""The daemon as a service manager sees it, with a listener in the manager's place."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.stopped import stopped_thread

PATIENCE_S = 90.0
WATCHDOG_S = 1.0
HANG_S = 6.0  # a main thread that is silent for longer hangs, whatever the watchdog's time


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(PATIENCE_S)
        yield listener


@pytest.fixture
def daemon(manager: socket.socket, tmp_path: Path, models: Path) -> Iterator[subprocess.Popen[bytes]]:
    documents, state = tmp_path / "kb", tmp_path / "s"
    documents.mkdir()
    state.mkdir()
    (documents / "note.md").write_text("# A note\n\nSomething to find.\n")
    (state / "models").symlink_to(models.absolute())
    given = {name: value for name, value in os.environ.items() if not name.startswith("RAGD_")}
    watchdog_us = str(int(WATCHDOG_S * 1e6))
    given |= {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": watchdog_us, "RAGD_STATE": str(state)}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ragd", "run", "--quiet", str(documents)], env=given, stdout=log, stderr=log
        )
    yield process
    if process.poll() is None:
        process.kill()
        process.wait()


def hear(manager: socket.socket, line: str) -> None:
    """Waits for a message with this line."""
    while line not in manager.recv(4096).decode().splitlines():
        pass


def heard_within(manager: socket.socket, seconds: float) -> list[str]:
    """Every line that comes in this time."""
    until, lines = time.monotonic() + seconds, []
    while (left := until - time.monotonic()) > 0:
        manager.settimeout(left)
        try:
            lines += manager.recv(4096).decode().splitlines()
        except TimeoutError:
            break
    manager.settimeout(PATIENCE_S)
    return lines


@pytest.mark.slow
def test_the_service_manager_hears_of_the_start_the_life_a_hang_and_the_end(
    manager: socket.socket, daemon: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    hear(manager, "READY=1")
    hear(manager, "WATCHDOG=1")
    with stopped_thread(daemon.pid):  # the main thread alone: every other one goes on
        heard_within(manager, HANG_S + 0.5)
        assert "WATCHDOG=1" not in heard_within(manager, 1.5 * WATCHDOG_S)
    hear(manager, "WATCHDOG=1")
    daemon.send_signal(signal.SIGTERM)
    hear(manager, "STOPPING=1")
    assert daemon.wait(30) == 0, (tmp_path / "log").read_text()
