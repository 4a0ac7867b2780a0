"""The client against a real server on a Unix socket that misbehaves in every way."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ragd.cli.client import Client, leaves
from ragd.domain.errors import DaemonUnreachable, NotFound, RagdError, TimedOut

Serve = Callable[[bytes | None], Client]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a server that answers one request with these bytes, or with None never."""
    path = tmp_path / "s"
    done = threading.Event()
    threads: list[threading.Thread] = []

    def start(answer: bytes | None) -> Client:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()

        def work() -> None:
            with listener:
                connection, _ = listener.accept()
                with connection:
                    request = connection.recv(65536)
                    while request.startswith(b"POST") and not request.endswith(b"}"):
                        request += connection.recv(65536)
                    if answer is None:
                        done.wait(10)
                    else:
                        connection.sendall(answer)

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        return Client(path, timeout_s=0.2 if answer is None else 30)

    yield start
    done.set()
    for thread in threads:
        thread.join()


def response(status: int, body: str) -> bytes:
    data = body.encode()
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


def test_an_answer_is_its_json_object(serve: Serve) -> None:
    client = serve(response(200, '{"state": "ready"}'))
    assert client.status() == {"state": "ready"}
    client.close()
    client.close()


def test_a_named_error_is_raised_as_its_own_kind(serve: Serve) -> None:
    client = serve(response(404, '{"error": {"code": "not_found", "message": "no a.md", "hint": "look"}}'))
    with pytest.raises(NotFound, match=r"no a\.md") as caught:
        client.retry(["a.md"])
    assert caught.value.hint == "look"
    client.close()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (response(500, "<html>"), "answered 500 without JSON"),
        (response(500, '{"detail": "x"}'), "answered 500: {'detail': 'x'}"),
        (response(200, "[]"), "answered 200: []"),
        (response(503, '{"error": {"code": "from_the_future", "message": "later"}}'), "later"),
    ],
)
def test_an_answer_of_another_shape_is_an_error_too(serve: Serve, answer: bytes, expected: str) -> None:
    client = serve(answer)
    with pytest.raises(RagdError) as caught:
        client.status()
    assert expected in str(caught.value)
    assert type(caught.value) is RagdError
    client.close()


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"])
def test_a_daemon_that_goes_away_is_unreachable(serve: Serve, answer: bytes) -> None:
    client = serve(answer)
    with pytest.raises(DaemonUnreachable, match="went away"):
        client.status()


def test_a_daemon_that_does_not_answer_is_given_up(serve: Serve) -> None:
    client = serve(None)
    with pytest.raises(TimedOut, match=r"did not answer in 0\.2 s"):
        client.status()


def test_no_socket_a_stale_one_and_a_forbidden_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnreachable, match="no daemon answers on"):
        Client(tmp_path / "nowhere").connect()
    stale = tmp_path / "stale"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(stale))
    with pytest.raises(DaemonUnreachable, match="no daemon answers on"):
        Client(stale).connect()
    told = Client(stale)._unreachable(PermissionError(13, "denied"))
    assert "may not be opened" in str(told)


def test_every_kind_of_error_has_a_code_of_its_own() -> None:
    found = leaves()
    assert found["daemon_unreachable"] is DaemonUnreachable
    assert all(kind("").code == code for code, kind in found.items())


def test_a_connection_on_which_the_daemon_hung_up_meanwhile_is_opened_again(tmp_path: Path) -> None:
    now = [0.0]
    answer = response(200, '{"state": "ready"}')

    def work(listener: socket.socket) -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        listener.settimeout(30)
        thread = threading.Thread(target=work, args=(listener,))
        thread.start()
        client = Client(tmp_path / "s", clock=lambda: now[0])
        assert client.status() == {"state": "ready"}
        now[0] += 61
        try:
            assert client.status() == {"state": "ready"}
        finally:
            client.close()
            with socket.socket(socket.AF_UNIX) as last:  # ends the thread where the client never came again
                last.connect(str(tmp_path / "s"))
                last.sendall(b" ")
            thread.join()
