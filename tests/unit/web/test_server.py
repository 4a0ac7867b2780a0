"""The server's sockets: made, guarded, replaced when stale, given back."""

from __future__ import annotations

import signal
import socket
import stat
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragd.domain.errors import ConfigInvalid, PathInvalid, StateLocked
from ragd.web.routes import create_app
from ragd.web.server import Server


def _status(path: Path) -> int:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://ragd") as client:
        return client.get("/v1/status").status_code


def test_the_socket_is_for_its_owner_alone(server: Server, socket_path: Path) -> None:
    assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600
    assert _status(socket_path) == 200


def test_a_stopped_server_leaves_no_socket_and_no_thread(shelf: Any, socket_path: Path) -> None:
    before = set(threading.enumerate())
    server = Server(create_app(shelf, "9"), socket_path)
    server.start()
    server.stop(2.0)
    server.stop(2.0)
    assert not socket_path.exists()
    assert set(threading.enumerate()) <= before


def test_no_signal_handler_is_taken(shelf: Any, socket_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    server = Server(create_app(shelf, "9"), socket_path)
    server.start()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    server.stop(2.0)


def test_a_stale_socket_is_replaced(shelf: Any, socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path))
    server = Server(create_app(shelf, "9"), socket_path)
    server.start()
    assert _status(socket_path) == 200
    server.stop(2.0)


def test_a_socket_that_answers_is_left_alone(server: Server, shelf: Any, socket_path: Path) -> None:
    with pytest.raises(StateLocked, match="another process answers") as caught:
        Server(create_app(shelf, "9"), socket_path).start()
    assert caught.value.hint
    assert _status(socket_path) == 200


def test_a_file_in_the_sockets_place_is_not_removed(shelf: Any, socket_path: Path) -> None:
    socket_path.write_text("mine")
    with pytest.raises(PathInvalid, match="not a socket"):
        Server(create_app(shelf, "9"), socket_path).start()
    assert socket_path.read_text() == "mine"


def test_a_path_too_long_says_how_long_and_what_to_do(shelf: Any, tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120) / "ragd.sock"
    with pytest.raises(PathInvalid, match="107") as caught:
        Server(create_app(shelf, "9"), path).start()
    assert "http.socket" in caught.value.hint


def test_the_longest_path_works_and_one_byte_more_does_not(shelf: Any, socket_path: Path) -> None:
    room = 107 - len(str(socket_path.parent)) - 1
    server = Server(create_app(shelf, "9"), socket_path.parent / ("s" * room))
    server.start()
    server.stop(2.0)
    with pytest.raises(PathInvalid):
        Server(create_app(shelf, "9"), socket_path.parent / ("s" * (room + 1))).start()


def test_a_missing_folder_is_named(shelf: Any, socket_path: Path) -> None:
    with pytest.raises(PathInvalid, match="No such file"):
        Server(create_app(shelf, "9"), socket_path.parent / "none" / "s").start()


@pytest.mark.parametrize("address", ["192.0.2.4:80", "example.org:80", "127.0.0.1", "127.0.0.1:99999", ":80"])
def test_an_address_that_is_not_of_this_machine_is_refused_and_no_socket_stays(
    shelf: Any, socket_path: Path, address: str
) -> None:
    with pytest.raises(ConfigInvalid, match=r"http\.tcp"):
        Server(create_app(shelf, "9"), socket_path, address).start()
    assert not socket_path.exists()


def test_a_port_in_use_is_named(server: Server, shelf: Any, socket_path: Path) -> None:
    other = Server(create_app(shelf, "9"), socket_path.with_name("other"), f"127.0.0.1:{server.tcp_port}")
    with pytest.raises(ConfigInvalid, match="in use"):
        other.start()


def test_stopping_ends_a_request_that_waits(server: Server, socket_path: Path, shelf: Any) -> None:
    outcome: list[object] = []

    def wait() -> None:
        params = {"q": "a", "after": "5", "timeout_s": "60"}
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket_path)), base_url="http://ragd") as client:
            try:
                outcome.append(client.get("/v1/search", params=params, timeout=30).status_code)
            except httpx.TransportError as error:
                outcome.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while not shelf.asked:
        thread.join(0.01)
    server.stop(1.0)
    thread.join(5)
    assert not thread.is_alive()
    assert outcome
    assert outcome[0] != 200
