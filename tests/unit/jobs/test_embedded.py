from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragd.domain.errors import BrokerTooOld, BrokerUnavailable, PathInvalid
from ragd.jobs.broker import Broker
from ragd.jobs.embedded import EmbeddedRedis, find_server

PARENT = """
import os, sys, time
from pathlib import Path
from ragd.jobs.embedded import EmbeddedRedis
server = EmbeddedRedis(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path / "b")
    yield server
    server.stop()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_only_its_owner_reaches_it_and_it_has_no_port(server: EmbeddedRedis) -> None:
    server.start()
    broker = Broker(server.url)
    settings = {name: broker.connection.config_get(name)[name] for name in ("port", "appendfsync", "maxmemory-policy")}
    assert settings == {"port": "0", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.socket.stat().st_mode) & 0o077 == 0
    broker.close()


def test_it_stops_in_order_and_takes_its_socket_along(server: EmbeddedRedis) -> None:
    server.start()
    assert server.is_running()
    server.stop()
    server.stop()
    assert not server.is_running()
    assert not server.socket.exists()


def test_what_was_queued_survives_a_kill(server: EmbeddedRedis) -> None:
    server.start()
    broker = Broker(server.url)
    broker.connection.rpush("list", "a")
    broker.connection.config_set("appendfsync", "always")
    broker.connection.rpush("list", "b")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    while server.is_running():
        time.sleep(0.01)
    server.start()
    assert broker.connection.lrange("list", 0, -1) == [b"a", b"b"]
    broker.close()


def test_a_damaged_log_of_operations_is_dropped(server: EmbeddedRedis) -> None:
    server.folder.mkdir()
    (server.folder / "appendonly.aof").write_bytes(b"this is no log\n")
    server.start()
    broker = Broker(server.url)
    assert broker.check().keys == 0
    broker.close()


def test_a_folder_with_odd_letters_is_no_obstacle(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / 'a "b\\ é#%?')
    server.start()
    broker = Broker(server.url)
    assert broker.check().keys == 0
    broker.close()
    server.stop()


def test_a_socket_path_that_is_too_long_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(PathInvalid, match="the system allows 107") as caught:
        EmbeddedRedis(tmp_path / ("é" * 60)).start()
    assert "--state" in caught.value.hint


def test_a_server_that_outlived_its_daemon_is_stopped_first(server: EmbeddedRedis, tmp_path: Path) -> None:
    server.start()
    other = EmbeddedRedis(server.folder)
    other.start()
    assert other.pid != server.pid
    deadline = time.monotonic() + 5
    while server.is_running() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not server.is_running()
    assert other.is_running()
    other.stop()


def test_a_stale_socket_is_no_obstacle(server: EmbeddedRedis) -> None:
    server.start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    while server.is_running():
        time.sleep(0.01)
    assert server.socket.exists()
    server.start()
    assert server.is_running()


def test_it_dies_with_a_killed_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "b")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(pid)


def test_a_log_that_cannot_be_rewritten_now_is_no_obstacle(tmp_path: Path) -> None:
    # As without memory or a process for the child that rewrites it: the command is refused.
    told = f"( cat; echo 'rename-command BGREWRITEAOF \"\"' ) > {tmp_path}/conf; exec {find_server()} {tmp_path}/conf"
    server = EmbeddedRedis(tmp_path / "b", fake(tmp_path, "Redis server v=7.2.0 sha=0", told))
    server.start()
    assert Broker(server.url).check().keys == 0
    server.stop()


def test_a_server_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    program = fake(tmp_path, "Redis server v=7.2.0 sha=0", "echo 'cannot open the moon'; exit 1")
    with pytest.raises(BrokerUnavailable, match="did not start: cannot open the moon"):
        EmbeddedRedis(tmp_path / "b", program).start()


def test_a_program_that_is_too_old_is_refused(tmp_path: Path) -> None:
    program = fake(tmp_path, "Redis server v=5.0.7 sha=0")
    with pytest.raises(BrokerTooOld, match=r"is version 5\.0\.7"):
        find_server(program)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BrokerUnavailable, match="nowhere/redis-server is not a program"):
        find_server("/nowhere/redis-server")


def test_a_newer_valkey_on_the_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, "Redis server v=6.0.9 sha=0", name="redis-server")
    valkey = fake(tmp_path, "Valkey server v=8.0.1 sha=0", name="valkey-server")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_server() == valkey


def fake(folder: Path, version: str, action: str = "exit 0", name: str = "server") -> str:
    program = folder / name
    program.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo "{version}"; exit 0; fi\n{action}\n')
    program.chmod(0o755)
    return str(program)


def test_its_log_is_rewritten_before_it_is_large(server: EmbeddedRedis) -> None:
    server.start()
    client = Broker(server.url).connection
    deadline = time.monotonic() + 20
    with client:
        while client.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(0.01)
        for _ in range(60):
            client.set("body", os.urandom(50_000).hex())
            client.delete("body")
    while size_of_log(server) > 4 * 1024 * 1024 and time.monotonic() < deadline:
        time.sleep(0.02)  # it looks ten times a second
    assert size_of_log(server) < 4 * 1024 * 1024  # of 6 MB written


def test_its_log_begins_anew_with_each_life(server: EmbeddedRedis) -> None:
    server.start()
    with Broker(server.url).connection as client:
        for _ in range(30):
            client.set("body", os.urandom(50_000).hex())
        client.set("body", "short")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    assert size_of_log(server) > 2 * 1024 * 1024
    server.start()
    deadline = time.monotonic() + 20
    while size_of_log(server) > 1000 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert size_of_log(server) < 1000
    assert Broker(server.url).connection.get("body") == b"short"


def size_of_log(server: EmbeddedRedis) -> int:
    return sum(path.stat().st_size for path in server.folder.rglob("*") if "appendonly" in str(path) and path.is_file())
